"""YAML is read as DVC writes it, and what is not YAML of sections is refused."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from mnist_pipeline.core.errors import PipelineError
from mnist_pipeline.core.yaml import changed_values, describe_changes, flatten, parse_yaml, read_yaml, short_names


@pytest.mark.parametrize(
    ("raw", "value"),
    [
        ("1e-3", 0.001),
        ("1e-08", 1e-8),  # as DVC writes it
        ("1e5", 1e5),
        ("010", 10),
        ("1:30", "1:30"),
        ("True", True),
        ("on", "on"),
        ("", None),
    ],
)
def test_words_and_numbers_are_those_of_yaml_1_2(raw: str, value: Any) -> None:
    found = parse_yaml(f"a: {raw}\n", "text")["a"]
    assert found == value
    assert type(found) is type(value)


BOMB = "a: &a {k: 1}\n" + "".join(
    f"{name}: &{name} {{<<: [{', '.join([f'*{before}'] * 9)}]}}\n" for before, name in pairwise("abcdefghij")
)

# id: the file, the message after its path
FILES = {
    "merges of merges": (BOMB.encode(), "must be YAML; its aliases stand for more than 100,000 values"),
    "a list in itself": (b"a: &a [*a]\n", "must be YAML; its aliases stand for more than 100,000 values"),
    "empty": (b"", "must be sections with keys below them, was NoneType"),
    "a list": (b"- train\n", "must be sections with keys below them, was list"),
    "two documents": (b"a: 1\n---\nb: 1\n", "must be YAML; "),
    "Python object": (b"a: !!python/object/apply:os.getcwd []\n", "must be YAML; "),
    "number that is none": (b"a: !!int x\n", "must be YAML; "),
    "3000 brackets": (b"a: " + b"[" * 3000 + b"\n", "must be YAML; "),
    "Latin-1": ("a: é\n".encode("latin-1"), "must be UTF-8 text; "),
}


@pytest.mark.parametrize(("content", "problem"), FILES.values(), ids=FILES)
def test_what_is_not_yaml_of_sections_is_refused(tmp_path: Path, content: bytes, problem: str) -> None:
    path = tmp_path / "params.yaml"
    path.write_bytes(content)
    with pytest.raises(PipelineError) as caught:
        read_yaml(path)
    assert str(caught.value).startswith(f"{path}: {problem}")


@pytest.mark.parametrize("text", ["a: &x {b: 1}\nc: {<<: *x, d: 2}\n", "# 2 * 3\na: {b: 1}\nc: {b: 1, d: '*'}\n"])
def test_a_few_aliases_and_asterisks_are_read(text: str) -> None:
    assert parse_yaml(text, "text")["c"]["b"] == 1


def test_a_key_that_occurs_twice_is_named_with_its_line() -> None:
    with pytest.raises(PipelineError, match=r"(?s)^HEAD:params\.yaml: must be YAML; .*seed.*line 3"):
        parse_yaml(b"train:\n  seed: 1\n  seed: 3\n", "HEAD:params.yaml")


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(PipelineError, match=r"params\.yaml: cannot be read: No such file or directory$"):
        read_yaml(tmp_path / "params.yaml")


def test_nested_keys_are_flattened_to_dotted_names() -> None:
    nested = {"a": {"b": 1, "c": {"d": [2]}}, "e": None, "f": {}}
    assert flatten(nested) == {"a.b": 1, "a.c.d": [2], "e": None}


def test_settings_have_the_shortest_name_that_is_theirs_alone() -> None:
    known = ["train.epochs", "optimizers.sgd.rate", "optimizers.adam.rate", "rate", "fetch.train"]
    assert short_names(known, known) == {
        "train.epochs": "epochs", "optimizers.sgd.rate": "sgd.rate", "optimizers.adam.rate": "adam.rate",
        "rate": "rate", "fetch.train": "train",
    }  # fmt: skip


def test_changes_are_described_as_one_would_type_them() -> None:
    before = {"model.loss": "mse", "train.epochs": 3, "model.units": [3], "model.norm": True, "gone": 1}
    after = {"model.loss": "bce", "train.epochs": 3, "model.units": [30, 20], "model.norm": False}
    changes = changed_values(before, after)
    assert changes == {"model.loss": "bce", "model.units": [30, 20], "model.norm": False, "gone": None}
    assert describe_changes(changes, after) == "loss=bce units=[30,20] norm=false gone=null"
    assert describe_changes({}, after) == ""
