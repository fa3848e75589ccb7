"""experiments.yaml: the ladder of improvements, each a rung that names what it changes and what it builds on."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field, ValidationError

from mnist_pipeline.params import Params, Section, deciding, problems_of, with_overrides
from mnist_pipeline.yaml12 import YamlError, read_yaml

Name = Annotated[str, Field(pattern=r"^[a-z0-9]+(-[a-z0-9]+)*$")]
Value = bool | int | float | str | None | list[int] | list[float] | list[str] | list[list[int]]

OF_TRAINING = ("model", "optimizers", "train", "runtime")
"""The sections of params.yaml that say how to train, whatever the data."""


class LadderError(ValueError):
    """experiments.yaml is missing, is not YAML, or holds a rung that makes no sense."""


class Rung(Section):
    """One improvement.

    Attributes:
        title: what changes, in a few words.
        why: why it should help.
        builds_on: the rung that it is compared with and whose overrides it takes over; None: params.yaml as it is.
        overrides: new values of keys of params.yaml, such as {"model.loss": "bce"}.
        published: the test accuracy that the source gives, such as 0.9031 or "about 0.97".
        seeds: how many runs, with train.seed 0, 1, ...; None: as many as the ladder says.
    """

    title: str
    why: str
    builds_on: Name | None = None
    overrides: Annotated[dict[str, Value], Field(default_factory=dict)]
    published: Annotated[float, Field(ge=0, le=1)] | Annotated[str, Field(pattern=r"^about 0\.\d+$")] | None = None
    seeds: Annotated[int, Field(ge=1, le=1000)] | None = None


class Preset(Section):
    """Settings for those who have so much time.

    Attributes:
        title: what it trains, in a few words.
        budget_seconds: of training, on two cores.
        overrides: new values of keys of params.yaml.
    """

    title: str
    budget_seconds: Annotated[int, Field(ge=1)]
    overrides: dict[str, Value]


class Content(Section):
    """The whole of an experiments.yaml."""

    seeds: Annotated[int, Field(ge=1, le=1000)]
    rungs: Annotated[dict[Name, Rung], Field(min_length=1)]
    presets: Annotated[dict[Name, Preset], Field(default_factory=dict)]


@dataclass(frozen=True)
class Run:
    """A rung with one seed: an experiment."""

    rung: str
    seed: int

    @property
    def name(self) -> str:
        """Its name as an experiment of DVC."""
        return f"{self.rung}-{self.seed}"


@dataclass(frozen=True)
class Ladder:
    """Rungs in the order of the file, each with the params that it amounts to.

    Attributes:
        rungs: by name.
        seeds: how many runs of each.
        overrides: by name, those of the rungs that it builds on included.
        params: by name, with train.seed 0.
        presets: by name.
    """

    rungs: dict[str, Rung]
    seeds: dict[str, int]
    overrides: dict[str, dict[str, Value]]
    params: dict[str, Params]
    presets: dict[str, Preset]

    def runs(self, names: list[str] | None = None, seeds: int | None = None) -> list[Run]:
        """The runs of some rungs, or of all: first every rung's seed 0, then every rung's seed 1, and so on.

        Raises:
            LadderError: there is no rung of such a name.
        """
        unknown = [name for name in names or [] if name not in self.rungs]
        if unknown:
            raise LadderError(f"there is no rung {unknown[0]!r}; there are {', '.join(self.rungs)}")
        wanted = {name: seeds or self.seeds[name] for name in names or self.rungs}
        return [
            Run(name, seed) for seed in range(max(wanted.values())) for name, number in wanted.items() if seed < number
        ]

    def settings(self, run: Run) -> list[str]:
        """What to give to -S, such as ["model.loss=bce", "train.seed=3"]."""
        return settings_of(self.overrides[run.rung] | {"train.seed": run.seed})

    def params_of(self, run: Run) -> Params:
        """The params of a run."""
        params = self.params[run.rung]
        return params.model_copy(update={"train": params.train.model_copy(update={"seed": run.seed})})

    def digest(self, run: Run) -> str:
        """What of its params decides a run's result, as 12 hexadecimal digits."""
        text = json.dumps(deciding(self.params_of(run)), sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:12]


def load_ladder(path: Path, params: Path) -> Ladder:
    """Read and check experiments.yaml, and what each of its rungs makes of params.yaml.

    Raises:
        LadderError: a file is missing or not YAML, a rung builds on one that does not stand above it, overrides a
            key that does not exist, or amounts to params that make no sense; the message names each.
    """
    try:
        content, base = read_yaml(path), read_yaml(params)
    except YamlError as error:
        raise LadderError(str(error)) from None
    try:
        parsed = Content.model_validate(content)
    except ValidationError as error:
        raise LadderError("\n".join(f"{path}: {problem}" for problem in problems_of(error, Content))) from None
    problems: list[str] = []
    overrides: dict[str, dict[str, Value]] = {}
    resolved: dict[str, Params] = {}
    for name, rung in parsed.rungs.items():
        where = f"{path}: rungs.{name}"
        if rung.builds_on is not None and rung.builds_on not in overrides:
            problems.append(f"{where}.builds_on must be a rung above this one, was {rung.builds_on!r}")
            continue
        if "train.seed" in rung.overrides:
            problems.append(f"{where}.overrides must leave train.seed alone; say how many with seeds: {where}.seeds")
        overrides[name] = (overrides[rung.builds_on] if rung.builds_on is not None else {}) | rung.overrides
        found = _resolved(base, overrides[name] | {"train.seed": 0}, where, params)
        if isinstance(found, Params):
            resolved[name] = found
        else:
            problems += found
    for name, preset in parsed.presets.items():
        found = _resolved(base, preset.overrides, f"{path}: presets.{name}", params)
        problems += [] if isinstance(found, Params) else found
    if problems:
        raise LadderError("\n".join(problems))
    seeds = {name: rung.seeds or parsed.seeds for name, rung in parsed.rungs.items()}
    return Ladder(parsed.rungs, seeds, overrides, resolved, parsed.presets)


def _resolved(base: dict[str, Any], overrides: dict[str, Value], where: str, params: Path) -> Params | list[str]:
    """The params with these overrides, or what is wrong with them."""
    try:
        return Params.model_validate(with_overrides(base, overrides))
    except KeyError as error:
        return [f"{where}.overrides: {params} has no key {error.args[0]}"]
    except ValidationError as error:
        return [f"{where}: with it, {problem}" for problem in problems_of(error, Params)]


def settings_of(overrides: Mapping[str, Value]) -> list[str]:
    """What to give to -S, such as ["model.loss=bce", "train.seed=3"]."""
    return [f"{key}={_as_setting(value)}" for key, value in overrides.items()]


def left_over(overrides: Mapping[str, Value], now: dict[str, Any], committed: dict[str, Any]) -> dict[str, Value]:
    """What earlier experiments left in params.yaml of how to train: the committed values of what has changed.

    Args:
        overrides: what is to be set anyway.
        now: params.yaml as it is.
        committed: params.yaml as it was in the last commit.
    """
    before, after = dict(_leaves(committed)), dict(_leaves(now))
    of_training = {key for key in before if key.split(".")[0] in OF_TRAINING} | {"data.deskew", "data.scaling"}
    changed = sorted(key for key in of_training - overrides.keys() if before.get(key) != after.get(key))
    return {key: before[key] for key in changed if key in before and key in after}


def _leaves(content: dict[str, Any], above: str = "") -> Iterator[tuple[str, Any]]:
    """The keys of a params.yaml that hold no further keys, such as "model.loss", with their values."""
    for key, value in content.items():
        if isinstance(value, dict):
            yield from _leaves(value, f"{above}{key}.")
        else:
            yield f"{above}{key}", value


def _as_setting(value: Value) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def ancestors(ladder: Ladder, name: str) -> Iterator[str]:
    """The rungs that a rung builds on, nearest first."""
    above = ladder.rungs[name].builds_on
    while above is not None:
        yield above
        above = ladder.rungs[above].builds_on
