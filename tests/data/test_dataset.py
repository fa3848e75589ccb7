"""The file of a split: written in a stream, read back exactly, by any safetensors library, and never in part."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from safetensors import safe_open
from safetensors.numpy import load_file

from mnist_pipeline.data.csv import Block
from mnist_pipeline.data.dataset import HEADER_BYTES, Split, PipelineError, load_dataset, save_dataset

CLASSES = ("null", "eins", "zwei", "drei, vier", "fünf", "六")
SIDE = 5


def random_split(rows: int, seed: int = 0) -> Split:
    random = np.random.default_rng(seed)
    images = random.integers(0, 256, (rows, SIDE, SIDE), np.uint8)
    return Split(images, random.integers(0, len(CLASSES), rows, np.uint8), CLASSES)


def blocks_of(split: Split, rows: int) -> Iterator[Block]:
    for start in range(0, len(split.labels), rows):
        yield Block(split.labels[start : start + rows], split.images[start : start + rows])


def saved(path: Path, rows: int = 20) -> Split:
    split = random_split(rows)
    save_dataset(path, blocks_of(split, 7), SIDE, CLASSES)
    return split


def assert_equal(found: Split, expected: Split) -> None:
    assert found.classes == expected.classes
    for array, other in ((found.images, expected.images), (found.labels, expected.labels)):
        assert array.dtype == np.uint8
        np.testing.assert_array_equal(array, other)


@pytest.mark.parametrize("rows", [1, 6, 7, 100])
def test_round_trip(tmp_path: Path, rows: int) -> None:
    path = tmp_path / "below" / "split.safetensors"
    split = saved(path, rows)
    assert_equal(load_dataset(path), split)


def test_the_bytes_do_not_depend_on_the_blocks(tmp_path: Path) -> None:
    split = random_split(50)
    for rows in (1, 13, 50):
        save_dataset(tmp_path / f"{rows}", blocks_of(split, rows), SIDE, CLASSES)
    assert len({path.read_bytes() for path in tmp_path.iterdir()}) == 1


def test_blocks_that_are_views_of_other_arrays(tmp_path: Path) -> None:
    cells = np.random.default_rng(0).integers(0, 5, (SIDE, SIDE, 60), np.uint8)
    labels = cells[0, 0, ::2]
    for name, images in (("strided", cells.transpose(2, 0, 1)[::2]), ("transposed", cells[:, :, :30].copy().T)):
        assert not images.flags.c_contiguous
        save_dataset(tmp_path / name, [Block(labels, images)], SIDE, CLASSES)
        assert_equal(load_dataset(tmp_path / name), Split(images, labels, CLASSES))


def test_the_safetensors_library_reads_it(tmp_path: Path) -> None:
    path = tmp_path / "split.safetensors"
    split = saved(path)
    arrays = load_file(path)
    assert set(arrays) == {"images", "labels"}
    assert_equal(Split(arrays["images"], arrays["labels"], CLASSES), split)
    with safe_open(path, framework="numpy") as file:
        assert tuple(json.loads(file.metadata()["classes"])) == CLASSES


@pytest.mark.parametrize("before", [None, b"old"], ids=["nothing there", "a file there"])
def test_blocks_that_fail_leave_what_was_there(tmp_path: Path, before: bytes | None) -> None:
    def failing() -> Iterator[Block]:
        yield from blocks_of(random_split(20), 7)
        raise ZeroDivisionError

    path = tmp_path / "split.safetensors"
    if before is not None:
        path.write_bytes(before)
    with pytest.raises(ZeroDivisionError):
        save_dataset(path, failing(), SIDE, CLASSES)
    assert [each.read_bytes() for each in tmp_path.iterdir()] == ([] if before is None else [before])


def test_class_names_that_do_not_fit_into_the_header_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "split.safetensors"
    classes = tuple(f"{number}{'x' * 300}" for number in range(256))
    with pytest.raises(PipelineError, match=str(path)):
        save_dataset(path, blocks_of(random_split(20), 7), SIDE, classes)
    assert not list(tmp_path.iterdir())


def test_many_class_names_fit(tmp_path: Path) -> None:
    classes = tuple(f"{number}-{'ü' * 20}" for number in range(256))
    save_dataset(tmp_path / "split", blocks_of(random_split(20), 7), SIDE, classes)
    assert_equal(load_dataset(tmp_path / "split"), Split(random_split(20).images, random_split(20).labels, classes))


def with_header(header: object) -> bytes:
    text = json.dumps(header).encode("ascii")
    return len(text).to_bytes(8, "little") + text + bytes(100)


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(b"", id="empty"),
        pytest.param(b"1234567", id="seven bytes"),
        pytest.param(bytes(8), id="a length of 0"),
        pytest.param(bytes(200_000), id="zeros"),
        pytest.param(b"\xff" * 200_000, id="ones"),
        pytest.param(b"label,1x1\n5,0\n" * 10_000, id="CSV"),
        pytest.param(b"\x80\x04\x95" + bytes(range(256)) * 300, id="garbage"),
        pytest.param((20).to_bytes(8, "little") + b"no JSON, no JSON, no", id="no JSON"),
        pytest.param((4).to_bytes(8, "little") + b"\xff\xfe\xfd\xfc", id="no UTF-8"),
        pytest.param(with_header([]), id="a list"),
        pytest.param(with_header({"weight": {"dtype": "U8", "shape": [100], "data_offsets": [0, 100]}}), id="a model"),
        pytest.param(
            with_header({
                "images": {"dtype": "U8", "shape": [4, 5, 5], "data_offsets": [0, 96]},
                "labels": {"dtype": "U8", "shape": [4], "data_offsets": [96, 100]},
                "__metadata__": {},
            }),
            id="no classes",
        ),
        pytest.param(
            with_header({
                "images": {"dtype": "U8", "shape": [9, 5, 5], "data_offsets": [0, 96]},
                "labels": {"dtype": "U8", "shape": [4], "data_offsets": [96, 100]},
                "__metadata__": {"classes": "[]"},
            }),
            id="larger arrays than the file",
        ),
    ],
)  # fmt: skip
def test_what_is_no_split_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "split.safetensors"
    path.write_bytes(content)
    with pytest.raises(PipelineError) as caught:
        load_dataset(path)
    assert str(caught.value).startswith(f"{path}: must be a split that the validate stage wrote; ")


@pytest.mark.parametrize("kept", [0, 8, 100, HEADER_BYTES - 1, HEADER_BYTES, HEADER_BYTES + 100, -20, -1])
def test_a_truncated_split_is_refused(tmp_path: Path, kept: int) -> None:
    path = tmp_path / "split.safetensors"
    saved(path)
    path.write_bytes(path.read_bytes()[:kept])
    with pytest.raises(PipelineError, match=str(path)):
        load_dataset(path)


def test_a_split_with_more_behind_it_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "split.safetensors"
    saved(path)
    path.write_bytes(path.read_bytes() + b"\0")
    with pytest.raises(PipelineError, match=str(path)):
        load_dataset(path)


def test_a_missing_file_and_a_folder_are_refused(tmp_path: Path) -> None:
    for path in (tmp_path / "missing", tmp_path):
        with pytest.raises(PipelineError, match=str(path)):
            load_dataset(path)


def test_arrays_may_be_changed_and_the_file_stays(tmp_path: Path) -> None:
    path = tmp_path / "split.safetensors"
    saved(path)
    before = path.read_bytes()
    split = load_dataset(path)
    split.images[...] = 0
    split.labels[:] = 1
    assert split.images.max() == 0
    assert split.labels.min() == 1
    assert path.read_bytes() == before
    assert_equal(load_dataset(path), random_split(20))
