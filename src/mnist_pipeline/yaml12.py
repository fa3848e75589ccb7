"""YAML files as DVC writes them."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import yaml


class YamlError(ValueError):
    """A file is missing, is not YAML, or is no mapping."""


class Yaml12Loader(yaml.SafeLoader):
    """PyYAML with the numbers and booleans of YAML 1.2, which is what DVC writes, and no duplicate keys.

    Plain PyYAML follows YAML 1.1, where ``1e-3`` is a string and ``on`` is a boolean.
    """

    yaml_implicit_resolvers = {  # noqa: RUF012 -- PyYAML's own way to configure a loader
        first: [
            (tag, pattern)
            for tag, pattern in resolvers
            if tag not in ("tag:yaml.org,2002:bool", "tag:yaml.org,2002:float", "tag:yaml.org,2002:int")
        ]
        for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        """As PyYAML's, but a key that appears twice is an error."""
        seen: set[str] = set()
        for key, _ in node.value:
            if key.value in seen:
                raise yaml.constructor.ConstructorError(
                    None, None, f"the key {key.value!r} appears twice", key.start_mark
                )
            seen.add(key.value)
        return super().construct_mapping(node, deep)

    def construct_decimal(self, node: yaml.ScalarNode) -> int:
        """A whole number; PyYAML's would take 010 for 8."""
        return int(node.value)

    def construct_exponent(self, node: yaml.ScalarNode) -> float:
        """A number with a point or an exponent, or both."""
        return float(node.value)


for _tag, _pattern, _first in (
    ("tag:yaml.org,2002:bool", r"^(?:true|True|TRUE|false|False|FALSE)$", "tTfF"),
    ("tag:yaml.org,2002:int", r"^[-+]?[0-9]+$", "-+0123456789"),
    (
        "tag:yaml.org,2002:float",
        r"^[-+]?(?:(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?)$",
        "-+.0123456789",
    ),
):
    Yaml12Loader.add_implicit_resolver(_tag, re.compile(_pattern), list(_first))
Yaml12Loader.add_constructor("tag:yaml.org,2002:int", Yaml12Loader.construct_decimal)
Yaml12Loader.add_constructor("tag:yaml.org,2002:float", Yaml12Loader.construct_exponent)


def read_yaml(path: Path) -> dict[str, Any]:
    """The content of a YAML file.

    Raises:
        YamlError: the file is missing, is not YAML, has a key twice, or is no mapping; the message says where.
    """
    try:
        text = path.read_text("utf-8")
    except FileNotFoundError:
        raise YamlError(f"{path}: no such file; run from the root of the repository") from None
    except UnicodeDecodeError as error:
        raise YamlError(f"{path}: must be UTF-8 text; {error}") from None
    return parse_yaml(text, str(path))


def parse_yaml(text: str, name: str) -> dict[str, Any]:
    """The content of a YAML text; ``name`` says in errors where it came from. Raises as ``read_yaml`` does."""
    try:
        content = yaml.load(text, Loader=Yaml12Loader)  # noqa: S506 -- a SafeLoader
    except (yaml.YAMLError, ValueError, TypeError, RecursionError) as error:  # `!!int x`, a list as a key, `[[[...`
        raise YamlError(f"{name}: must be YAML; {error}") from None
    if not isinstance(content, dict):
        raise YamlError(f"{name}: must be sections with keys below them, was {type(content).__name__}")
    return content
