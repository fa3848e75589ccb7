"""Synthetic digits and the params of the repository, for all tests."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from mnist_pipeline import csvs
from mnist_pipeline.params import Params, with_overrides
from mnist_pipeline.splits import Split

# A thread for each of the processes that run tests side by side: with more, they run ten times slower. Read by
# libraries when they are first imported, here and in the processes that tests start.
os.environ |= {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}

ROOT = Path(__file__).parents[1]
DIGITS = tuple("0123456789")


def synthetic_split(rows: int, side: int = 8, classes: tuple[str, ...] = DIGITS, seed: int = 0) -> Split:
    """Images that a network can learn: a pattern for each class (the same for every seed), and noise."""
    patterns = np.random.default_rng(0).integers(0, 200, (len(classes), side, side))
    random = np.random.default_rng(seed + 1)
    labels = random.permutation(np.arange(rows) % len(classes)).astype(np.uint8)
    images = patterns[labels] + random.integers(0, 56, (rows, side, side))
    return Split(images.astype(np.uint8), labels, classes)


def write_csv_file(path: Path, split: Split) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb") as file:
        csvs.write_rows(file, split.labels, split.images)


@pytest.fixture(scope="session")
def params_content() -> Any:
    """The content of the repository's params.yaml, as PyYAML reads it."""
    return yaml.safe_load((ROOT / "params.yaml").read_text("utf-8"))


@pytest.fixture
def make_params(params_content: Any) -> Callable[..., Params]:
    """Params of the repository, with changes: make_params({"train.epochs": 1})."""

    def make(changes: dict[str, Any] | None = None) -> Params:
        return Params.model_validate(with_overrides(params_content, changes or {}))

    return make


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Run the longest file first, so that the other processes' files fit beside it."""
    items.sort(key=lambda item: item.path.name != "test_pipeline.py")
