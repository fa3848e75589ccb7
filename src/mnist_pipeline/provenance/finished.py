"""The experiments that are still results: of their name, with the code, data and params that are wanted."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from mnist_pipeline.core.yaml import flatten
from mnist_pipeline.provenance.dvc import cached_file, hashes_of, outputs_of, stages_of
from mnist_pipeline.provenance.git import (
    EXPERIMENTS,
    SECONDS,
    changed_files,
    commits_by_name,
    git_lines,
    list_experiments,
    object_hashes,
    resolve,
    run_git,
)
from mnist_pipeline.provenance.paths import CORRECTIONS, PARAMS, is_data


def finished(
    repository: Path, wanted: Mapping[str, dict[str, Any]], names: Collection[str], output: str | None = None
) -> dict[str, str]:
    """Find the experiments that have the code and data of HEAD, and the wanted params.

    Args:
        repository: of git.
        wanted: the content of params.yaml that each must have, by name of the experiment.
        names: of the stages whose inputs count.
        output: that DVC's cache must still have, in which `dvc gc` may have removed it.

    Returns:
        The commit of each, by name.
    """
    head = resolve(repository, "HEAD")
    stages = {name: stage for name, stage in stages_of(repository, head).items() if name in names}
    paths = sorted({path for stage in stages.values() for path in hashes_of(stage, "deps")} - {CORRECTIONS})
    code = object_hashes(repository, head, paths)
    if changed_files(repository, *code):
        return {}
    known = commits_by_name(repository)
    found = {}
    for name, params in wanted.items():
        for commit in known.get(name, []):
            same_code = object_hashes(repository, commit, paths) == code
            if same_code and _stands(repository, commit, stages, params) and _has(repository, commit, output):
                found[name] = commit
                break
    return found


def _stands(repository: Path, commit: str, stages: dict[str, Any], wanted: dict[str, Any]) -> bool:
    """Whether an experiment has the data of ``stages`` and the wanted params."""
    locked, values = stages_of(repository, commit), flatten(wanted)
    for name, stage in stages.items():
        if name not in locked or _data(stage) != _data(locked[name]):
            return False
        used = flatten(locked[name].get("params", {}).get(PARAMS, {}))
        if any(value != values.get(key) for key, value in used.items()):
            return False
    return True


def _has(repository: Path, commit: str, output: str | None) -> bool:
    md5 = output and outputs_of(stages_of(repository, commit)).get(output)
    return output is None or bool(md5 and cached_file(repository, md5).exists())


def forget_without(repository: Path, names: Collection[str], output: str) -> None:
    """Remove the experiments of HEAD, of some names, whose output DVC's cache lacks, so that they can run again."""
    head = resolve(repository, "HEAD")
    for each in list_experiments(repository):
        if each.base == head and each.name in names and not _has(repository, each.commit, output):
            run_git(repository, "update-ref", "-d", each.ref, each.commit)


def _data(stage: dict[str, Any]) -> dict[str, str]:
    return {path: md5 for path, md5 in hashes_of(stage, "deps").items() if is_data(path)}


def remove_others(repository: Path, kept: Mapping[str, str]) -> None:
    """Remove the experiments of some names but one each, whose commit is given, so that the names are unambiguous."""
    for each in list_experiments(repository):
        if kept.get(each.name, each.commit) != each.commit:
            run_git(repository, "update-ref", "-d", each.ref, each.commit)


def seconds_by_commit(repository: Path) -> dict[str, float]:
    """Return how long experiments trained, as their commits say."""
    form = f"--format=%(objectname) %(contents:trailers:key={SECONDS},valueonly)"
    listed = git_lines(repository, "for-each-ref", form, EXPERIMENTS)
    return {words[0]: float(words[1]) for line in listed if len(words := line.split()) == 2}
