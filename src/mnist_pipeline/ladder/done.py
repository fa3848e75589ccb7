"""Which runs of the ladder are done as DVC experiments, and whether others can be run."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from mnist_pipeline.core.errors import PipelineError
from mnist_pipeline.core.yaml import flatten
from mnist_pipeline.ladder.spec import Ladder, Run
from mnist_pipeline.provenance.dvc import cached_file, stages_of
from mnist_pipeline.provenance.git import changed_files, commits_by_name, object_hashes, resolve, run_git
from mnist_pipeline.provenance.paths import CORRECTIONS, PARAMS, STEPS, is_data

DECISIVE_STAGES = ("train", "evaluate")
"""The stages whose inputs say whether an experiment is still a result of its run."""


def check_ready(repository: Path) -> None:
    """Check that new experiments will be of the commit, and that DVC's queue can run them.

    Raises:
        PipelineError: a tracked file has changes, the data was never prepared here, or the queue would lose every run
            after training it: in a shallow clone (https://github.com/treeverse/dvc/issues/8844), or at a path that
            differs from its own address.
    """
    if run_git(repository, "rev-parse", "--is-shallow-repository") == b"true\n":
        raise PipelineError("DVC's queue loses runs in a shallow clone; run git fetch --unshallow")
    if re.search(r"[^ -~]|[%#?]", path := str(repository.resolve())):
        raise PipelineError(f"DVC's queue loses runs in folders whose names are not plain ASCII, or have % # ?: {path}")
    if changed := changed_files(repository):
        raise PipelineError(f"an experiment would include uncommitted changes; commit or stash {', '.join(changed)}")
    for out in stages_of(repository, resolve(repository, "HEAD"))["validate"]["outs"]:
        if not Path(repository, out["path"]).exists():
            raise PipelineError(f"{out['path']} is missing, and each experiment would make it again; run dvc repro")


def finished(repository: Path, ladder: Ladder, runs: list[Run]) -> dict[Run, str]:
    """Find the experiments that are results of runs: of their name, with the code, data and params of HEAD, and whole.

    Returns:
        The commit of each such run.
    """
    head = resolve(repository, "HEAD")
    return {} if changed_files(repository, *_code(repository, head)) else done_with(repository, ladder, runs, head)


def done_with(repository: Path, ladder: Ladder, runs: list[Run], commit: str) -> dict[Run, str]:
    """Find the experiments that are results of runs with the code and data of a commit; see ``finished``."""
    stages, code, known = stages_of(repository, commit), _code(repository, commit), commits_by_name(repository)
    found = {}
    for run in runs:
        wanted = ladder.params_of(run).model_dump(mode="json", exclude_unset=True)  # what params.yaml has
        for each in known.get(run.name, []):
            same_code = object_hashes(repository, each, list(code)) == code
            if same_code and _stands(repository, each, stages, wanted):
                found[run] = each
                break
    return found


def _code(repository: Path, commit: str) -> dict[str, str]:
    """Return the hashes of the code that decides on results, by path."""
    stages = stages_of(repository, commit)
    paths = {dep["path"] for name in DECISIVE_STAGES for dep in stages[name]["deps"]} - {CORRECTIONS}
    return object_hashes(repository, commit, sorted(paths))


def _stands(repository: Path, commit: str, stages: dict[str, Any], wanted: dict[str, Any]) -> bool:
    """Whether an experiment has the data of ``stages`` and the wanted params, and what `dvc gc` may have removed."""
    locked = stages_of(repository, commit)
    for name in DECISIVE_STAGES:
        if name not in locked:
            return False
        if _data(stages[name]) != _data(locked[name]):
            return False
        used = flatten(locked[name].get("params", {}).get(PARAMS, {}))
        if any(value != flatten(wanted).get(key) for key, value in used.items()):
            return False
    (steps,) = (out["md5"] for stage in locked.values() for out in stage["outs"] if out["path"] == STEPS)
    return cached_file(repository, steps).exists()


def _data(stage: dict[str, Any]) -> dict[str, str]:
    return {dep["path"]: dep["md5"] for dep in stage["deps"] if is_data(dep["path"])}
