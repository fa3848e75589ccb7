"""YAML as DVC writes it (YAML 1.2, where ``1e-3`` is a number and ``on`` is a string), and settings by dotted name."""

from __future__ import annotations

import json
import math
from collections.abc import Collection, Mapping
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


def changed_values(before: Mapping[str, Any], after: Mapping[str, Any]) -> dict[str, Any]:
    """Return the values in ``after`` that differ from those in ``before``, by name; None: ``after`` lacks it."""
    return {name: after.get(name) for name in {**before, **after} if before.get(name) != after.get(name)}


def describe_changes(changes: Mapping[str, Any], known: Collection[str]) -> str:
    """Describe changed settings in short, such as "optimizer=adam epochs=4".

    Args:
        changes: new values by dotted name.
        known: the dotted names of all settings; a changed one is called by its shortest end that stands for no other.
    """
    short = short_names(changes, known)
    return " ".join(f"{short[name]}={setting_text(value)}" for name, value in changes.items())


def short_names(changed: Collection[str], known: Collection[str]) -> dict[str, str]:
    """Map dotted names of settings to their shortest ends that stand for no other setting."""
    ends: dict[str, int] = {}
    for name in {*changed, *known}:
        parts = name.split(".")
        for length in range(1, len(parts) + 1):
            end = ".".join(parts[-length:])
            ends[end] = ends.get(end, 0) + 1
    short = {}
    for name in changed:
        parts = name.split(".")
        candidates = (".".join(parts[-length:]) for length in range(1, len(parts) + 1))
        short[name] = next((end for end in candidates if ends[end] == 1), name)
    return short


def setting_text(value: Any) -> str:
    """Return the value of a setting as the user writes it: text without quotes, else compact JSON."""
    return value if isinstance(value, str) else json.dumps(value, separators=(",", ":"), default=str)
