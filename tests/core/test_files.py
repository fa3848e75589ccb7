"""Files are written whole or not at all, always the same way, and read back as they were written."""

from __future__ import annotations

import math
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mnist_pipeline.core.errors import PipelineError
from mnist_pipeline.core.files import atomic_write, read_csv, write_csv, write_json


class Broken(Exception):  # noqa: N818
    """Whatever may go wrong while a file is written."""


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_a_file_appears_under_its_name_only_at_the_end(tmp_path: Path) -> None:
    path = tmp_path / "new" / "folders" / "result"
    for content in (b"first", b"second"):
        before = path.read_bytes() if path.exists() else None
        with atomic_write(path) as temporary:
            temporary.write_bytes(content)
            assert temporary.parent == path.parent  # the same file system
            assert (path.read_bytes() if path.exists() else None) == before
        assert contents(path.parent) == {"result": content}


@pytest.mark.parametrize("error", [Broken, KeyboardInterrupt])
def test_an_exception_leaves_what_was_there(tmp_path: Path, error: type[BaseException]) -> None:
    (tmp_path / "result").write_bytes(b"old")
    for name in ("result", "new"):
        with pytest.raises(error), atomic_write(tmp_path / name) as temporary:
            temporary.write_bytes(b"ne")
            raise error
    assert contents(tmp_path) == {"result": b"old"}


def test_content_reaches_the_disk_before_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "result"
    seen: list[tuple[bytes, bool]] = []
    monkeypatch.setattr(os, "fsync", lambda file: seen.append((os.pread(file, 100, 0), path.exists())))
    with atomic_write(path) as temporary:
        temporary.write_bytes(b"new")
    assert seen == [(b"new", False)]


def test_leftovers_of_killed_processes_are_removed(tmp_path: Path) -> None:
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    kept = [f".res[1].{os.getppid()}.tmp", ".res[1].1.tmp", f".other.{ended.pid}.tmp", ".res[1].mine.tmp"]
    for name in [f".res[1].{ended.pid}.tmp", *kept]:
        (tmp_path / name).write_bytes(b"part")
    with atomic_write(tmp_path / "res[1]") as temporary:
        temporary.write_bytes(b"new")
    assert set(contents(tmp_path)) == {"res[1]", *kept}


def test_json_is_written_to_the_byte_and_nan_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "metrics.json"
    content = {"z": 1, "a": 0.123456789, "ü": None, "list": (1, 2.0000001, True), "below": {"x": "1.23456789"}}
    write_json(path, content)
    assert path.read_bytes().decode("utf-8") == (
        '{\n  "z": 1,\n  "a": 0.123457,\n  "ü": null,\n  "list": [\n    1,\n    2.0,\n    true\n  ],\n'
        '  "below": {\n    "x": "1.23456789"\n  }\n}\n'
    )
    with pytest.raises(ValueError, match="not JSON compliant"):
        write_json(path, {"loss": [0.5, math.nan]})


def test_csv_is_written_to_the_byte(tmp_path: Path) -> None:
    path = tmp_path / "history.csv"
    rows: Iterator[tuple[Any, ...]] = iter([(1, 0.123456789, None), (2, 1.0, 'a "b", c'), (3, 1e-9, "ü")])
    write_csv(path, ["epoch", "loss", "note"], rows)
    assert path.read_bytes().decode("utf-8") == 'epoch,loss,note\n1,0.123457,\n2,1.0,"a ""b"", c"\n3,0.0,ü\n'


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.1234564, "0.123456"),
        (-0.1234566, "-0.123457"),
        (-1e-7, "0.0"),  # not -0.0
        (1e22, "1e+22"),
        (0.00001, "1e-05"),
        (np.float64(0.1234566), "0.123457"),
        (12345678901234567890, "12345678901234567890"),
    ],
)
def test_a_number_is_written_the_same_in_json_and_csv(tmp_path: Path, value: float, text: str) -> None:
    write_json(tmp_path / "number.json", [{"x": value}])
    write_csv(tmp_path / "number.csv", ["x"], [[value]])
    assert (tmp_path / "number.json").read_text("utf-8") == f'[\n  {{\n    "x": {text}\n  }}\n]\n'
    assert (tmp_path / "number.csv").read_text("utf-8") == f"x\n{text}\n"


def test_a_csv_is_read_with_the_types_of_its_columns(tmp_path: Path) -> None:
    path = tmp_path / "table.csv"
    write_csv(path, ["class", "n", "loss", "more"], [("NA", 1, None, 1), ("", 2, 0.5, 2), ("007", 3, 2, None)])
    types = {"class": str, "n": int, "loss": float}
    for source in (path, path.read_bytes()):
        table = read_csv(source, types)
        assert table["class"].tolist() == ["NA", "", "007"]
        assert table["n"].tolist() == [1, 2, 3]
        assert math.isnan(table["loss"][0])
        assert table["loss"].tolist()[1:] == [0.5, 2.0]


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"", "cannot be read as CSV; "),
        (b"n,loss\n,1\n", "cannot be read as CSV; "),
        (b"n,loss\n1,high\n", "cannot be read as CSV; "),
        (b"n,loss\n1,2\n1,2,3\n", "cannot be read as CSV; "),
        (b"n,loss\n1,2,3\n", "cannot be read as CSV; its rows have more cells than the header"),
        (b"n,loss\n1,\xff\n", "cannot be read as CSV; "),
        (b"n\n1\n", "must have the columns n, loss; lacks loss"),
    ],
)
def test_a_damaged_csv_is_refused_and_named(tmp_path: Path, content: bytes, problem: str) -> None:
    path = tmp_path / "table.csv"
    path.write_bytes(content)
    for source, name, shown in ((path, None, str(path)), (content, "HEAD:table.csv", "HEAD:table.csv")):
        with pytest.raises(PipelineError) as caught:
            read_csv(source, {"n": int, "loss": float}, name)
        assert str(caught.value).startswith(f"{shown}: {problem}")
