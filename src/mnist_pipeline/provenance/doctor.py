"""Find damage: files that are not what dvc.lock, DVC's cache or git says, and what killed commands left lying about.

Neither DVC nor git looks at the content of a file whose size and time are as they were: they miss a flipped bit.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

from mnist_pipeline.core.errors import PipelineError
from mnist_pipeline.core.files import atomic_write, md5_of
from mnist_pipeline.core.yaml import parse_yaml
from mnist_pipeline.provenance.dvc import cache_folder, cached_file, outputs_of, parse_lock, run_dvc
from mnist_pipeline.provenance.git import changed_files, file_hashes, index_hashes, restore
from mnist_pipeline.provenance.paths import LOCK
from mnist_pipeline.provenance.recovery import CLONES, DVC_FILES, Finding, at_work
from mnist_pipeline.provenance.verify import leftovers

CHECKPOINT_DAYS = 30
"""The age from which on a checkpoint is not expected to be used."""


def examine(repository: Path) -> Iterator[Finding]:
    """Find damage; reads every output, its copy in DVC's cache, DVC's run cache, and every file of git."""
    changed = changed_files(repository)
    lock = repository / LOCK
    outs = outputs_of(parse_lock(lock.read_bytes(), LOCK)) if lock.exists() else {}
    yield from _outputs(repository, outs)
    if missing := [path for path in outs if not (repository / path).exists()]:
        problem = f"{len(missing)} outputs are missing, such as {missing[0]}"
        yield Finding(problem, "dvc checkout, dvc pull or dvc repro restores them")
    yield from _run_cache(cache_folder(repository))
    yield from _files_of_git(repository, changed)
    yield from _left_lying(repository)


def _outputs(repository: Path, outs: Mapping[str, str]) -> Iterator[Finding]:
    """Compare outputs and their copies in DVC's cache with the hashes in dvc.lock."""
    others = []
    for path, md5 in outs.items():
        file, cached = repository / path, cached_file(repository, md5)
        other = file.is_file() and md5_of(file) != md5
        if cached.exists() and md5_of(cached) != md5:
            fix = partial(_copy, file, cached) if file.is_file() and not other else cached.unlink
            yield Finding(f"{path} is damaged in DVC's cache: {cached}", "it is replaced from here, or removed", fix)
        others += [path] * other
    edited = _edited(repository) if others else set()  # by DVC, which removes what it finds damaged in its cache
    for path in others:
        if path in edited:
            yield Finding(f"{path} is not what {LOCK} says", "dvc repro makes it again, or mnist reset goes back")
        else:
            fix = partial(_replace, repository / path, cached_file(repository, outs[path]))
            yield Finding(f"{path} is damaged", "DVC's cache replaces it, or it is removed: run dvc repro", fix)


def _edited(repository: Path) -> set[str]:
    """Return the outputs that DVC knows to be others: they were written after it had noted their times."""
    # Of an output that its cache lacks, `dvc status` says no more than that; `dvc data status` knows no output of git.
    edited = set(json.loads(run_dvc(repository, "data", "status", "--json")).get("uncommitted", {}).get("modified", []))
    for stage in json.loads(run_dvc(repository, "status", "--json")).values():
        for change in stage:
            outs = change.get("changed outs", {}) if isinstance(change, dict) else {}
            edited |= {path for path, how in outs.items() if how == "modified"}
    return edited


def _copy(source: Path, target: Path) -> None:
    with atomic_write(target) as temporary:
        shutil.copyfile(source, temporary)


def _replace(file: Path, cached: Path) -> None:
    file.unlink()
    if cached.exists():  # and whole, or it would have been removed
        _copy(cached, file)


def _run_cache(folder: Path) -> Iterator[Finding]:
    """Find files of DVC's run cache that are not what their name says.

    It is the SHA-256 of the content as JSON, without sizes and numbers of files (``dvc.stage.cache``).
    """
    for file in folder.glob("runs/*/*/*"):
        try:
            text = json.dumps(_without_sizes(parse_yaml(file.read_bytes(), str(file))), sort_keys=True)
        except (PipelineError, TypeError):
            text = ""
        if hashlib.sha256(text.encode()).hexdigest() != file.name:
            problem = f"{file} is damaged: DVC takes results of earlier runs from it"
            yield Finding(problem, "it is removed", partial(_remove, file))


def _remove(file: Path) -> None:
    file.unlink()
    with suppress(OSError):  # DVC stops at an empty folder
        file.parent.rmdir()


def _without_sizes(content: Any) -> Any:
    if isinstance(content, list):
        return [_without_sizes(each) for each in content]
    if not isinstance(content, dict):
        return content
    return {key: _without_sizes(each) for key, each in content.items() if key not in ("size", "nfiles")}


def _files_of_git(repository: Path, changed: list[str]) -> Iterator[Finding]:
    """Find files with other content than git's, where git sees no change."""
    staged = index_hashes(repository)
    for path, content in file_hashes(repository, [each for each in staged if each not in changed]).items():
        if content != staged[path]:
            yield Finding(f"{path} is damaged", "git restores it", partial(restore, repository, path))


def _left_lying(repository: Path) -> Iterator[Finding]:
    """Find what killed commands left, and checkpoints that no run will take up; train itself checks the others."""
    left = leftovers()
    for path in (*repository.glob(".scratch/train/*"), *repository.glob(".scratch/checkpoints/**/*.safetensors")):
        if path.suffix == ".unusable" or path.stat().st_mtime < time.time() - 86_400 * CHECKPOINT_DAYS:
            left.append(path)
    if not at_work(repository):
        places = (
            f"{DVC_FILES}/exps/tmp*",
            *(f"{name}/**/.*.tmp" for name in ("data", "metrics", "models", ".scratch")),
        )
        found = [path for place in places for path in repository.glob(place)]
        left += [path for path in found if repository / CLONES not in path.parents]
    for path in left:
        remove = partial(shutil.rmtree, path) if path.is_dir() else path.unlink
        yield Finding(f"{path} is left from a command that was killed", "it is removed", remove)
