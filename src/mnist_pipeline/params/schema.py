"""The whole of params.yaml and of data.yaml: read once, checked, frozen."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Self, TypeVar

from pydantic import BaseModel, ValidationError, model_validator

from mnist_pipeline.core.errors import PipelineError
from mnist_pipeline.core.yaml import read_yaml
from mnist_pipeline.params.base import Section
from mnist_pipeline.params.data import DataFiles, DataParams
from mnist_pipeline.params.model import ModelParams, OptimizersParams, section_of
from mnist_pipeline.params.run import AuditParams, EvaluateParams, PlotParams, RuntimeParams, TrainParams

REQUIREMENTS = {
    "bool_type": "must be true or false",
    "float_type": "must be a number",
    "int_from_float": "must be a whole number",
    "int_type": "must be a whole number",
    "string_type": "must be text, in quotes if it looks like a number",
    "tuple_type": "must be a list, in square brackets",
}
"""What a value must be, by pydantic's name of the error, where its own words are those of Python."""


SectionType = TypeVar("SectionType", bound=Section)


class Params(Section):
    """The whole of params.yaml."""

    model: ModelParams
    train: TrainParams
    optimizers: OptimizersParams
    data: DataParams
    runtime: RuntimeParams
    evaluate: EvaluateParams
    audit: AuditParams
    plot: PlotParams

    @model_validator(mode="after")
    def _temperature_can_be_fitted(self) -> Self:
        if self.train.temperature_scaling and self.model.loss != "cross_entropy":
            raise ValueError(f"train.temperature_scaling needs model.loss cross_entropy, was {self.model.loss}")
        if self.train.temperature_scaling and self.data.validation_size == 0:
            raise ValueError("train.temperature_scaling needs validation rows; data.validation_size was 0")
        return self


def load_params(path: Path) -> Params:
    """Read and check params.yaml.

    Raises:
        PipelineError: the file is missing, is not YAML, or holds a key or value that it must not; the message names
            each one, what it must be, and what it was.
    """
    return _load(path, Params)


def load_data_files(path: Path) -> DataFiles:
    """Read and check data.yaml. Raises as ``load_params``."""
    return _load(path, DataFiles)


def _load(path: Path, model: type[SectionType]) -> SectionType:
    content = read_yaml(path)
    try:
        return model.model_validate(content)
    except ValidationError as error:
        raise PipelineError("\n".join(f"{path}: {problem}" for problem in problems_of(error, model, path))) from None


def problems_of(error: ValidationError, model: type[BaseModel], file: Path | None = None) -> list[str]:
    """Describe each problem that pydantic found, in a sentence; ``file`` is where a missing key must be added."""
    keys, problems = known_keys(model), error.errors()
    places = [problem["loc"] for problem in problems]
    return [
        _describe(problem, keys, file)
        for problem in problems
        # A list from which a wrong item was removed may also be too short.
        if problem["type"] != "too_short" or not any(place[:-1] == problem["loc"] for place in _ancestors(places))
    ]


def _ancestors(places: list[tuple[int | str, ...]]) -> Iterator[tuple[int | str, ...]]:
    """All places, and those that they lie in, but for the outermost."""
    return (place[:length] for place in places for length in range(2, len(place) + 1))


def known_keys(model: type[BaseModel] = Params) -> dict[str, tuple[str, ...]]:
    """List the keys of each section: {"": ("model", "train", ...), "model.mlp": ("hidden_units", ...), ...}."""
    keys = {"": tuple(model.model_fields)}
    for name, field in model.model_fields.items():
        if (section := section_of(field.annotation)) is not None:
            for inner, below in known_keys(section).items():
                keys[f"{name}.{inner}".rstrip(".")] = below
    return keys


def _describe(problem: Any, keys: dict[str, tuple[str, ...]], file: Path | None) -> str:
    """Describe one of pydantic's errors: which key, what it must be, what it was."""
    path = [str(part) for part in problem["loc"]]
    name = ".".join(path)
    kind, context = problem["type"], problem.get("ctx", {})
    if kind == "extra_forbidden":
        siblings = keys.get(".".join(path[:-1]), ())
        close = difflib.get_close_matches(path[-1], siblings, n=1, cutoff=0.5)
        nearest = f"; did you mean {close[0]!r}?" if close else ""
        return f"{name} is not a known key{nearest}" + (f" (known here: {', '.join(siblings)})" if siblings else "")
    if kind == "missing":
        complete = f" (git show HEAD:{file.name} has a complete file)" if file is not None else ""
        return f"{name} is missing; add it{complete}"
    if kind == "value_error":
        return f"{name}: {context['error']}" if name else str(context["error"])
    if kind in ("model_type", "dict_type"):
        requirement = f"must be a section with the keys {', '.join(keys.get(name, ()))}"
    elif kind == "too_short":
        requirement = f"must have at least {context['min_length']} item{'s' * (context['min_length'] > 1)}"
    elif kind == "union_tag_invalid":
        requirement = f"must have a kind of {context['expected_tags']}"
    else:
        requirement = REQUIREMENTS.get(kind, re.sub(r"^(Input|String|Value) should", "must", problem["msg"]))
    return f"{name} {requirement}, was {problem['input']!r}"
