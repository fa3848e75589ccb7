"""The whole of params.yaml: read once, checked, frozen."""

from __future__ import annotations

import difflib
import re
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError

from mnist_pipeline.core.errors import PipelineError
from mnist_pipeline.core.yaml import read_yaml
from mnist_pipeline.params.base import Section
from mnist_pipeline.params.data import CsvParams, CustomParams, DataParams, FetchParams, RowCounts
from mnist_pipeline.params.model import ModelParams, OptimizersParams, section_of
from mnist_pipeline.params.run import EvaluateParams, PlotParams, RuntimeParams, TrainParams


class Params(Section):
    """The whole of params.yaml."""

    fetch: FetchParams
    csv: CsvParams
    custom: CustomParams
    data: DataParams
    model: ModelParams
    optimizers: OptimizersParams
    train: TrainParams
    evaluate: EvaluateParams
    plot: PlotParams
    runtime: RuntimeParams

    @property
    def csv_format(self) -> CsvParams:
        """What the CSV files of the chosen data set must look like."""
        if self.data.dataset == "mnist":
            return self.csv
        return CsvParams(
            image_side=self.custom.image_side, classes=self.custom.classes, rows=RowCounts(train=None, test=None)
        )


def load_params(path: Path) -> Params:
    """Read and check params.yaml.

    Raises:
        PipelineError: the file is missing, is not YAML, or holds a key or value that it must not; the message names
            each one, what it must be, and what it was.
    """
    content = read_yaml(path)
    try:
        return Params.model_validate(content)
    except ValidationError as error:
        raise PipelineError("\n".join(f"{path}: {problem}" for problem in problems_of(error, Params))) from None


def problems_of(error: ValidationError, model: type[BaseModel]) -> list[str]:
    """Describe each problem that pydantic found, in a sentence."""
    keys = known_keys(model)
    return [_describe(problem, keys) for problem in error.errors()]


def known_keys(model: type[BaseModel] = Params) -> dict[str, tuple[str, ...]]:
    """List the keys of each section: {"": ("fetch", "csv", ...), "csv.rows": ("train", "test"), ...}."""
    keys = {"": tuple(model.model_fields)}
    for name, field in model.model_fields.items():
        if (section := section_of(field.annotation)) is not None:
            for inner, below in known_keys(section).items():
                keys[f"{name}.{inner}".rstrip(".")] = below
    return keys


def _describe(problem: Any, keys: dict[str, tuple[str, ...]]) -> str:
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
        return f"{name} is missing; add it (git show HEAD:params.yaml has a complete file)"
    if kind == "value_error":
        return f"{name}: {context['error']}"
    requirement = re.sub(r"^(Input|String|Tuple|Value) should", "must", problem["msg"])
    return f"{name} {requirement}, was {problem['input']!r}"
