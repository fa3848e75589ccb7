"""All experiments of DVC, over all commits: what each changed against its base commit, and its metrics."""

from __future__ import annotations

import fnmatch
import json
import math
import re
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from statistics import fmean, stdev
from typing import Any

from mnist_pipeline.core.errors import PipelineError, RevisionError
from mnist_pipeline.core.statistics import wilson_interval
from mnist_pipeline.core.yaml import changed_values, flatten, parse_yaml
from mnist_pipeline.experiments.runs import SEED, check_was_run
from mnist_pipeline.provenance.dvc import Task, stages_of
from mnist_pipeline.provenance.git import list_experiments, read_objects, resolve
from mnist_pipeline.provenance.paths import (
    DATA_FILES,
    LOCK,
    MODEL,
    PACKAGES,
    PARAMS,
    TEST_DETAILS,
    TRAIN_DETAILS,
    VALIDATION_PREDICTIONS,
)

CODE = ("src", "stages", PACKAGES, DATA_FILES)


@dataclass(frozen=True)
class Entry:
    """An experiment, the last commit, or a failed run of DVC's queue.

    Attributes:
        name: of the experiment.
        commit: its hash.
        base: hash of the commit from which it started; empty for a failed run.
        params: its settings, by dotted name.
        changes: those that differ from its base; None: it lacks the setting.
        code: content of git's lists of the code and the packages.
        code_changed: whether they differ from its base.
        validation, test: accuracies; None: unknown.
        validation_rows, train_rows: samples; 0: unknown.
        predictions: MD5 of its predictions of the validation set; empty: unknown.
        failure: why it failed; empty: it did not.
    """

    name: str
    commit: str
    base: str
    params: Mapping[str, Any]
    changes: Mapping[str, Any]
    code: tuple[bytes | None, ...]
    code_changed: bool
    validation: float | None
    validation_rows: int
    train_rows: int
    test: float | None
    predictions: str
    failure: str = ""


@dataclass
class Row:
    """A row of the table: one run, or several that differ in their seed alone.

    Attributes:
        name: of the run, or a pattern that stands for the group (see ``runs.names_of``).
        entries: the runs.
        versus: how it compares with the best: see ``best.mark``.
        seconds: of training; None: unknown.
    """

    name: str
    entries: Sequence[Entry]
    versus: str = ""
    seconds: float | None = None

    @property
    def changes(self) -> dict[str, Any]:
        """The settings that it changed; of a group without the seed."""
        changes = self.entries[0].changes
        return {name: value for name, value in changes.items() if len(self.entries) == 1 or name != SEED}

    @property
    def validation(self) -> float | None:
        """The validation accuracy; of a group the mean."""
        return mean([entry.validation for entry in self.entries])

    @property
    def test(self) -> float | None:
        """The test accuracy; of a group the mean."""
        return mean([entry.test for entry in self.entries])

    @property
    def half_width(self) -> float | None:
        """Half the 95 % interval of the validation accuracy of one run (Wilson 1927)."""
        share, number = self.entries[0].validation, self.entries[0].validation_rows
        if len(self.entries) > 1 or share is None or not 0 <= share <= 1 or not number:
            return None
        low, high = wilson_interval(round(share * number), number)
        return (high - low) / 2

    def std(self, metric: str) -> float | None:
        """The standard deviation of a metric, ``validation`` or ``test``, over the runs of a group."""
        values = [value for entry in self.entries if (value := getattr(entry, metric)) is not None]
        return stdev(values) if len(values) > 1 else None


def mean(values: Sequence[float | None]) -> float | None:
    """Return the mean of the values that are known; None: none is."""
    known = [value for value in values if value is not None]
    return fmean(known) if known else None


def load_entries(repository: Path) -> list[Entry]:
    """Read all experiments, the newest first, then the last commit as ``HEAD``."""
    head = resolve(repository, "HEAD")
    wanted = [(each.name, each.commit, each.base, "") for each in list_experiments(repository)]
    *experiments, last = _read_entries(repository, [*wanted, ("HEAD", head, head, "")])
    try:  # DVC commits experiments itself; only here can settings be committed without a run
        check_was_run(last.params, stages_of(repository, head), TEST_DETAILS, last.name)
    except RevisionError:  # it has no dvc.lock
        pass
    except PipelineError as error:
        last = replace(last, validation=None, test=None, failure=str(error).partition(": ")[2])
    return [*experiments, last]


def load_failures(repository: Path, tasks: Sequence[Task]) -> list[Entry]:
    """Read what failed tasks of DVC's queue changed."""
    # The id of a task is the short hash of the commit in which DVC keeps its settings.
    wanted = [(task.name or task.id, task.id, f"{task.id}^1", task.reason) for task in tasks]
    return _read_entries(repository, wanted)


def _read_entries(repository: Path, wanted: Sequence[tuple[str, str, str, str]]) -> list[Entry]:
    """Read runs, each given by its name, its commit, its base and why it failed."""
    paths = [PARAMS, LOCK, *CODE, TRAIN_DETAILS, TEST_DETAILS]
    commits = dict.fromkeys(commit for _, *both, _ in wanted for commit in both)
    objects = read_objects(repository, (f"{commit}:{path}" for commit in commits for path in paths))
    return [_entry(*each, objects.get) for each in wanted]


def _entry(name: str, commit: str, base: str, failure: str, read: Callable[[str], bytes | None]) -> Entry:
    params, before = (_params(read(f"{each}:{PARAMS}")) for each in (commit, base))
    lock = read(f"{commit}:{LOCK}")
    code, base_code = (tuple(read(f"{each}:{path}") for path in CODE) for each in (commit, base))

    def metric(path: str, name: str) -> Any:
        value = None if failure else _metrics(read(f"{commit}:{path}")).get(name)
        return value if isinstance(value, (int, float)) and math.isfinite(value) else None

    return Entry(
        name=name,
        commit=commit,
        base="" if failure else base,
        params=params,
        changes=changed_values(before, params) if params and before else {},
        code=code,
        code_changed=bool(before) and code != base_code,
        validation=metric(TRAIN_DETAILS, "validation_accuracy"),
        validation_rows=int(metric(TRAIN_DETAILS, "validation_rows") or 0),
        train_rows=int(metric(TRAIN_DETAILS, "train_rows") or 0),
        # An experiment that stopped after training still has the test accuracy of an earlier model.
        test=metric(TEST_DETAILS, "accuracy") if len(_locked_hashes(lock, MODEL)) < 2 else None,
        predictions=next(iter(_locked_hashes(lock, VALIDATION_PREDICTIONS)), ""),
        failure=failure,
    )


@cache
def _params(content: bytes | None) -> dict[str, Any]:
    try:
        return flatten(parse_yaml(content or b"", PARAMS))
    except PipelineError:  # one run whose settings are damaged does not hide the others
        return {}


def _metrics(content: bytes | None) -> dict[str, Any]:
    try:
        parsed = json.loads(content or b"{}")
    except ValueError:
        return {}
    return parsed if isinstance(parsed, dict) else {}


def _locked_hashes(lock: bytes | None, path: str) -> set[str]:
    """Return the MD5s of a file in a dvc.lock, found in its text: parsing hundreds of them takes seconds."""
    pattern = rf"^ *- path: {re.escape(path)}\n(?:(?! *- ).*\n)*? +md5: (\w+)$"
    return {found.decode() for found in re.findall(pattern.encode(), lock or b"", re.MULTILINE)}


def make_rows(entries: Sequence[Entry], pattern: str = "*", *, group: bool = False) -> list[Row]:
    """Make the rows of a table.

    Args:
        entries: experiments.
        pattern: a glob, or a part, of the names to keep.
        group: whether runs of the same settings, code and packages with different seeds are one row.
    """
    kept = [each for each in entries if pattern in each.name or fnmatch.fnmatchcase(each.name, pattern)]
    groups: dict[Any, dict[Any, Entry]] = {}
    for number, each in enumerate(kept):
        settings = json.dumps({name: value for name, value in each.params.items() if name != SEED}, default=str)
        alone = not group or each.failure or SEED not in each.params
        runs = groups.setdefault(number if alone else (settings, each.code), {})
        runs.setdefault(each.params.get(SEED), each)  # a seed that was run twice is one run
    names = {each.name for each in entries}
    return [
        Row(_group_name([each.name for each in runs.values()], names), [*runs.values()]) for runs in groups.values()
    ]


def _group_name(names: Sequence[str], every: Collection[str]) -> str:
    """Return a pattern for these names: a glob if it matches no other name."""
    if len(names) == 1:
        return names[0]
    first, last = min(names), max(names)  # what they begin with, all begin with
    common = next(length for length in range(len(first), -1, -1) if last.startswith(first[:length]))
    glob = f"{first[:common]}*"
    return glob if set(fnmatch.filter(every, glob)) == set(names) else ",".join(sorted(names))
