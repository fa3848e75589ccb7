"""Arrays come back as they were written, the same arrays give the same bytes, and any other file is refused."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from mnist_pipeline.core.arrays import HEADER_BYTES, load_arrays, save_arrays, save_blocks
from mnist_pipeline.core.errors import PipelineError

IMAGES = np.random.default_rng(0).integers(0, 256, (20, 3, 5), np.uint8)
LABELS = np.random.default_rng(1).integers(0, 10, 20, np.uint8)
ROWS = {"images": IMAGES, "labels": LABELS}
WEIGHT = np.random.default_rng(2).normal(size=(4, 3)).astype(np.float32)


def blocks_of(arrays: dict[str, NDArray[np.uint8]], rows: int) -> Iterator[dict[str, NDArray[np.uint8]]]:
    for start in range(0, len(LABELS), rows):
        yield {name: array[start : start + rows] for name, array in arrays.items()}


def assert_equal(found: dict[str, NDArray[Any]], expected: dict[str, NDArray[Any]]) -> None:
    assert set(found) == set(expected)
    for name, array in expected.items():
        assert found[name].dtype == array.dtype
        np.testing.assert_array_equal(found[name], array)


def test_arrays_and_metadata_come_back_as_they_were(tmp_path: Path) -> None:
    path = tmp_path / "new" / "arrays.safetensors"
    arrays = {"w": WEIGHT, "transposed": WEIGHT.T, "step": np.array(3), "none": np.zeros((0, 2)), "images": IMAGES}
    save_arrays(path, arrays, {"settings": {"b": [1, 2.5], "ü": None}})
    file = load_arrays(path, "a model", ("w", "settings"))
    assert_equal(file.arrays, arrays)
    assert file.metadata == {"settings": {"b": [1, 2.5], "ü": None}}
    save_arrays(path, arrays)
    assert load_arrays(path, "a model").metadata == {}


def test_the_same_arrays_give_the_same_bytes(tmp_path: Path) -> None:
    save_arrays(tmp_path / "one", {"a": WEIGHT, "b": LABELS}, {"settings": {"x": 1, "y": 2}})
    save_arrays(tmp_path / "two", {"b": LABELS, "a": WEIGHT.T.copy().T}, {"settings": {"y": 2, "x": 1}})
    assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes()


@pytest.mark.parametrize("rows", [1, 7, 20])
def test_blocks_come_back_as_one_array_each(tmp_path: Path, rows: int) -> None:
    path = tmp_path / "new" / "data.safetensors"
    save_blocks(path, blocks_of(ROWS, rows), {"classes": ("eins", "六"), "side": 3})
    for mapped in (True, False):
        file = load_arrays(path, "a data set", ("images", "labels", "classes", "side"), mapped=mapped)
        assert_equal(file.arrays, ROWS)
        assert file.metadata == {"classes": ["eins", "六"], "side": 3}
        assert isinstance(file.arrays["images"].base, np.memmap) is mapped
        file.arrays["images"][...] = 1  # changes the array, not the file


def test_blocks_may_be_views_of_other_arrays(tmp_path: Path) -> None:
    wide = np.random.default_rng(0).integers(0, 256, (5, 3, 40), np.uint8)
    arrays = {"images": wide.T[::2], "labels": wide[0, 0, ::2]}
    save_blocks(tmp_path / "file", [arrays], {})
    assert_equal(load_arrays(tmp_path / "file", "a data set").arrays, arrays)


def test_metadata_fill_the_header_at_most(tmp_path: Path) -> None:
    path = tmp_path / "file"
    save_blocks(path, blocks_of(ROWS, 7), {"classes": ""})
    taken = len(path.read_bytes()[8:HEADER_BYTES].rstrip())
    longest = "x" * (HEADER_BYTES - 8 - taken)
    save_blocks(path, blocks_of(ROWS, 7), {"classes": longest})
    assert load_arrays(path, "a data set").metadata == {"classes": longest}
    with pytest.raises(PipelineError, match=rf"{path}: the names of all classes must take less than \d+ bytes"):
        save_blocks(path, blocks_of(ROWS, 7), {"classes": longest + "x"})


def with_header(header: object) -> bytes:
    text = json.dumps(header).encode("ascii")
    return len(text).to_bytes(8, "little") + text + bytes(100)


def entry(shape: list[int], start: int, end: int, dtype: str = "U8") -> dict[str, Any]:
    return {"dtype": dtype, "shape": shape, "data_offsets": [start, end]}


BROKEN = {
    "empty": b"",
    "zeros": bytes(200_000),
    "CSV": b"label,1x1\n5,0\n" * 10_000,
    "no JSON": (20).to_bytes(8, "little") + b"no JSON, no JSON, no",
    "metadata that are no JSON": with_header({"x": entry([100], 0, 100), "__metadata__": {"m": "{"}}),
    "larger array than the file": with_header({"x": entry([101], 0, 100)}),
    "more behind the arrays": with_header({"x": entry([99], 0, 99)}),
    "truncated": with_header({"x": entry([100], 0, 100)})[:-1],
}


@pytest.mark.parametrize("content", BROKEN.values(), ids=BROKEN)
@pytest.mark.parametrize("mapped", [False, True], ids=["read", "mapped"])
def test_a_file_of_another_format_is_refused_and_named(tmp_path: Path, content: bytes, mapped: bool) -> None:
    path = tmp_path / "file"
    path.write_bytes(content)
    with pytest.raises(PipelineError) as caught:
        load_arrays(path, "a model that the train stage wrote", mapped=mapped)
    assert str(caught.value).startswith(f"{path}: must be a model that the train stage wrote; ")


@pytest.mark.parametrize("mapped", [False, True], ids=["read", "mapped"])
def test_missing_names_are_listed(tmp_path: Path, mapped: bool) -> None:
    save_arrays(tmp_path / "file", {"labels": LABELS}, {"classes": []})
    with pytest.raises(PipelineError, match=r"file: must be a data set; it lacks images, rows$"):
        load_arrays(tmp_path / "file", "a data set", ("labels", "rows", "images", "classes"), mapped=mapped)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(PipelineError, match=r"missing: must be a model; .*No such file"):
        load_arrays(tmp_path / "missing", "a model")


@pytest.mark.parametrize("blocks", [False, True], ids=["arrays", "blocks"])
@pytest.mark.parametrize("mapped", [False, True], ids=["read", "mapped"])
def test_a_flipped_bit_is_found_wherever_it_is(tmp_path: Path, blocks: bool, mapped: bool) -> None:
    path = tmp_path / "file"
    if blocks:
        save_blocks(path, blocks_of(ROWS, 7), {"classes": ["a", "b"]})
    else:
        save_arrays(path, ROWS, {"classes": ["a", "b"]})
    content = path.read_bytes()
    size = 8 + int.from_bytes(content[:8], "little")
    used = [*range(8 + len(content[8:size].rstrip())), *range(size, len(content))]  # not the padding of the header
    for place in np.random.default_rng(0).choice(used, 60, replace=False):
        flipped = bytearray(content)
        flipped[place] ^= 1 << (int(place) % 8)
        path.write_bytes(flipped)
        with pytest.raises(PipelineError, match="must be a data set; "):
            load_arrays(path, "a data set", ("images", "labels", "classes"), mapped=mapped)


def test_a_file_without_a_checksum_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(with_header({"x": entry([100], 0, 100)}))
    with pytest.raises(PipelineError, match=r"it lacks sha256$"):
        load_arrays(tmp_path / "file", "a data set")


def test_arrays_can_be_derived_from_those_that_were_written(tmp_path: Path) -> None:
    def sums(arrays: dict[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
        return {"sums": arrays["images"].sum(axis=(1, 2)).astype(np.int32)}

    save_blocks(tmp_path / "file", blocks_of(ROWS, 7), {}, sums)
    for mapped in (True, False):
        found = load_arrays(tmp_path / "file", "a data set", mapped=mapped).arrays
        assert_equal(found, ROWS | sums(ROWS))
