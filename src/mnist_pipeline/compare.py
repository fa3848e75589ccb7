"""Two runs side by side, from what git has of them: nothing is checked out, nothing is computed anew."""

from __future__ import annotations

import csv
import hashlib
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mnist_pipeline.intervals import wilson
from mnist_pipeline.layout import LOCK, PARAMS, PREDICTIONS, TEST_ARRAYS
from mnist_pipeline.lockfile import parse_lock
from mnist_pipeline.paired import mcnemar
from mnist_pipeline.revisions import read_file, resolve
from mnist_pipeline.yaml12 import parse_yaml

WORKSPACE = "workspace"


class CompareError(ValueError):
    """The two cannot be compared."""


@dataclass(frozen=True)
class Sample:
    """One test sample: its class, and what was predicted, by name."""

    actual: str
    predicted: str


@dataclass(frozen=True)
class Evaluated:
    """A run that was evaluated.

    Attributes:
        name: as the user gave it.
        commit: its hash; None: the workspace.
        test_data: MD5 of the test arrays on which it was evaluated.
        samples: every test sample, in order.
        params: its settings, by dotted name.
    """

    name: str
    commit: str | None
    test_data: str
    samples: list[Sample]
    params: dict[str, Any]

    @property
    def correct(self) -> int:
        """How many samples it gets right."""
        return sum(sample.predicted == sample.actual for sample in self.samples)


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
        p: exact McNemar p-value: how likely so uneven a split of the two is if both models are equally good.
        classes: in the order of their names.
        params: settings that differ: the name, the first run's value, the second's; None: it has no such setting.
    """

    before: Evaluated
    after: Evaluated
    fixed: list[int]
    broken: list[int]
    p: float
    classes: list[ClassChange]
    params: list[tuple[str, Any, Any]]

    @property
    def difference(self) -> float:
        """The second's accuracy less the first's."""
        return (len(self.fixed) - len(self.broken)) / len(self.before.samples)


def accuracy_of(run: Evaluated) -> tuple[float, float, float]:
    """Accuracy, 0-1, with the bounds of its 95 % interval by Wilson."""
    return run.correct / len(run.samples), *wilson(run.correct, len(run.samples))


def load_evaluated(repository: Path, name: str) -> Evaluated:
    """Read what was evaluated in the workspace, or in a git revision or an experiment.

    Raises:
        RevisionError: nothing has that name, or it has no predictions.
        CompareError: its predictions are damaged, or are not those of its dvc.lock.
        YamlError: its dvc.lock or its params are damaged.
    """
    if name == WORKSPACE:
        commit = None
        contents = {}
        for path in (PREDICTIONS, LOCK, PARAMS):
            if not (repository / path).exists():
                raise CompareError(f"{path}: no such file in the workspace; run dvc repro")
            contents[path] = (repository / path).read_bytes()
    else:
        commit = resolve(repository, name)
        contents = {path: read_file(repository, commit, path) for path in (PREDICTIONS, LOCK, PARAMS)}
    evaluate = parse_lock(contents[LOCK], f"{LOCK} of {name}").get("evaluate")
    if evaluate is None:
        raise CompareError(f"{name}: its {LOCK} has no stage evaluate; run dvc repro there")
    locked = {entry["path"]: entry["md5"] for entry in (*evaluate["deps"], *evaluate["outs"])}
    if locked.get(PREDICTIONS) != hashlib.md5(contents[PREDICTIONS], usedforsecurity=False).hexdigest():
        raise CompareError(
            f"{name}: its {PREDICTIONS} is not what evaluate wrote according to its {LOCK}; run dvc repro there"
        )
    return Evaluated(
        name=name,
        commit=commit,
        test_data=locked.get(TEST_ARRAYS, ""),
        samples=_samples(contents[PREDICTIONS], name),
        params=dict(_flat(parse_yaml(contents[PARAMS].decode("utf-8"), f"{PARAMS} of {name}"))),
    )


def _samples(content: bytes, name: str) -> list[Sample]:
    try:
        rows = csv.DictReader(content.decode("utf-8").splitlines())
        return [Sample(row["actual"], row["predicted"]) for row in rows]
    except (UnicodeDecodeError, KeyError) as error:
        raise CompareError(f"{name}: its {PREDICTIONS} must have the columns actual and predicted; {error}") from None


def _flat(content: dict[str, Any], prefix: str = "") -> list[tuple[str, Any]]:
    found: list[tuple[str, Any]] = []
    for key, value in content.items():
        if isinstance(value, dict):
            found += _flat(value, f"{prefix}{key}.")
        else:
            found.append((f"{prefix}{key}", value))
    return found


def compare(before: Evaluated, after: Evaluated) -> Comparison:
    """Set two runs side by side.

    Raises:
        CompareError: they were evaluated on different data.
    """
    if before.test_data != after.test_data or [s.actual for s in before.samples] != [s.actual for s in after.samples]:
        sides = "; ".join(
            f"{run.name} on {len(run.samples)} samples ({TEST_ARRAYS} with MD5 {run.test_data[:10] or 'unknown'})"
            for run in (before, after)
        )
        raise CompareError(f"the two were evaluated on different data and cannot be compared: {sides}")
    fixed: list[int] = []
    broken: list[int] = []
    for index, (a, b) in enumerate(zip(before.samples, after.samples, strict=True)):
        if (a.predicted == a.actual) != (b.predicted == b.actual):
            (fixed if b.predicted == b.actual else broken).append(index)
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


def _by_class(before: Evaluated, after: Evaluated, fixed: list[int], broken: list[int]) -> list[ClassChange]:
    samples = Counter(sample.actual for sample in before.samples)
    right_before, right_after = (
        Counter(sample.actual for sample in run.samples if sample.actual == sample.predicted) for run in (before, after)
    )
    was_fixed, was_broken = (Counter(before.samples[index].actual for index in some) for some in (fixed, broken))
    return [
        ClassChange(name, samples[name], right_before[name], right_after[name], was_fixed[name], was_broken[name])
        for name in sorted(samples)
    ]
