"""Go back to the last commit, knowing first what no commit and no experiment keeps."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from mnist_pipeline.core.errors import PipelineError
from mnist_pipeline.core.files import md5_of
from mnist_pipeline.core.yaml import changed_values, flatten, parse_yaml, setting_text
from mnist_pipeline.provenance.dvc import cached_file, outputs_of, run_dvc, stages_of
from mnist_pipeline.provenance.git import (
    changed_files,
    file_hashes,
    git_lines,
    git_text,
    index_hashes,
    object_hashes,
    read_file,
    resolve,
    run_git,
)
from mnist_pipeline.provenance.paths import LOCK, PARAMS

SHOWN = 3
"""Results that are named; others are counted."""


@dataclass(frozen=True)
class Plan:
    """What a reset changes.

    Attributes:
        commit: hash of the last commit.
        tracked: files of git that it restores: params.yaml, dvc.lock, and what stages write.
        data: outputs that DVC restores from its cache.
        lost: what no commit, no experiment and no cache has: settings, and results, each in a line.
        others: changed files of git that it leaves as they are.
    """

    commit: str
    tracked: list[str]
    data: list[str]
    lost: list[str]
    others: list[str]


def plan_reset(repository: Path) -> Plan:
    """Find what differs from the last commit. Changes nothing.

    Raises:
        PipelineError: this is not the root folder of a repository, or its last commit has no dvc.lock.
    """
    root = Path(git_text(repository, "rev-parse", "--show-toplevel"))
    if root.resolve() != repository.resolve():
        raise PipelineError(f"this must run in the root folder of the repository, was {repository}; run cd {root}")
    commit = resolve(repository, "HEAD")
    outs = outputs_of(stages_of(repository, commit))
    restored = object_hashes(repository, commit, [PARAMS, LOCK, *outs])  # those that git has
    every = changed_files(repository)
    tracked = [path for path in every if path in restored]
    status = json.loads(run_dvc(repository, "data", "status", "--json"))
    differing: dict[str, list[str]] = status.get("uncommitted", {})
    modified = differing.get("modified", [])
    missing = set(differing.get("deleted", [])) - set(status.get("not_in_cache", []))
    data = sorted({*status.get("committed", {}).get("modified", []), *modified, *missing})
    unkept = _unkept(repository, tracked)
    lost = [f"settings: {_changed_settings(repository, commit)}"] if PARAMS in unkept else []
    results = [path for path in unkept if path != PARAMS]
    results += [path for path in modified if not _in_cache(repository, path)]
    if results:
        more = f" and {len(results) - SHOWN} more" if len(results) > SHOWN else ""
        lost.append(f"results: {', '.join(results[:SHOWN])}{more}")
    return Plan(commit, tracked, data, lost, [path for path in every if path not in restored])


def _unkept(repository: Path, paths: Sequence[str]) -> list[str]:
    """Return the files whose content, in the workspace or staged, is in no commit and in no experiment."""
    if not paths:
        return []
    contents = [file_hashes(repository, paths), index_hashes(repository, *paths)]
    without = [f"--exclude=refs/exps/{name}/*" for name in ("celery", "exec")]  # DVC's own, which it removes again
    listed = git_lines(repository, "rev-list", "--objects", "--full-history", *without, "--all", "HEAD", "--", *paths)
    kept = {line.split(" ", 1)[0] for line in listed}
    return [path for path in paths if {content[path] for content in contents if path in content} - kept]


def _changed_settings(repository: Path, commit: str) -> str:
    try:
        now = flatten(parse_yaml((repository / PARAMS).read_bytes(), PARAMS))
        before = flatten(parse_yaml(read_file(repository, commit, PARAMS), PARAMS))
    except (OSError, PipelineError):  # a file that is not YAML can be reset, too
        return PARAMS
    changed = [f"{name}={setting_text(value)}" for name, value in changed_values(before, now).items()]
    return ", ".join(changed) or f"the comments of {PARAMS}"


def _in_cache(repository: Path, path: str) -> bool:
    file = repository / path
    return file.is_file() and cached_file(repository, md5_of(file)).exists()


def go_back(repository: Path, plan: Plan) -> None:
    """Restore what differs from the last commit.

    Raises:
        PipelineError: DVC's cache lacks a file; the files of git are restored.
    """
    if plan.tracked:
        run_git(repository, "restore", f"--source={plan.commit}", "--staged", "--worktree", "--", *plan.tracked)
    try:
        run_dvc(repository, "checkout", *["--force"] * bool(plan.lost))
    except PipelineError as error:
        raise PipelineError(
            f"{PARAMS}, {LOCK} and the results are those of the last commit, but not all data: {error}; "
            "dvc pull or dvc repro restores them"
        ) from None
