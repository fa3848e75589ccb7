"""A data set is saved block by block and comes back as it was."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from mnist_pipeline.core.arrays import save_arrays
from mnist_pipeline.core.errors import PipelineError
from mnist_pipeline.data.csv import Block
from mnist_pipeline.data.dataset import Dataset, load_dataset, save_dataset
from tests.conftest import synthetic_dataset

CLASSES = ("null", "eins", "drei, vier", "fünf", "六")
DATASET = synthetic_dataset(20, side=5, classes=CLASSES)


def blocks_of(dataset: Dataset, rows: int) -> Iterator[Block]:
    for start in range(0, len(dataset.labels), rows):
        yield Block(dataset.labels[start : start + rows], dataset.images[start : start + rows])


@pytest.mark.parametrize("rows", [1, 7, 20])
def test_a_data_set_comes_back_as_it_was(tmp_path: Path, rows: int) -> None:
    path = tmp_path / "new" / "train.safetensors"
    save_dataset(path, blocks_of(DATASET, rows), CLASSES)
    found = load_dataset(path)
    assert found.classes == CLASSES
    for array, expected in ((found.images, DATASET.images), (found.labels, DATASET.labels)):
        assert array.dtype == np.uint8
        np.testing.assert_array_equal(array, expected)


@pytest.mark.parametrize("missing", ["images", "labels", "classes"])
def test_a_file_of_something_else_is_refused(tmp_path: Path, missing: str) -> None:
    path = tmp_path / "train.safetensors"
    arrays = {name: array for name, array in vars(DATASET).items() if name not in ("classes", missing)}
    save_arrays(path, arrays, {} if missing == "classes" else {"classes": CLASSES})
    with pytest.raises(PipelineError) as caught:
        load_dataset(path)
    assert str(caught.value) == f"{path}: must be a data set that the validate stage wrote; it lacks {missing}"
