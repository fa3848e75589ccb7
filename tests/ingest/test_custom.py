"""The user's own data: two files, or one that is split, from this machine or a web server; nothing half-done."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mnist_pipeline.data.csv import Block, read_blocks
from mnist_pipeline.data.dataset import load_dataset, save_dataset
from mnist_pipeline.data.relations import Relations
from mnist_pipeline.data.schema import Schema
from mnist_pipeline.data.split import stratified_split
from mnist_pipeline.ingest.custom import fetch_custom
from mnist_pipeline.ingest.download import Limits
from mnist_pipeline.params.data import CustomParams
from tests.conftest import concatenated, strokes, synthetic_dataset, write_csv_file
from tests.ingest.conftest import Targets, assert_alone, refusal
from tests.ingest.servers import files, serving

LIMITS = Limits(timeout=5, retries=0, min_rate=0, max_bytes=10**6)
CLASSES = ("cat", "dog", "emu")
SCHEMA = Schema(5, CLASSES)
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
            "corrected_test": None,
            "sha256": {"train": None, "test": None},
        }
        return fetch_custom(CustomParams.model_validate(content | changes), targets, LIMITS)

    return call


def rows_of(path: Path) -> list[bytes]:
    """The rows as text, without a header."""
    return [line for line in path.read_bytes().splitlines() if line[:1].isdigit()]


def rows_in(path: Path, schema: Schema = SCHEMA) -> Block:
    """All rows of a file."""
    return concatenated(list(read_blocks(path, schema)))


def test_one_file_is_split_with_each_class_in_proportion(
    fetch: Fetch, source: Path, targets: Targets, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert fetch(source) == f"{source}, with 0.3 of its rows as the test set"
    train, test = rows_of(targets["train"]), rows_of(targets["test"])
    assert (len(train), len(test)) == (35, 15)
    everything = rows_in(source)
    parts = [rows_in(targets[split]) for split in ("train", "test")]
    assert sorted([*parts[0].rows, *parts[1].rows]) == list(range(1, 51))
    for part in parts:
        assert (np.diff(part.rows) > 0).all()
        np.testing.assert_array_equal(part.labels, everything.labels[part.rows - 1])
        np.testing.assert_array_equal(part.images, everything.images[part.rows - 1])
    assert np.bincount(parts[1].labels).tolist() == [5, 5, 5]
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
    assert found.startswith(f"{source}: custom.test_fraction 0.02 must leave at least one row of each of 3 classes ")


def test_groups_and_near_duplicates_are_on_one_side_of_both_splits(
    fetch: Fetch, targets: Targets, tmp_path: Path
) -> None:
    """In a file with a header, where 40 of 160 images come again, shifted, and 30 rows are of one writer."""
    images = np.concatenate([strokes(160, 16), np.roll(strokes(160, 16)[:40], (1, -1), (1, 2))])
    order = np.random.default_rng(1).permutation(200)
    original = np.where(order < 160, order, order - 160)  # the image that each row shows
    writer = np.where((np.arange(200) >= 100) & (np.arange(200) < 130), "ann", np.arange(200).astype(str))
    cells = [images[order].reshape(200, -1).astype(str), writer[:, None], np.take(CLASSES, original % 3)[:, None]]
    lines = [",".join(row) for row in np.concatenate(cells, axis=1)]
    header = ",".join([*(f"p{number}" for number in range(256)), "group", "label"])
    source = tmp_path / "own.csv"
    source.write_text("\n".join([header, *lines, ""]), "utf-8")
    fetch(source, image_side=16)

    schema = Schema(16, CLASSES)
    train, test = (rows_in(targets[split], schema) for split in ("train", "test"))
    assert sorted([*train.rows, *test.rows]) == list(range(2, 202))  # below the header
    for part in (train, test):
        np.testing.assert_array_equal(part.images, images[order[part.rows - 2]])
        np.testing.assert_array_equal(part.labels, original[part.rows - 2] % 3)
        assert list(part.groups) == writer[part.rows - 2].tolist()

    relations = Relations()
    save_dataset(tmp_path / "train", relations.collect([train]), CLASSES, relations.groups)
    dataset = load_dataset(tmp_path / "train")
    _, validation = stratified_split(dataset.labels, 0.2, 0, dataset.groups)
    side = dict.fromkeys(train.rows.tolist(), "train") | dict.fromkeys(test.rows.tolist(), "test")
    side |= dict.fromkeys(dataset.rows[validation].tolist(), "validation")
    assert {each: list(side.values()).count(each) for each in ("train", "validation", "test")} == pytest.approx(
        {"train": 112, "validation": 28, "test": 60}, abs=8
    )
    for names in (original, writer):
        sides: dict[str, set[str]] = {}
        for row, each in side.items():
            sides.setdefault(str(names[row - 2]), set()).add(each)
        assert all(len(each) == 1 for each in sides.values())
