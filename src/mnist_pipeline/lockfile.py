"""dvc.lock as it is in a commit, and the files that it names, from DVC's cache."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import yaml

from mnist_pipeline.layout import LOCK
from mnist_pipeline.revisions import RevisionError, read_file
from mnist_pipeline.yaml12 import Yaml12Loader, YamlError


class _LockLoader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc]
    """YAML 1.2 by the C parser: in Python alone, a dvc.lock takes as long as all the rest of a command."""

    yaml_implicit_resolvers = Yaml12Loader.yaml_implicit_resolvers
    yaml_constructors = Yaml12Loader.yaml_constructors


def parse_lock(text: str | bytes, name: str) -> dict[str, Any]:
    """The stages of a dvc.lock, by name; ``name`` says in errors whose it is.

    Raises:
        YamlError: it is no dvc.lock.
    """
    try:
        stages: dict[str, Any] = yaml.load(text, Loader=_LockLoader)["stages"]  # noqa: S506 -- a SafeLoader
    except (yaml.YAMLError, KeyError, TypeError, UnicodeDecodeError) as error:
        raise YamlError(f"{name} must be YAML with stages; {error}") from None
    return stages


@cache
def stages_of(repository: Path, commit: str) -> dict[str, Any]:
    """The stages in the dvc.lock of a commit, by name; read once, since a commit never changes.

    Raises:
        RevisionError: the commit has no dvc.lock.
        YamlError: it is no dvc.lock.
    """
    return parse_lock(read_file(repository, commit, LOCK), f"{LOCK} of {commit[:10]}")


class NotCachedError(LookupError):
    """A file is not in DVC's cache."""


@cache
def _cache_folder(repository: Path) -> Path:
    """Where files are by their MD5."""
    from dvc.repo import Repo

    with Repo(str(repository)) as repo:
        return Path(str(repo.cache.local.path))


def output_of(repository: Path, commit: str, stage: str, path: str) -> Path:
    """Where DVC's cache has an output of a stage as it was in a commit.

    Raises:
        RevisionError: the commit has no dvc.lock, or it has no such output.
        NotCachedError: the file is not here.
    """
    outs = stages_of(repository, commit).get(stage, {}).get("outs", [])
    hashes = [out["md5"] for out in outs if out["path"] == path]
    if not hashes:
        raise RevisionError(f"stage {stage} of commit {commit[:10]} has no output {path}")
    cached: Path = _cache_folder(repository) / hashes[0][:2] / hashes[0][2:]
    if not cached.exists():
        where = f"{path} of commit {commit[:10]}"
        raise NotCachedError(f"{where} is not in DVC's cache; check that commit out and run dvc pull or dvc repro")
    return cached
