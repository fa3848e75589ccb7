"""Synthetic images and the settings of the tests, which do not depend on params.yaml of the repository."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from mnist_pipeline.core.yaml import read_yaml
from mnist_pipeline.data import csv
from mnist_pipeline.data.csv import Block
from mnist_pipeline.data.dataset import Dataset
from mnist_pipeline.params.data import DataFiles
from mnist_pipeline.params.overrides import with_overrides
from mnist_pipeline.params.schema import Params

# A thread for each of the processes that run tests side by side: with more, they run ten times slower. Read by
# libraries when they are first imported, here and in the processes that tests start.
os.environ |= {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}

ROOT = Path(__file__).parents[1]
PARAMS, DATA_FILES = (Path(__file__).with_name(name) for name in ("params.yaml", "data.yaml"))
"""Settings for tests: whoever changes params.yaml or data.yaml gets no red tests."""

DIGITS = tuple("0123456789")


def synthetic_dataset(rows: int, side: int = 8, classes: tuple[str, ...] = DIGITS, seed: int = 0) -> Dataset:
    """Images that a network can learn: a pattern for each class (the same for every seed), and noise."""
    patterns = np.random.default_rng(0).integers(0, 200, (len(classes), side, side))
    random = np.random.default_rng(seed + 1)
    labels = random.permutation(np.arange(rows) % len(classes)).astype(np.uint8)
    images = patterns[labels] + random.integers(0, 56, (rows, side, side))
    return Dataset(images.astype(np.uint8), labels, classes)


def strokes(number: int, side: int = 28, seed: int = 0) -> NDArray[np.uint8]:
    """Images of one random curve each, uint8 (number, side, side), with an empty border as in MNIST."""
    random, times = np.random.default_rng(seed), np.linspace(0, 1, 40)
    bezier = np.stack([(1 - times) ** 3, 3 * times * (1 - times) ** 2, 3 * times**2 * (1 - times), times**3], axis=1)
    points = bezier @ random.uniform(side / 5, 4 * side / 5, (number, 4, 2))  # (number, times, 2)
    rows, columns = np.indices((side, side))[..., None]  # (side, side, 1) each
    squares = [((rows - curve[:, 0]) ** 2 + (columns - curve[:, 1]) ** 2).min(axis=-1) for curve in points]
    return np.asarray(np.round(255 * np.clip(2 - np.sqrt(squares), 0, 1)), np.uint8)


def make_block(labels: NDArray[np.uint8], images: NDArray[np.uint8], first_row: int = 1) -> Block:
    """Consecutive rows of a file, from a row number on."""
    return Block(labels, images, np.arange(first_row, first_row + len(labels), dtype=np.int32))


def concatenated(blocks: list[Block]) -> Block:
    """All rows of some blocks, at least one."""
    labels, images = (np.concatenate([getattr(block, name) for block in blocks]) for name in ("labels", "images"))
    rows = np.concatenate([block.rows for block in blocks])
    return Block(labels, images, rows, [group for block in blocks for group in block.groups])


def write_csv_file(path: Path, dataset: Dataset) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb") as file:
        csv.write_rows(file, dataset.labels, dataset.images)


@pytest.fixture(scope="session")
def params_content() -> Any:
    """The content of tests/params.yaml."""
    return read_yaml(PARAMS)


@pytest.fixture
def make_params(params_content: Any) -> Callable[..., Params]:
    """Params of the tests, with changes: make_params({"train.epochs": 1})."""

    def make(changes: dict[str, Any] | None = None) -> Params:
        return Params.model_validate(with_overrides(params_content, changes or {}))

    return make


@pytest.fixture
def make_data_files() -> Callable[..., DataFiles]:
    """data.yaml of the tests, with changes: make_data_files({"csv.image_side": 8})."""
    content = read_yaml(DATA_FILES)
    return lambda changes=None: DataFiles.model_validate(with_overrides(content, changes or {}))


LONGEST = ("test_pipeline.py", "test_doctor.py", "test_finished.py", "test_session.py")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Run the longest files first, so that the processes end together."""
    items.sort(key=lambda item: LONGEST.index(item.path.name) if item.path.name in LONGEST else len(LONGEST))
