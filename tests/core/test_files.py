"""Files are written whole or not at all, and always the same way."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mnist_pipeline.core.files import replacing, write_csv, write_json


class Broken(Exception):  # noqa: N818
    """Whatever may go wrong while a file is written."""


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_the_file_appears_only_at_the_end(tmp_path: Path) -> None:
    path = tmp_path / "below" / "a" / "result"  # folders are made
    with atomic_write(path) as temporary:
        temporary.write_bytes(b"new")
        assert temporary.parent == path.parent  # the same file system
        assert not path.exists()
    assert contents(path.parent) == {"result": b"new"}


def test_a_file_is_replaced_only_at_the_end(tmp_path: Path) -> None:
    path = tmp_path / "result"
    path.write_bytes(b"old")
    with atomic_write(path) as temporary:
        temporary.write_bytes(b"new")
        assert path.read_bytes() == b"old"
    assert contents(tmp_path) == {"result": b"new"}


@pytest.mark.parametrize("error", [Broken, OSError, KeyboardInterrupt, SystemExit, GeneratorExit])
@pytest.mark.parametrize("before", [{}, {"result": b"old"}], ids=["nothing there", "a file there"])
def test_an_exception_leaves_what_was_there(
    tmp_path: Path, error: type[BaseException], before: dict[str, bytes]
) -> None:
    for name, content in before.items():
        (tmp_path / name).write_bytes(content)

    def write_half() -> None:
        with atomic_write(tmp_path / "result") as temporary:
            temporary.write_bytes(b"ne")
            raise error

    with pytest.raises(error):
        write_half()
    assert contents(tmp_path) == before


@pytest.mark.parametrize("step", ["fsync", "replace"])
def test_a_failing_last_step_leaves_what_was_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str) -> None:
    def fail(*_: Any, **__: Any) -> None:
        raise OSError(28, "No space left on device")

    path = tmp_path / "result"
    path.write_bytes(b"old")
    monkeypatch.setattr(os if step == "fsync" else Path, step, fail)
    with pytest.raises(OSError, match="No space left"), atomic_write(path) as temporary:
        temporary.write_bytes(b"new")
    assert contents(tmp_path) == {"result": b"old"}


def test_the_content_reaches_the_disk_before_the_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "result"
    seen: list[tuple[bytes, bool]] = []

    def fsync(descriptor: int) -> None:
        seen.append((os.pread(descriptor, 100, 0), path.exists()))

    monkeypatch.setattr(os, "fsync", fsync)
    with atomic_write(path) as temporary:
        temporary.write_bytes(b"new")
    assert seen == [(b"new", False)]


@pytest.mark.parametrize(("umask", "mode"), [(0o022, 0o644), (0o077, 0o600), (0o002, 0o664), (0o027, 0o640)])
@pytest.mark.parametrize("before", [False, True], ids=["nothing there", "a file there"])
def test_permissions_follow_the_umask(tmp_path: Path, umask: int, mode: int, before: bool) -> None:
    path = tmp_path / "result"
    if before:
        path.write_bytes(b"old")
    previous = os.umask(umask)
    try:
        with atomic_write(path) as temporary:
            temporary.write_bytes(b"new")
        assert os.umask(umask) == umask  # it was left alone
    finally:
        os.umask(previous)
    assert stat.S_IMODE(path.stat().st_mode) == mode


def test_a_folder_that_cannot_be_made_is_an_os_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"no folder")
    for path in (tmp_path / "file" / "result", tmp_path / "file" / "below" / "result"):
        with pytest.raises(OSError, match="file"), atomic_write(path):
            pass
    assert contents(tmp_path) == {"file": b"no folder"}


def test_a_folder_in_the_place_of_the_file_stays(tmp_path: Path) -> None:
    (tmp_path / "result").mkdir()
    with pytest.raises(IsADirectoryError), atomic_write(tmp_path / "result") as temporary:
        temporary.write_bytes(b"new")
    assert [path.name for path in tmp_path.iterdir()] == ["result"]
    assert (tmp_path / "result").is_dir()


def test_json_to_the_byte(tmp_path: Path) -> None:
    path = tmp_path / "metrics.json"
    content = {"z": 1, "a": 0.123456789, "ü": None, "list": (1, 2.0000001, True), "below": {"x": "1.23456789"}}
    write_json(path, content)
    assert path.read_bytes().decode("utf-8") == (
        '{\n  "z": 1,\n  "a": 0.123457,\n  "ü": null,\n  "list": [\n    1,\n    2.0,\n    true\n  ],\n'
        '  "below": {\n    "x": "1.23456789"\n  }\n}\n'
    )


def test_csv_to_the_byte(tmp_path: Path) -> None:
    path = tmp_path / "history.csv"
    rows: Iterator[tuple[Any, ...]] = iter([(1, 0.123456789, None), (2, 1.0, 'a "b", c'), (3, 1e-9, "ü")])
    write_csv(path, ["epoch", "loss", "note"], rows)
    assert path.read_bytes().decode("utf-8") == ('epoch,loss,note\n1,0.123457,\n2,1.0,"a ""b"", c"\n3,0.0,ü\n')


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.1234564, "0.123456"), (0.1234566, "0.123457"), (-0.1234566, "-0.123457"), (1e-7, "0.0"), (-1e-7, "0.0"),
        (-0.0, "0.0"), (1e22, "1e+22"), (0.1 + 0.2, "0.3"), (0.00001, "1e-05"), (np.float64(0.1234566), "0.123457"),
        (3, "3"), (12345678901234567890, "12345678901234567890"),
    ],
)  # fmt: skip
def test_a_number_is_written_the_same_in_json_and_csv(tmp_path: Path, value: float, text: str) -> None:
    write_json(tmp_path / "number.json", [{"x": value}])
    write_csv(tmp_path / "number.csv", ["x"], [[value]])
    assert (tmp_path / "number.json").read_text("utf-8") == f'[\n  {{\n    "x": {text}\n  }}\n]\n'
    assert (tmp_path / "number.csv").read_text("utf-8") == f"x\n{text}\n"


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_json_knows_no_nan(tmp_path: Path, value: float) -> None:
    path = tmp_path / "metrics.json"
    path.write_bytes(b"old")
    with pytest.raises(ValueError, match="not JSON compliant"):
        write_json(path, {"loss": [0.5, value]})
    assert contents(tmp_path) == {"metrics.json": b"old"}


def test_rows_that_fail_leave_what_was_there(tmp_path: Path) -> None:
    def rows() -> Iterator[list[int]]:
        yield [1]
        raise Broken

    path = tmp_path / "steps.csv"
    path.write_bytes(b"old")
    with pytest.raises(Broken):
        write_csv(path, ["step"], rows())
    assert contents(tmp_path) == {"steps.csv": b"old"}


def test_what_a_killed_process_left_is_removed_and_nothing_else(tmp_path: Path) -> None:
    ended = subprocess.run([sys.executable, "-c", "import os; print(os.getpid())"], capture_output=True, check=True)
    dead, alive = int(ended.stdout), os.getppid()
    for name in (f".result.{dead}.tmp", f".result.{alive}.tmp", f".other.{dead}.tmp", ".result.mine.tmp"):
        (tmp_path / name).write_bytes(b"part")
    with atomic_write(tmp_path / "result") as temporary:
        temporary.write_bytes(b"new")
    assert set(contents(tmp_path)) == {"result", f".result.{alive}.tmp", f".other.{dead}.tmp", ".result.mine.tmp"}
