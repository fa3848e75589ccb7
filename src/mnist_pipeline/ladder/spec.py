"""experiments.yaml: the ladder of improvements, each a rung that names what it changes and what it builds on."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Self

from pydantic import Field, ValidationError, model_validator

from mnist_pipeline.core.errors import PipelineError
from mnist_pipeline.core.yaml import read_yaml
from mnist_pipeline.experiments.runs import digest
from mnist_pipeline.params.base import Section
from mnist_pipeline.params.overrides import resolved_params, settings_of, used_settings
from mnist_pipeline.params.schema import Params, problems_of
from mnist_pipeline.provenance.paths import PARAMS

EXPERIMENTS = Path("experiments.yaml")

Name = Annotated[str, Field(pattern=r"^[a-z0-9]+(-[a-z0-9]+)*$")]
Value = bool | int | float | str | None | list[int] | list[float] | list[str] | list[list[int]]


class Rung(Section):
    """One improvement.

    Attributes:
        title: what changes, in a few words.
        why: why it should help.
        builds_on: the rung that it is compared with and whose overrides it takes over; None: params.yaml as it is.
        overrides: new values of keys of params.yaml, such as {"model.loss": "bce"}.
        published: the test accuracy that the source gives, such as 0.9031 or "about 0.97".
        seeds: how many runs, with train.seed 0, 1, ...; None: as many as the ladder says.
        family: the tests that its verdict is corrected with; rungs that name none are a family of their own.
        paired: whether runs of the same seed have the same weights as on the rung below, so that only the prediction
            differs and seeds are paired.
        looks: numbers of seeds at which ``mnist ladder run --until-decided`` may stop, declared beforehand.
    """

    title: str
    why: str
    builds_on: Name | None = None
    overrides: Annotated[dict[str, Value], Field(default_factory=dict)]
    published: Annotated[float, Field(ge=0, le=1)] | Annotated[str, Field(pattern=r"^about 0\.\d+$")] | None = None
    seeds: Annotated[int, Field(ge=1, le=1000)] | None = None
    family: Name = "own"
    paired: bool = False
    looks: Annotated[tuple[Annotated[int, Field(ge=2, le=1000)], ...], Field(strict=False)] = ()

    @model_validator(mode="after")
    def _looks_rise(self) -> Self:
        if list(self.looks) != sorted(set(self.looks)):
            raise ValueError(f"looks must rise, such as [5, 10, 20], was {list(self.looks)}")
        return self


class Preset(Section):
    """Settings for a given training time.

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
    """Rungs in the order of the file, each with the params that it gives.

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
        """Return the runs of some rungs, or of all: first every rung's seed 0, then every rung's seed 1, and so on.

        Raises:
            PipelineError: there is no rung of such a name.
        """
        unknown = [name for name in names or [] if name not in self.rungs]
        if unknown:
            raise PipelineError(f"there is no rung {unknown[0]!r}; there are {', '.join(self.rungs)}")
        wanted = {name: seeds or self.seeds[name] for name in names or self.rungs}
        return [
            Run(name, seed) for seed in range(max(wanted.values())) for name, number in wanted.items() if seed < number
        ]

    def settings(self, run: Run) -> list[str]:
        """Return the arguments of -S, such as ["model.loss=bce", "train.seed=3"]."""
        return settings_of(self.overrides[run.rung] | {"train.seed": run.seed})

    def message(self, run: Run) -> str:
        """Return what the commit of a run says."""
        rung = self.rungs[run.rung]
        return f"{rung.title} (seed {run.seed}): {rung.why}"

    def params_of(self, run: Run) -> Params:
        """Return the params of a run."""
        params = self.params[run.rung]
        return params.model_copy(update={"train": params.train.model_copy(update={"seed": run.seed})})

    def digest(self, run: Run) -> str:
        """Return a hash of the params that a run's result depends on, 12 hexadecimal digits."""
        return digest(used_settings(self.params_of(run)))


def load_ladder(path: Path = EXPERIMENTS, params: Path = Path(PARAMS)) -> Ladder:
    """Read and check experiments.yaml, and what each of its rungs changes in params.yaml.

    Raises:
        PipelineError: a file is missing or not YAML, a rung builds on one that does not stand above it, overrides a
            key that does not exist, or gives params that are not valid; the message names each.
    """
    content, base = read_yaml(path), read_yaml(params)
    try:
        parsed = Content.model_validate(content)
    except ValidationError as error:
        raise PipelineError("\n".join(f"{path}: {problem}" for problem in problems_of(error, Content))) from None
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
        found = resolved_params(base, overrides[name] | {"train.seed": 0}, where, params)
        if isinstance(found, Params):
            resolved[name] = found
        else:
            problems += found
    for name, preset in parsed.presets.items():
        found = resolved_params(base, preset.overrides, f"{path}: presets.{name}", params)
        problems += [] if isinstance(found, Params) else found
    if problems:
        raise PipelineError("\n".join(problems))
    seeds = {name: rung.seeds or parsed.seeds for name, rung in parsed.rungs.items()}
    return Ladder(parsed.rungs, seeds, overrides, resolved, parsed.presets)
