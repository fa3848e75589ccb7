"""The user's own data: two files, or one that is split, from this machine or a web server; nothing half-done."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mnist_pipeline.data.csv import Schema, read_blocks
from mnist_pipeline.ingest.custom import fetch_custom
from mnist_pipeline.ingest.download import Limits
from mnist_pipeline.params.data import CustomParams
from tests.conftest import synthetic_dataset, write_csv_file
from tests.ingest.conftest import Targets, assert_alone, refusal
from tests.ingest.servers import files, serving

LIMITS = Limits(timeout=5, retries=0, min_rate=0, max_bytes=10**6)
CLASSES = ("cat", "dog", "emu")
SCHEMA = Schema(5, 3)
Fetch = Callable[..., str]


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """50 rows of 5 × 5 pixels in three classes."""
    path = tmp_path / "own" / "all.csv"
    write_csv_file(path, synthetic_dataset(50, side=5, classes=CLASSES))
    return path


@pytest.fixture
def fetch(targets: Targets) -> Fetch:
    def call(train: object, **changes: Any) -> str:
        content = {
            "train": str(train),
            "test": None,
            "test_fraction": None if "test" in changes else 0.3,
            "image_side": 5,
            "classes": CLASSES,
            "sha256": {"train": None, "test": None},
        }
        return fetch_custom(CustomParams.model_validate(content | changes), targets, LIMITS)

    return call


def rows_of(path: Path) -> list[bytes]:
    """The rows as text."""
    return path.read_bytes().splitlines()


def test_one_file_is_split_with_each_class_in_proportion(
    fetch: Fetch, source: Path, targets: Targets, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert fetch(source) == f"{source}, with 0.3 of its rows as the test set"
    train, test = rows_of(targets["train"]), rows_of(targets["test"])
    assert (len(train), len(test)) == (35, 15)
    order = rows_of(source)
    assert sorted(train + test) == sorted(order)
    assert [order.index(row) for row in test] == sorted(order.index(row) for row in test)
    labels = np.concatenate([block.labels for block in read_blocks(targets["test"], SCHEMA)])
    assert np.bincount(labels).tolist() == [5, 5, 5]
    assert_alone(targets)

    monkeypatch.setattr("mnist_pipeline.data.csv.CHUNK_BYTES", 100)
    assert len(list(read_blocks(source, SCHEMA))) > 10
    fetch(source)  # the same rows, in any blocks
    assert (rows_of(targets["train"]), rows_of(targets["test"])) == (train, test)


def test_two_files_are_copied_as_they_are(
    fetch: Fetch, source: Path, targets: Targets, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = source.with_name("test.csv")
    other.write_bytes(b"whatever this is, validate will say\n")
    monkeypatch.setenv("HOME", str(source.parent))
    assert fetch("~/all.csv", test=str(other)) == f"~/all.csv and {other}"
    assert targets["train"].read_bytes() == source.read_bytes()
    assert targets["test"].read_bytes() == other.read_bytes()


def test_files_come_from_a_web_server(fetch: Fetch, source: Path, targets: Targets) -> None:
    content = source.read_bytes()
    hashes = {"train": hashlib.sha256(content).hexdigest(), "test": hashlib.sha256(b"other").hexdigest()}
    with serving(files({"/all.csv": content, "/test.csv": b"other"})) as server:
        fetch(f"{server.url}/all.csv", test=f"{server.url}/test.csv", sha256=hashes)
        assert {split: path.read_bytes() for split, path in targets.items()} == {"train": content, "test": b"other"}
        fetch(f"{server.url}/all.csv")
    assert (len(rows_of(targets["train"])), len(rows_of(targets["test"]))) == (35, 15)
    assert_alone(targets)


def test_a_file_that_is_not_there_is_named(fetch: Fetch, source: Path, targets: Targets) -> None:
    with serving(files({})) as server:
        url = f"{server.url}/all.csv"
        assert refusal(targets, lambda: fetch(url)) == f"custom.train: {url}: HTTP 404 Not Found"
    found = refusal(targets, lambda: fetch(source, test="nowhere.csv"))
    assert found.startswith("custom.test: nowhere.csv: no such file; put it there, or name another")
    found = refusal(targets, lambda: fetch("~nobody-like-this/a.csv"))
    assert found.startswith("custom.train: ~nobody-like-this/a.csv: ")


@pytest.mark.parametrize("split", ["train", "test"])
def test_another_version_of_a_file_is_refused(fetch: Fetch, source: Path, targets: Targets, split: str) -> None:
    found = hashlib.sha256(source.read_bytes()).hexdigest()
    hashes = {"train": None, "test": None} | {split: "0" * 64}
    assert refusal(targets, lambda: fetch(source, test=str(source), sha256=hashes)).startswith(
        f"{source} has the SHA-256 {found}, custom.sha256.{split} is {'0' * 64}: it is another version of the file"
    )


def test_a_part_that_would_be_too_small_is_refused(fetch: Fetch, source: Path, targets: Targets) -> None:
    found = refusal(targets, lambda: fetch(source, test_fraction=0.02))
    assert found.startswith(f"{source}: custom.test_fraction 0.02 does not fit 50 rows: ")
