"""A data set is saved block by block and comes back as it was."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from mnist_pipeline.core.arrays import save_arrays
from mnist_pipeline.core.errors import PipelineError
from mnist_pipeline.data.csv import Block
from mnist_pipeline.data.dataset import Dataset, load_dataset, save_dataset
from tests.conftest import make_block, synthetic_dataset

CLASSES = ("null", "eins", "drei, vier", "fünf", "六")
FIRST = 3  # the number of the first row
DATASET = synthetic_dataset(20, side=5, classes=CLASSES)


def blocks_of(dataset: Dataset, rows: int) -> Iterator[Block]:
    for start in range(0, len(dataset.labels), rows):
        yield make_block(dataset.labels[start : start + rows], dataset.images[start : start + rows], FIRST + start)


@pytest.mark.parametrize("rows", [1, 7, 20])
def test_a_data_set_comes_back_as_it_was(tmp_path: Path, rows: int) -> None:
    path = tmp_path / "new" / "train.safetensors"
    numbers = np.arange(20, dtype=np.int32)

    def derived(dataset: Dataset) -> dict[str, NDArray[np.int32]]:
        np.testing.assert_array_equal(dataset.images, DATASET.images)
        return {"groups": dataset.labels.astype(np.int32), "overlap": 2 * dataset.rows}

    save_dataset(path, blocks_of(DATASET, rows), CLASSES, derived)
    found = load_dataset(path)
    expected = Dataset(
        DATASET.images, DATASET.labels, CLASSES, numbers + FIRST, DATASET.labels.astype(np.int32), 2 * (numbers + FIRST)
    )
    assert found.classes == CLASSES
    for name in ("images", "labels", "rows", "groups", "overlap"):
        assert getattr(found, name).dtype == getattr(expected, name).dtype
        np.testing.assert_array_equal(getattr(found, name), getattr(expected, name))


def test_rows_are_numbered_and_each_is_its_own_group_unless_a_data_set_says_otherwise() -> None:
    assert DATASET.rows.tolist() == list(range(1, 21))
    assert DATASET.groups.tolist() == list(range(20))
    assert DATASET.overlap.tolist() == [0] * 20


def test_what_cannot_be_derived_leaves_the_file_as_it_was(tmp_path: Path) -> None:
    path = tmp_path / "train.safetensors"
    path.write_bytes(b"earlier")

    def fails(_: Dataset) -> dict[str, NDArray[np.int32]]:
        raise PipelineError("no groups")

    with pytest.raises(PipelineError, match="no groups"):
        save_dataset(path, blocks_of(DATASET, 7), CLASSES, fails)
    assert [path.read_bytes() for path in tmp_path.iterdir()] == [b"earlier"]


@pytest.mark.parametrize("missing", ["images", "labels", "rows", "classes"])
def test_a_file_of_something_else_is_refused(tmp_path: Path, missing: str) -> None:
    path = tmp_path / "train.safetensors"
    arrays = {name: array for name, array in vars(DATASET).items() if name not in ("classes", missing)}
    save_arrays(path, arrays, {} if missing == "classes" else {"classes": CLASSES})
    with pytest.raises(PipelineError) as caught:
        load_dataset(path)
    assert str(caught.value) == f"{path}: must be a data set that the validate stage wrote; it lacks {missing}"
