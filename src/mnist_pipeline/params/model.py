"""Sections of params.yaml about the network and its optimizer: ``model`` and ``optimizers``."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self, get_args

from pydantic import BaseModel, Field, field_validator, model_validator

from mnist_pipeline.core.errors import PipelineError
from mnist_pipeline.params.base import NotNegative, PositiveFloat, PositiveInt, Section, UnitInterval


class MlpParams(Section):
    """A fully connected network; see models/mlp.py."""

    hidden_units: Annotated[tuple[PositiveInt, ...], Field(strict=False, max_length=64)]
    layer_norm: bool


class CnnParams(Section):
    """A convolutional network; see models/cnn.py."""

    channels: Annotated[
        tuple[Annotated[tuple[PositiveInt, ...], Field(min_length=1, strict=False)], ...],
        Field(min_length=1, strict=False),
    ]
    kernel_size: PositiveInt

    @field_validator("kernel_size")
    @classmethod
    def _odd(cls, kernel_size: int) -> int:
        if kernel_size % 2 == 0:
            raise ValueError(f"must be odd, so that a convolution keeps the image's size, was {kernel_size}")
        return kernel_size

    def check_side(self, image_side: int) -> None:
        """Raise a ``PipelineError`` if an image is too small to be halved once a group."""
        if image_side < 2 ** len(self.channels):
            raise PipelineError(
                f"model.cnn.channels has {len(self.channels)} groups, each of which halves the image; "
                f"an image of side {image_side} allows {image_side.bit_length() - 1}"
            )


class ModelParams(Section):
    """The network, what it is trained to minimise, and by which optimizer.

    An architecture is a field of its name with its own settings; models/registry.py builds it.
    """

    architecture: str
    mlp: MlpParams | None = None
    cnn: CnnParams | None = None
    hidden_activation: Literal["sigmoid", "tanh", "relu", "leaky_relu", "gelu"]
    negative_slope: NotNegative
    output_activation: Literal["none", "sigmoid", "leaky_relu"]
    loss: Literal["mse", "bce", "cross_entropy"]
    optimizer: Literal["sgd", "adam", "adamw"]
    test_time_shift: Annotated[int, Field(ge=0, le=8)]
    members: Annotated[int, Field(ge=1, le=64)] = 1

    @property
    def settings(self) -> Section:
        """The architecture's own settings."""
        settings: Section = getattr(self, self.architecture)
        return settings

    @model_validator(mode="after")
    def _architecture_has_settings(self) -> Self:
        known = architectures()
        if self.architecture not in known:
            raise ValueError(f"architecture must be one of {', '.join(known)}, was {self.architecture!r}")
        if getattr(self, self.architecture) is None:
            raise ValueError(f"architecture {self.architecture} needs its settings; add model.{self.architecture}")
        return self

    @model_validator(mode="after")
    def _loss_fits_output(self) -> Self:
        required = {"bce": "sigmoid", "cross_entropy": "none"}.get(self.loss)
        if required is not None and self.output_activation != required:
            raise ValueError(
                f"loss {self.loss} needs output_activation {required}, was {self.output_activation}; "
                f"add -S model.output_activation={required} or choose another loss"
            )
        return self


def architectures() -> tuple[str, ...]:
    """List the names that model.architecture may have: the fields of ModelParams that hold a section."""
    return tuple(name for name, field in ModelParams.model_fields.items() if section_of(field.annotation))


class SgdParams(Section):
    """Settings of torch.optim.SGD."""

    learning_rate: PositiveFloat
    momentum: UnitInterval
    nesterov: bool
    weight_decay: NotNegative

    @model_validator(mode="after")
    def _nesterov_needs_momentum(self) -> Self:
        if self.nesterov and self.momentum == 0:
            raise ValueError("nesterov: true needs momentum above 0; set nesterov: false")
        return self


class AdamParams(Section):
    """Settings of torch.optim.Adam and AdamW."""

    learning_rate: PositiveFloat
    beta1: UnitInterval
    beta2: UnitInterval
    epsilon: PositiveFloat
    weight_decay: NotNegative


class OptimizersParams(Section):
    """Each optimizer's own settings, so that changing the optimizer alone gives a good run."""

    sgd: SgdParams
    adam: AdamParams
    adamw: AdamParams


def section_of(annotation: Any) -> type[BaseModel] | None:
    """Return the section that a field's type holds, alone or beside None."""
    for each in (annotation, *get_args(annotation)):
        if isinstance(each, type) and issubclass(each, BaseModel):
            return each
    return None
