"""YAML as DVC writes it (YAML 1.2, where ``1e-3`` is a number and ``on`` is a string), and nested mappings."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError
from ruamel.yaml.nodes import MappingNode, Node, ScalarNode

from mnist_pipeline.core.errors import PipelineError

MOST_NODES = 100_000
"""Of a text whose aliases are written out: some lines of them can stand for billions."""


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
        aliased = "*" in text if isinstance(text, str) else b"*" in text
        if aliased and _nodes(YAML(typ="safe").compose(text), {}) > MOST_NODES:
            raise ValueError(f"its aliases stand for more than {MOST_NODES:,} values")
        content = YAML(typ="safe").load(text)
    except (YAMLError, ValueError, TypeError, RecursionError) as error:  # `!!int x`, a list as a key, `[[[...`
        raise PipelineError(f"{name}: must be YAML; {error}") from None
    if not isinstance(content, dict):
        raise PipelineError(f"{name}: must be sections with keys below them, was {type(content).__name__}")
    return content


def _nodes(node: Node | None, known: dict[int, float]) -> float:
    """Count the nodes below a node, with those that aliases stand for; infinite if it contains itself."""
    if node is None or isinstance(node, ScalarNode):
        return 1
    if id(node) not in known:
        known[id(node)] = math.inf
        below = [each for pair in node.value for each in pair] if isinstance(node, MappingNode) else node.value
        known[id(node)] = 1 + sum(_nodes(each, known) for each in below)
    return known[id(node)]


def flatten(content: dict[str, Any]) -> dict[str, Any]:
    """Values by dotted name: {"a": {"b": 1}} gives {"a.b": 1}."""
    flat: dict[str, Any] = {}
    for key, value in content.items():
        if isinstance(value, dict):
            flat |= {f"{key}.{name}": inner for name, inner in flatten(value).items()}
        else:
            flat[key] = value
    return flat
