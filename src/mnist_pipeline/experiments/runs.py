"""Runs to compare, from what git and DVC keep of them: nothing is checked out, nothing is computed again."""

from __future__ import annotations

import fnmatch
import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mnist_pipeline.core.errors import PipelineError, RevisionError
from mnist_pipeline.core.files import read_csv
from mnist_pipeline.core.yaml import changed_values, flatten, parse_yaml
from mnist_pipeline.provenance.dvc import hashes_of, parse_lock, read_output, with_upstream
from mnist_pipeline.provenance.git import commits_by_name, resolve
from mnist_pipeline.provenance.paths import LOCK, PACKAGES, PARAMS, is_data

if TYPE_CHECKING:
    import pandas as pd

WORKSPACE = "workspace"
SEED = "train.seed"


@dataclass(frozen=True)
class Run:
    """A run: predictions, and what they were made of.

    Attributes:
        name: as the user gave it.
        commit: its hash; None: the workspace.
        predictions: a row for each sample.
        params: its settings, by dotted name.
        data: hash of the data that the predictions are of, as dvc.lock has it; empty if unknown.
        code: hash of the code that made them; empty if unknown.
        packages: hash of requirements.lock that they were made with; empty if unknown.
    """

    name: str
    commit: str | None
    predictions: pd.DataFrame
    params: dict[str, Any]
    data: str
    code: str
    packages: str


@dataclass(frozen=True)
class Group:
    """Runs of the same settings, which differ in their seed alone.

    Attributes:
        name: as the user gave it.
        runs: at least one.
    """

    name: str
    runs: tuple[Run, ...]

    @property
    def settings(self) -> dict[str, Any]:
        """The settings of its runs, without the seed if there are several."""
        params = self.runs[0].params
        return params if len(self.runs) == 1 else {name: value for name, value in params.items() if name != SEED}


def names_of(repository: Path, pattern: str) -> list[str]:
    """Return the names that a pattern stands for: names with commas between them, or globs of experiments.

    Raises:
        PipelineError: a glob matches no experiment.
    """
    names: list[str] = []
    for part in pattern.split(","):
        if not any(character in part for character in "*?["):
            names.append(part)
            continue
        known = commits_by_name(repository)
        if not (found := sorted(fnmatch.filter(known, part))):
            some = f"; there are {', '.join(sorted(known)[:10])}" if known else "; there are no experiments here"
            raise PipelineError(f"{part!r} matches no experiment{some}")
        names += found
    return list(dict.fromkeys(names))


def load_group(repository: Path, pattern: str, path: str, types: Mapping[str, type]) -> Group:
    """Read a group of runs.

    Args:
        repository: with the experiments.
        pattern: see ``names_of``; "workspace" is the workspace.
        path: of the predictions, in the repository.
        types: the columns that the predictions must have.

    Raises:
        PipelineError: nothing has such a name, a run has no such predictions, or they are not those of its dvc.lock; or
            the runs are of different settings.
    """
    runs = tuple(load_run(repository, name, path, types) for name in names_of(repository, pattern))
    group = Group(pattern, runs)
    for run in runs[1:]:
        differing = [name for name in changed_values(runs[0].params, run.params) if name != SEED]
        if differing:
            raise PipelineError(
                f"{pattern!r} mixes runs of different settings: {runs[0].name} and {run.name} differ in "
                f"{', '.join(differing[:5])}; a group is runs of the same settings that differ in {SEED} alone"
            )
    seeds = [run.params.get(SEED, run.commit) for run in runs]
    if len(set(seeds)) < len(seeds):
        raise PipelineError(f"{pattern!r} has two runs with the same {SEED}: the same run twice is not two runs")
    return group


def load_run(repository: Path, name: str, path: str, types: Mapping[str, type]) -> Run:
    """Read one run; see ``load_group``."""
    commit = None if name == WORKSPACE else resolve(repository, name)
    content = _read(repository, commit, path)
    lock_text, params_text = (_optional(repository, commit, each) for each in (LOCK, PARAMS))
    lock = {} if lock_text is None else parse_lock(lock_text, f"{LOCK} of {name}")
    params = {} if params_text is None else flatten(parse_yaml(params_text, f"{PARAMS} of {name}"))
    stage: Mapping[str, Any] = next((each for each in lock.values() if path in hashes_of(each, "outs")), {})
    recorded = hashes_of(stage, "outs").get(path)
    if recorded and recorded != hashlib.md5(content, usedforsecurity=False).hexdigest():
        raise PipelineError(f"{name}: its {path} is not what {LOCK} records; run dvc repro there")
    check_was_run(params, lock, path, name)
    deps = hashes_of(stage, "deps")
    read = {each: md5 for stage in lock.values() for each, md5 in hashes_of(stage, "deps").items()}
    code = {each: md5 for each, md5 in read.items() if each.startswith(("src/", "stages/"))}
    data = {each: md5 for each, md5 in deps.items() if is_data(each)}
    return Run(
        name=name,
        commit=commit,
        predictions=read_csv(content, types, f"{path} of {name}"),
        params=params,
        data=digest(data) if data else "",
        code=digest(code) if code else "",
        packages=deps.get(PACKAGES, ""),
    )


def check_was_run(params: Mapping[str, Any], lock: Mapping[str, Any], path: str, name: str) -> None:
    """Raise a ``PipelineError`` if the settings of a run are not those that its file ``path`` was made with."""
    makers = [each for each, stage in lock.items() if path in hashes_of(stage, "outs")]
    for stage in with_upstream(lock, makers).values():
        for key, value in flatten(stage.get("params", {}).get(PARAMS, {})).items():
            if key in params and params[key] != value:
                raise PipelineError(
                    f"{name}: {PARAMS} was edited after the run: {key} is {params[key]!r}, its results are of "
                    f"{value!r}; run dvc repro, or restore {PARAMS}"
                )


def digest(content: Mapping[str, Any]) -> str:
    """Return a hash of JSON content, whatever the order of its keys: 12 hexadecimal digits."""
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:12]


def _optional(repository: Path, commit: str | None, path: str) -> bytes | None:
    try:
        return _read(repository, commit, path)
    except PipelineError:
        return None


def _read(repository: Path, commit: str | None, path: str) -> bytes:
    if commit is not None:
        try:
            return read_output(repository, commit, path)
        except RevisionError:
            raise PipelineError(f"{path} is not in commit {commit[:10]}, nor an output of its stages") from None
    if not (repository / path).exists():
        raise PipelineError(f"{path}: no such file in the workspace; run dvc repro")
    return (repository / path).read_bytes()


def check_comparable(before: Group, after: Group) -> list[str]:
    """Check that two groups can be compared.

    Returns:
        Warnings: runs of different code or packages, and too few runs for a two-way test.

    Raises:
        PipelineError: they are not of the same samples, or share a run.
    """
    runs = [*before.runs, *after.runs]
    shared = {run.commit for run in before.runs if run.commit} & {run.commit for run in after.runs}
    if shared and {run.commit for run in before.runs} != {run.commit for run in after.runs}:
        names = ", ".join(run.name for run in after.runs if run.commit in shared)
        raise PipelineError(f"{before.name} and {after.name} share the runs {names}; a run can only be on one side")
    first = runs[0]
    if len(first.predictions) < 2:
        raise PipelineError(f"{first.name} has {len(first.predictions)} samples; a comparison needs two or more")
    for run in runs[1:]:
        classes = [each.predictions.get("actual") for each in (first, run)]
        same = len(run.predictions) == len(first.predictions) and (
            classes[0] is None or classes[1] is None or classes[0].equals(classes[1])
        )
        if not same or (run.data and first.data and run.data != first.data):
            raise PipelineError(
                "they are of different test sets and cannot be compared: "
                f"{first.name} has {len(first.predictions)} samples (data {first.data or 'unknown'}), "
                f"{run.name} {len(run.predictions)} (data {run.data or 'unknown'})"
            )
    few_runs = "with fewer than three runs on a side, verdicts err more often than they state"
    warnings = [few_runs] if min(len(before.runs), len(after.runs)) < 3 <= len(runs) else []
    return [*warnings, *(warning for what in ("code", "packages") if (warning := _mixed(runs, what)))]


def _mixed(runs: Sequence[Run], what: str) -> str:
    """Name the runs that were made with other code or packages than the first."""
    others = [run.name for run in runs if getattr(run, what) != getattr(runs[0], what)]
    return f"of other {what} than {runs[0].name}: {', '.join(others)}" if others else ""
