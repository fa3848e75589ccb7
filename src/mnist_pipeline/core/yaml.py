"""YAML as DVC writes it (YAML 1.2, where ``1e-3`` is a number and ``on`` is a string), and nested mappings."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from mnist_pipeline.core.errors import PipelineError


def read_yaml(path: Path) -> dict[str, Any]:
    """Read a YAML file.

    Raises:
        PipelineError: the file is missing, is not YAML, has a key twice, or is not a mapping.
    """
    try:
        text = path.read_text("utf-8")
    except OSError as error:
        raise PipelineError(f"{path}: cannot be read: {error.strerror}") from None
    except UnicodeDecodeError as error:
        raise PipelineError(f"{path}: must be UTF-8 text; {error}") from None
    return parse_yaml(text, str(path))


def parse_yaml(text: str | bytes, name: str) -> dict[str, Any]:
    """Parse a YAML text with DVC's own parser; ``name`` says in errors where it came from. Raises as ``read_yaml``."""
    try:
        content = YAML(typ="safe").load(text)
    except (YAMLError, ValueError, TypeError, RecursionError) as error:  # `!!int x`, a list as a key, `[[[...`
        raise PipelineError(f"{name}: must be YAML; {error}") from None
    if not isinstance(content, dict):
        raise PipelineError(f"{name}: must be sections with keys below them, was {type(content).__name__}")
    return content


def flatten(content: dict[str, Any]) -> dict[str, Any]:
    """Values by dotted name: {"a": {"b": 1}} gives {"a.b": 1}."""
    flat: dict[str, Any] = {}
    for key, value in content.items():
        if isinstance(value, dict):
            flat |= {f"{key}.{name}": inner for name, inner in flatten(value).items()}
        else:
            flat[key] = value
    return flat
