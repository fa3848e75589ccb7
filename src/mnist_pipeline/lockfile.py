"""dvc.lock as it is in a commit."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

from mnist_pipeline.revisions import read_file
from mnist_pipeline.yaml12 import parse_yaml


@cache
def stages_of(repository: Path, commit: str) -> dict[str, Any]:
    """The stages in the dvc.lock of a commit, by name; read once, since a commit never changes.

    Raises:
        RevisionError: the commit has no dvc.lock.
        YamlError: it is no YAML.
    """
    text = read_file(repository, commit, "dvc.lock").decode("utf-8")
    stages: dict[str, Any] = parse_yaml(text, f"dvc.lock of {commit[:10]}").get("stages", {})
    return stages
