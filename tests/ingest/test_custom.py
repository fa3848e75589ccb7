"""Data sets of one's own: two files or one in two parts, from this machine or a real web server; nothing half-done."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mnist_pipeline.data.csv import PipelineError, Schema, read_blocks
from mnist_pipeline.ingest.custom import fetch_custom
from mnist_pipeline.ingest.download import Limits
from mnist_pipeline.params.schema import CustomParams, Params
from mnist_pipeline.ingest.mnist import PipelineError
from tests.conftest import synthetic_dataset, write_csv_file
from tests.ingest.servers import files, serving

LIMITS = Limits(timeout=5, retries=0, min_rate=0, max_bytes=10**6)
CLASSES = ("cat", "dog", "emu")
SCHEMA = Schema(5, 3)


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """50 rows of 5 × 5 pixels in three classes."""
    path = tmp_path / "own" / "all.csv"
    write_csv_file(path, synthetic_dataset(50, side=5, classes=CLASSES))
    return path


@pytest.fixture
def targets(tmp_path: Path) -> dict[str, Path]:
    paths = {split: tmp_path / f"{split}.csv" for split in ("train", "test")}
    for path in paths.values():
        path.write_text("what was there before")
    return paths


@pytest.fixture
def bring(tmp_path: Path, targets: dict[str, Path], monkeypatch: pytest.MonkeyPatch) -> Callable[..., str]:
    monkeypatch.setenv("NO_PROXY", "*")
    monkeypatch.setenv("no_proxy", "*")

    def call(train: object, **changes: Any) -> str:
        content = {
            "train": str(train),
            "test": None,
            "test_fraction": None if "test" in changes else 0.3,
            "image_side": 5,
            "classes": CLASSES,
            "sha256": {"train": None, "test": None},
        }
        return fetch_custom(CustomParams.model_validate(content | changes), targets, tmp_path / "scratch", LIMITS)

    return call


def rows_of(path: Path) -> list[bytes]:
    """The rows as text."""
    return path.read_bytes().splitlines()


def assert_untouched(targets: dict[str, Path]) -> None:
    assert {path.read_text() for path in targets.values()} == {"what was there before"}
    assert not list(next(iter(targets.values())).parent.glob(".*.tmp"))


def test_one_file_is_parted_each_class_in_proportion(
    bring: Callable[..., str], source: Path, targets: dict[str, Path]
) -> None:
    assert "all.csv, 0.3 of whose rows are to test on" in bring(source)
    train, test = rows_of(targets["train"]), rows_of(targets["test"])
    assert (len(train), len(test)) == (35, 15)
    assert sorted(train + test) == sorted(rows_of(source))
    labels = np.concatenate([block.labels for block in read_blocks(targets["test"], SCHEMA)])
    assert np.bincount(labels).tolist() == [5, 5, 5]
    order = rows_of(source)
    assert [order.index(row) for row in test] == sorted(order.index(row) for row in test)


def test_the_same_rows_are_parted_off_every_time(
    bring: Callable[..., str], source: Path, targets: dict[str, Path]
) -> None:
    bring(source)
    before = rows_of(targets["test"])
    bring(source)
    assert rows_of(targets["test"]) == before


def test_a_large_file_is_parted_block_by_block(
    bring: Callable[..., str], source: Path, targets: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    bring(source)
    expected = {split: path.read_bytes() for split, path in targets.items()}
    monkeypatch.setattr("mnist_pipeline.data.csv.CHUNK_BYTES", 100)
    assert len(list(read_blocks(source, SCHEMA))) > 10
    bring(source)
    assert {split: path.read_bytes() for split, path in targets.items()} == expected


def test_a_header_and_windows_line_ends_are_taken_off(
    bring: Callable[..., str], source: Path, targets: dict[str, Path]
) -> None:
    rows = source.read_bytes()
    header = ",".join(["label", *(f"pixel{place}" for place in range(25))]).encode()
    source.write_bytes((header + b"\n" + rows).replace(b"\n", b"\r\n"))
    bring(source)
    assert sorted(rows_of(targets["train"]) + rows_of(targets["test"])) == sorted(rows.splitlines())


def test_two_files_are_taken_as_they_are(bring: Callable[..., str], source: Path, targets: dict[str, Path]) -> None:
    other = source.with_name("test.csv")
    other.write_bytes(b"whatever this is, validate will say\n")
    assert bring(source, test=str(other)).endswith("all.csv and " + str(other))
    assert targets["train"].read_bytes() == source.read_bytes()
    assert targets["test"].read_bytes() == other.read_bytes()


def test_a_path_may_begin_at_home(
    bring: Callable[..., str], source: Path, targets: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(source.parent))
    bring("~/all.csv")
    assert len(rows_of(targets["train"])) == 35


def test_files_come_from_a_web_server(
    bring: Callable[..., str], source: Path, targets: dict[str, Path], tmp_path: Path
) -> None:
    hashes = {"train": hashlib.sha256(source.read_bytes()).hexdigest(), "test": None}
    with serving(files({"/all.csv": source.read_bytes()})) as server:
        bring(f"{server.url}/all.csv", sha256=hashes)
    assert (len(rows_of(targets["train"])), len(rows_of(targets["test"]))) == (35, 15)
    assert not list((tmp_path / "scratch").iterdir())


def test_a_server_that_does_not_have_it_is_named(bring: Callable[..., str], targets: dict[str, Path]) -> None:
    with serving(files({})) as server, pytest.raises(PipelineError, match=r"custom\.train: http.*/all\.csv: .*404"):
        bring(f"{server.url}/all.csv")
    assert_untouched(targets)


def test_a_missing_file_is_named(bring: Callable[..., str], source: Path, targets: dict[str, Path]) -> None:
    with pytest.raises(PipelineError, match=r"custom\.test: nowhere\.csv: no such file; put it there, or name another"):
        bring(source, test="nowhere.csv")
    assert_untouched(targets)


@pytest.mark.parametrize("split", ["train", "test"])
def test_another_version_of_a_file_is_refused(
    bring: Callable[..., str], source: Path, targets: dict[str, Path], split: str
) -> None:
    found = hashlib.sha256(source.read_bytes()).hexdigest()
    with pytest.raises(PipelineError, match=rf"all\.csv hashes to {found}, custom\.sha256\.{split} is {'0' * 64}: it is"):
        bring(source, test=str(source), sha256={"train": None, "test": None} | {split: "0" * 64})
    assert_untouched(targets)


def test_problems_of_the_one_file_are_told_by_its_own_rows(
    bring: Callable[..., str], source: Path, targets: dict[str, Path]
) -> None:
    rows = rows_of(source)
    rows[40] = b"3" + rows[40][1:]
    source.write_bytes(b"\n".join(rows) + b"\n")
    with pytest.raises(PipelineError, match=r"all\.csv: 1 problem:\n  row 41, column 1 \(label\): .* 0 to 2, was '3'"):
        bring(source)
    assert_untouched(targets)


@pytest.mark.parametrize(("fraction", "rows"), [(0.02, 50), (0.97, 50), (0.5, 3)])
def test_parts_that_would_be_too_small_are_refused(
    bring: Callable[..., str], source: Path, targets: dict[str, Path], fraction: float, rows: int
) -> None:
    source.write_bytes(b"\n".join(rows_of(source)[:rows]) + b"\n")
    with pytest.raises(
        PipelineError, match=rf"all\.csv: custom\.test_fraction {fraction}( does not fit {rows} rows: |: each)"
    ):
        bring(source, test_fraction=fraction)
    assert_untouched(targets)


def test_the_form_of_the_files_is_that_of_the_chosen_data_set(make_params: Callable[..., Params]) -> None:
    mnist, own = make_params({}), make_params({"data.dataset": "custom", "custom.image_side": 9})
    assert mnist.form == mnist.csv
    assert (own.form.image_side, own.form.classes, own.form.rows.train) == (9, own.custom.classes, None)
