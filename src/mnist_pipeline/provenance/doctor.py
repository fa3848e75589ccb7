"""Find damage: files that are not what dvc.lock, DVC's cache or git says, and what killed commands left lying about.

Neither DVC nor git looks at the content of a file whose size and time are as they were: they miss a flipped bit.
"""

from __future__ import annotations

import json
import os
import shutil
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from mnist_pipeline.core.files import atomic_write, md5_of
from mnist_pipeline.provenance.child import run_child
from mnist_pipeline.provenance.dvc import cached_file, parse_lock, run_dvc
from mnist_pipeline.provenance.git import changed_files, run_git
from mnist_pipeline.provenance.paths import LOCK
from mnist_pipeline.provenance.recovery import DVC_FILES, Finding, at_work
from mnist_pipeline.provenance.verify import leftovers

SCRATCH = Path(".scratch")
STALE_DAYS = 30
"""The age from which on a checkpoint is not expected to be used."""


def examine(repository: Path) -> Iterator[Finding]:
    """Find all that is wrong; reads every output, its copy in DVC's cache, and every file of git."""
    status = json.loads(run_dvc(repository, "data", "status", "--json"))
    changed = {*status.get("uncommitted", {}).get("modified", []), *changed_files(repository)}
    yield from _outputs(repository, changed)
    yield from _files_of_git(repository, changed)
    yield from _left_lying(repository)


def _outputs(repository: Path, changed: set[str]) -> Iterator[Finding]:
    """Find outputs that are not what dvc.lock says, here and in DVC's cache."""
    lock = repository / LOCK
    stages = parse_lock(lock.read_bytes(), LOCK).values() if lock.exists() else []
    missing = []
    for path, md5 in ((out["path"], out["md5"]) for stage in stages for out in stage.get("outs", [])):
        file, cached = repository / path, cached_file(repository, md5)
        found = md5_of(file) if file.is_file() else None
        if cached.exists() and md5_of(cached) != md5:
            fix = partial(_copy, file, cached) if found == md5 else cached.unlink
            yield Finding(f"{path} is damaged in DVC's cache: {cached}", "it is replaced from here, or removed", fix)
        if found is None:
            missing.append(path)
        elif found != md5 and path in changed:
            yield Finding(f"{path} is not what {LOCK} says", "dvc repro makes it again, or mnist reset goes back")
        elif found != md5:
            fix = partial(_replace, file, cached, md5)
            yield Finding(f"{path} is damaged", "DVC's cache replaces it, or it is removed: run dvc repro", fix)
    if missing:
        yield Finding(
            f"{len(missing)} outputs are missing, such as {missing[0]}", "dvc checkout, pull or repro brings them"
        )


def _copy(source: Path, target: Path) -> None:
    target.parent.chmod(0o755)
    with atomic_write(target) as temporary:
        shutil.copyfile(source, temporary)


def _replace(file: Path, cached: Path, md5: str) -> None:
    file.unlink()
    if cached.exists() and md5_of(cached) == md5:
        _copy(cached, file)


def _files_of_git(repository: Path, changed: set[str]) -> Iterator[Finding]:
    """Find files with other content than git's, where git sees no change."""
    entries = os.fsdecode(run_git(repository, "ls-files", "--stage", "-z")).split("\0")[:-1]
    hashes = {path: fields.split()[1] for fields, _, path in (entry.partition("\t") for entry in entries)}
    paths = [path for path in hashes if path not in changed and (repository / path).is_file()]
    given = os.fsencode("\n".join(paths))
    found = run_child(["git", "hash-object", "--stdin-paths"], repository, given=given).stdout.decode().split()
    for path, content in zip(paths, found, strict=True):
        if content != hashes[path]:
            yield Finding(f"{path} is damaged", "git restores it", partial(_restore, repository, path))


def _restore(repository: Path, path: str) -> None:
    (repository / path).unlink(missing_ok=True)  # git believes that it is as it was
    run_git(repository, "restore", "--worktree", "--", path)


def _left_lying(repository: Path) -> Iterator[Finding]:
    """Find what killed commands left, and checkpoints that no run will take up; train itself checks the others."""
    checkpoints = repository / SCRATCH / "train"
    for path in (*checkpoints.glob("*.safetensors"), *checkpoints.glob("*.unusable")):
        days = (time.time() - path.stat().st_mtime) / 86_400
        if days > STALE_DAYS or path.suffix == ".unusable":
            yield Finding(f"{path}, a checkpoint, is {days:.0f} days old", "it is removed", path.unlink)
    left = leftovers()
    if not at_work(repository):
        left += (repository / DVC_FILES / "exps").glob("tmp*")
        left += (
            path for name in ("data", "metrics", "models", SCRATCH) for path in repository.glob(f"{name}/**/.*.tmp")
        )
    for path in left:
        remove = partial(shutil.rmtree, path) if path.is_dir() else path.unlink
        yield Finding(f"{path} is left from a command that was killed", "it is removed", remove)
