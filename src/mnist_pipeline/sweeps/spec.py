"""sweep.yaml: a space of settings, how it is sampled, and how trials are compared."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import Field, ValidationError, model_validator

from mnist_pipeline.core.errors import PipelineError
from mnist_pipeline.core.yaml import read_yaml
from mnist_pipeline.experiments.runs import SEED
from mnist_pipeline.params.base import PositiveInt, Section
from mnist_pipeline.params.overrides import resolved_params
from mnist_pipeline.params.schema import problems_of
from mnist_pipeline.provenance.paths import TRAIN_DETAILS

Value = bool | int | float | str | None | list[Any]
Bounds = (
    Annotated[list[int], Field(min_length=2, max_length=2)] | Annotated[list[float], Field(min_length=2, max_length=2)]
)
DIGITS = 4
"""Significant digits of a number of a range: more would be noise, and could depend on the C library."""


class Axis(Section):
    """The values of one setting: one of ``choices``, ``range`` and ``log``.

    Attributes:
        choices: a list.
        range: lowest and highest; whole numbers if both are.
        log: the same, evenly spread in the logarithm.
        points: of a range in a grid.
    """

    choices: Annotated[list[Value], Field(min_length=2)] | None = None
    range: Bounds | None = None
    log: Bounds | None = None
    points: Annotated[int, Field(ge=2, le=1000)] = 3

    @model_validator(mode="after")
    def _is_one(self) -> Self:
        if sum(each is not None for each in (self.choices, self.range, self.log)) != 1:
            raise ValueError("must have one of choices, range and log")
        low, high = self.range or self.log or [1, 2]
        if low >= high or (self.log and low <= 0):
            raise ValueError(f"must rise{', from above 0' if self.log else ''}, was {[low, high]}")
        return self

    def at(self, share: float) -> Value:
        """Return the value at a share of the axis, 0-1."""
        if self.choices is not None:
            return self.choices[min(int(share * len(self.choices)), len(self.choices) - 1)]
        low, high = self.range or self.log or [0, 0]
        value = low * (high / low) ** share if self.log else low + (high - low) * share
        return round(value) if isinstance(low, int) else float(f"{value:.{DIGITS}g}")

    def place(self, value: Value) -> float:
        """Return where a value is on the axis, 0-1; of choices by their order."""
        if self.choices is not None:
            return self.choices.index(value) / (len(self.choices) - 1)
        low, high = self.range or self.log or [0, 0]
        assert isinstance(value, (int, float))
        return math.log(value / low) / math.log(high / low) if self.log else (value - low) / (high - low)


class Halving(Section):
    """Successive halving: all trials with little training, the best of them with more.

    Attributes:
        param: that says how much a trial trains, such as train.epochs.
        values: of it, rising; the last is that of the winner.
        keep: the share of the trials that goes on.
    """

    param: str
    values: Annotated[list[PositiveInt], Field(min_length=1)]
    keep: Annotated[float, Field(gt=0, lt=1)] = 0.5

    @model_validator(mode="after")
    def _rises(self) -> Self:
        if self.values != sorted(set(self.values)):
            raise ValueError(f"values must rise, was {self.values}")
        return self


class Sweep(Section):
    """A sweep.

    Attributes:
        name: with which the names of its experiments begin.
        method: sobol or grid.
        trials: how many points of the Sobol sequence.
        seed: that scrambles the sequence.
        target: the last stage of a trial. It must not read the test set.
        metrics: a JSON file that the target writes.
        metric: the number in it by which trials are compared; more is better.
        space: the axes, by setting.
        fixed: further settings of all trials.
        halving: how trials are given up.
        confirm: how many fresh seeds compare the winner with params.yaml as it is; 0: none.
    """

    name: Annotated[str, Field(pattern=r"^[a-z0-9]+(-[a-z0-9]+)*$")]
    method: Literal["sobol", "grid"] = "sobol"
    trials: Annotated[int, Field(ge=2, le=4096)] | None = None
    seed: Annotated[int, Field(ge=0)] = 0
    target: str = "train"
    metrics: str = TRAIN_DETAILS
    metric: str = "validation_accuracy"
    space: Annotated[dict[str, Axis], Field(min_length=1)]
    fixed: Annotated[dict[str, Value], Field(default_factory=dict)]
    halving: Halving
    confirm: Annotated[int, Field(ge=0, le=1000)] = 5

    @model_validator(mode="after")
    def _has_trials(self) -> Self:
        if (self.trials is None) == (self.method == "sobol"):
            raise ValueError("trials must be given for sobol, and left out for a grid")
        names = [*self.space, *self.fixed, self.halving.param]
        if len(set(names)) < len(names) or SEED in names:
            raise ValueError(f"space, fixed and halving.param must name each setting once, and leave {SEED} alone")
        return self

    def points(self) -> list[dict[str, Value]]:
        """Return the settings of each trial, without the halving's; the same on every machine."""
        axes = self.space.items()
        rows = [{name: axis.at(share) for (name, axis), share in zip(axes, row, strict=True)} for row in self._shares()]
        return [row for place, row in enumerate(rows) if row not in rows[:place]]  # choices can repeat

    def _shares(self) -> Iterator[tuple[float, ...]]:
        if self.method == "grid":
            counts = [len(axis.choices) if axis.choices else axis.points for axis in self.space.values()]
            return itertools.product(*([place / (count - 1) for place in range(count)] for count in counts))
        from scipy.stats.qmc import Sobol

        sampler = Sobol(len(self.space), scramble=True, rng=self.seed)
        table = sampler.random_base2(math.ceil(math.log2(self.trials or 2)))  # (power of two, axes)
        return iter([tuple(map(float, row)) for row in table[: self.trials]])

    def settings(self, point: dict[str, Value], amount: int, seed: int = 0) -> dict[str, Value]:
        """Return all settings of a trial with an amount of training."""
        return self.fixed | point | {self.halving.param: amount, SEED: seed}


def load_sweep(path: Path, params: Path) -> Sweep:
    """Read and check sweep.yaml, and the params of each of its trials.

    Raises:
        PipelineError: a file is missing or not YAML, or a trial would have params that are not valid.
    """
    content, base = read_yaml(path), read_yaml(params)
    try:
        sweep = Sweep.model_validate(content)
    except ValidationError as error:
        raise PipelineError("\n".join(f"{path}: {problem}" for problem in problems_of(error, Sweep))) from None
    for point in sweep.points():
        settings = sweep.settings(point, sweep.halving.values[-1])
        if isinstance(found := resolved_params(base, settings, str(path), params), list):
            raise PipelineError("\n".join(found))
    return sweep
