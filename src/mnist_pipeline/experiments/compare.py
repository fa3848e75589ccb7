"""Compare two runs from what git has of them: nothing is checked out, nothing is computed again."""

from __future__ import annotations

import hashlib
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mnist_pipeline.core.errors import PipelineError
from mnist_pipeline.core.files import read_csv
from mnist_pipeline.core.statistics import wilson_interval
from mnist_pipeline.core.yaml import flatten, parse_yaml
from mnist_pipeline.experiments.significance import mcnemar
from mnist_pipeline.provenance.dvc import parse_lock
from mnist_pipeline.provenance.git import read_file, resolve
from mnist_pipeline.provenance.paths import LOCK, PARAMS, PREDICTIONS, TEST_ARRAYS

WORKSPACE = "workspace"


@dataclass(frozen=True)
class EvaluatedRun:
    """A run that was evaluated.

    Attributes:
        name: as the user gave it.
        commit: its hash; None: the workspace.
        test_data: MD5 of the test arrays on which it was evaluated.
        actual: the class of every test sample, in order.
        predicted: the predicted class of each.
        params: its settings, by dotted name.
    """

    name: str
    commit: str | None
    test_data: str
    actual: list[str]
    predicted: list[str]
    params: dict[str, Any]

    @property
    def correct(self) -> int:
        """Count the samples that it classifies correctly."""
        return sum(actual == predicted for actual, predicted in zip(self.actual, self.predicted, strict=True))


@dataclass(frozen=True)
class ClassChange:
    """One class: how many samples it has, how many each run gets right, and what changed."""

    name: str
    samples: int
    correct_before: int
    correct_after: int
    fixed: int
    broken: int


@dataclass(frozen=True)
class Comparison:
    """What changed from one run to another.

    Attributes:
        before: the first run.
        after: the second.
        fixed: indices of the samples that only the second gets right.
        broken: indices of those that only the first gets right.
        p: exact McNemar p-value: the probability of a split at least as uneven if both models are equally accurate.
        classes: in the order of their names.
        params: settings that differ: the name, the first run's value, the second's; None: it has no such setting.
    """

    before: EvaluatedRun
    after: EvaluatedRun
    fixed: list[int]
    broken: list[int]
    p: float
    classes: list[ClassChange]
    params: list[tuple[str, Any, Any]]

    @property
    def difference(self) -> float:
        """The second's accuracy less the first's."""
        return (len(self.fixed) - len(self.broken)) / len(self.before.actual)


def accuracy_of(run: EvaluatedRun) -> tuple[float, float, float]:
    """Return accuracy, 0-1, with the bounds of its 95 % interval by Wilson."""
    return run.correct / len(run.actual), *wilson_interval(run.correct, len(run.actual))


def load_run(repository: Path, name: str) -> EvaluatedRun:
    """Read what was evaluated in the workspace, or in a git revision or an experiment.

    Raises:
        PipelineError: nothing has that name, or it has no predictions, or they are damaged, or are not those of its
            dvc.lock.
    """
    if name == WORKSPACE:
        commit = None
        contents = {}
        for path in (PREDICTIONS, LOCK, PARAMS):
            if not (repository / path).exists():
                raise PipelineError(f"{path}: no such file in the workspace; run dvc repro")
            contents[path] = (repository / path).read_bytes()
    else:
        commit = resolve(repository, name)
        contents = {path: read_file(repository, commit, path) for path in (PREDICTIONS, LOCK, PARAMS)}
    evaluate = parse_lock(contents[LOCK], f"{LOCK} of {name}").get("evaluate")
    if evaluate is None:
        raise PipelineError(f"{name}: its {LOCK} has no stage evaluate; run dvc repro there")
    locked = {entry["path"]: entry["md5"] for entry in (*evaluate["deps"], *evaluate["outs"])}
    if locked.get(PREDICTIONS) != hashlib.md5(contents[PREDICTIONS], usedforsecurity=False).hexdigest():
        raise PipelineError(
            f"{name}: its {PREDICTIONS} is not what evaluate wrote according to its {LOCK}; run dvc repro there"
        )
    table = read_csv(contents[PREDICTIONS], {"actual": str, "predicted": str}, f"{PREDICTIONS} of {name}")
    return EvaluatedRun(
        name=name,
        commit=commit,
        test_data=locked.get(TEST_ARRAYS, ""),
        actual=table["actual"].tolist(),
        predicted=table["predicted"].tolist(),
        params=flatten(parse_yaml(contents[PARAMS], f"{PARAMS} of {name}")),
    )


def compare(before: EvaluatedRun, after: EvaluatedRun) -> Comparison:
    """Compare two runs on the same test samples.

    Raises:
        PipelineError: they were evaluated on different data.
    """
    if before.test_data != after.test_data or before.actual != after.actual:
        sides = "; ".join(
            f"{run.name} on {len(run.actual)} samples ({TEST_ARRAYS} with MD5 {run.test_data[:10] or 'unknown'})"
            for run in (before, after)
        )
        raise PipelineError(f"the two were evaluated on different data and cannot be compared: {sides}")
    fixed: list[int] = []
    broken: list[int] = []
    rows = zip(before.actual, before.predicted, after.predicted, strict=True)
    for index, (actual, first, second) in enumerate(rows):
        if (first == actual) != (second == actual):
            (fixed if second == actual else broken).append(index)
    names = sorted({*before.params, *after.params}, key=[*before.params, *after.params].index)
    return Comparison(
        before=before,
        after=after,
        fixed=fixed,
        broken=broken,
        p=mcnemar(len(fixed), len(broken)),
        classes=_by_class(before, after, fixed, broken),
        params=[
            (name, before.params.get(name), after.params.get(name))
            for name in names
            if before.params.get(name) != after.params.get(name)
        ],
    )


def _by_class(before: EvaluatedRun, after: EvaluatedRun, fixed: list[int], broken: list[int]) -> list[ClassChange]:
    samples = Counter(before.actual)
    correct_before, correct_after = (
        Counter(actual for actual, predicted in zip(run.actual, run.predicted, strict=True) if actual == predicted)
        for run in (before, after)
    )
    was_fixed, was_broken = (Counter(before.actual[index] for index in some) for some in (fixed, broken))
    return [
        ClassChange(name, samples[name], correct_before[name], correct_after[name], was_fixed[name], was_broken[name])
        for name in sorted(samples)
    ]
