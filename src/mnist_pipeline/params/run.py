"""Sections of params.yaml about a run: ``train``, ``evaluate``, ``plot`` and ``runtime``."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from mnist_pipeline.params.base import NotNegative, PositiveFloat, PositiveInt, Section, UnitInterval
from mnist_pipeline.params.model import MlpParams, ModelParams

SMALL_LAYERS = 40_000
"""Outputs of an MLP's hidden layers in a batch, so few that two threads of a library wait longer than they gain."""


class AugmentationParams(Section):
    """How strongly training images are augmented; see training/augmentation.py."""

    rotation: Annotated[float, Field(ge=0, le=180)]
    scale: UnitInterval
    shear: NotNegative
    shift: NotNegative
    elastic_alpha: NotNegative
    elastic_sigma: PositiveFloat

    @property
    def enabled(self) -> bool:
        """Whether anything is augmented at all."""
        return any((self.rotation, self.scale, self.shear, self.shift, self.elastic_alpha))


def _shuffle(value: Any) -> Any:
    if isinstance(value, bool) or value == "blocks":
        return value
    raise ValueError(f"must be true, false or blocks, was {value!r}")


Shuffle = Annotated[bool | Literal["blocks"], BeforeValidator(_shuffle)]


class TrainParams(Section):
    """The training loop."""

    epochs: PositiveInt
    batch_size: PositiveInt
    shards: PositiveInt
    shuffle: Shuffle
    schedule: Literal["constant", "cosine", "one_cycle"]
    seed: Annotated[int, Field(ge=0, lt=2**32)]
    log_every: PositiveInt
    temperature_scaling: bool
    augmentation: AugmentationParams

    @model_validator(mode="after")
    def _shards_are_equal(self) -> Self:
        if self.shards > 1 and (self.batch_size % self.shards or self.batch_size < 2 * self.shards):
            raise ValueError(
                f"batch_size must be a multiple of shards, of two samples or more in each; was {self.batch_size}, with "
                f"{self.shards} shards"
            )
        return self

    def library_threads(self, model: ModelParams) -> bool:
        """Whether fast numerics divide each product among the cores, rather than shards, members and augmentation."""
        small = (
            isinstance(model.settings, MlpParams) and self.batch_size * sum(model.settings.hidden_units) <= SMALL_LAYERS
        )
        return self.shards == 1 and not small


AUDIT_KINDS = (
    "duplicate",
    "contradiction",
    "near_duplicate",
    "label",
    "outlier",
    "small_class",
    "drift",
    "order",
)
"""What an audit looks for."""


def _known_kinds(kinds: tuple[str, ...]) -> tuple[str, ...]:
    if unknown := [kind for kind in kinds if kind not in AUDIT_KINDS]:
        raise ValueError(f"must be kinds of findings ({', '.join(AUDIT_KINDS)}), one was {unknown[0]!r}")
    return kinds


class AuditParams(Section):
    """What the audit of the data does; see the room audit."""

    folds: Annotated[int, Field(ge=2, le=20)]
    steps: PositiveInt
    fail_on: Annotated[tuple[str, ...], Field(strict=False), AfterValidator(_known_kinds)]


class EvaluateParams(Section):
    """How the test set is scored."""

    record: Annotated[int, Field(ge=0)]
    calibration_bins: Annotated[int, Field(ge=2, le=100)]


class PlotParams(Section):
    """What is drawn."""

    mistakes: Annotated[int, Field(ge=1, le=100)]


class RuntimeParams(Section):
    """How the arithmetic is done; see core/numerics.py."""

    numerics: Literal["portable", "fast", "mixed"]
    device: Literal["cpu", "cuda"]
