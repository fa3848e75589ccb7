"""The runs of the ladder that are done: experiments of their name, with the code, data and params of HEAD."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from mnist_pipeline.core.yaml import flatten
from mnist_pipeline.ladder.spec import Ladder, Run
from mnist_pipeline.provenance.dvc import stages_of
from mnist_pipeline.provenance.git import (
    EXPERIMENTS,
    SECONDS,
    changed_files,
    commits_by_name,
    list_experiments,
    object_hashes,
    resolve,
    run_git,
)
from mnist_pipeline.provenance.paths import CORRECTIONS, PARAMS, is_data

DECISIVE_STAGES = ("train", "evaluate")
"""The stages whose inputs say whether an experiment is still a result of its run."""


def finished(repository: Path, ladder: Ladder, runs: list[Run]) -> dict[Run, str]:
    """Find the experiments that are results of runs: of their name, with the code, data and params of HEAD.

    Returns:
        The commit of each such run.
    """
    head = resolve(repository, "HEAD")
    stages = stages_of(repository, head)
    paths = sorted({dep["path"] for name in DECISIVE_STAGES for dep in stages[name]["deps"]} - {CORRECTIONS})
    code = object_hashes(repository, head, paths)
    if changed_files(repository, *code):
        return {}
    known = commits_by_name(repository)
    found = {}
    for run in runs:
        wanted = ladder.params_of(run).model_dump(mode="json", exclude_unset=True)  # what params.yaml has
        for commit in known.get(run.name, []):
            if object_hashes(repository, commit, paths) == code and _stands(repository, commit, stages, wanted):
                found[run] = commit
                break
    return found


def _stands(repository: Path, commit: str, stages: dict[str, Any], wanted: dict[str, Any]) -> bool:
    """Whether an experiment has the data of ``stages`` and the wanted params."""
    locked = stages_of(repository, commit)
    for name in DECISIVE_STAGES:
        if name not in locked:
            return False
        if _data(stages[name]) != _data(locked[name]):
            return False
        used = flatten(locked[name].get("params", {}).get(PARAMS, {}))
        if any(value != flatten(wanted).get(key) for key, value in used.items()):
            return False
    return True


def _data(stage: dict[str, Any]) -> dict[str, str]:
    return {dep["path"]: dep["md5"] for dep in stage["deps"] if is_data(dep["path"])}


def remove_others(repository: Path, name: str, commit: str) -> None:
    """Remove the experiments of a name but one, so that the name is unambiguous."""
    for each in list_experiments(repository):
        if each.name == name and each.commit != commit:
            run_git(repository, "update-ref", "-d", each.ref, each.commit)


def seconds_by_commit(repository: Path) -> dict[str, float]:
    """Return how long experiments trained, as their commits say."""
    form = f"--format=%(objectname) %(contents:trailers:key={SECONDS},valueonly)"
    listed = run_git(repository, "for-each-ref", form, EXPERIMENTS).decode().splitlines()
    return {words[0]: float(words[1]) for line in listed if len(words := line.split()) == 2}
