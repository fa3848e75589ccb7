"""The test images that figures show: the record, then the mistakes by confidence."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from mnist_pipeline.core.arrays import load_arrays
from mnist_pipeline.core.errors import PipelineError
from mnist_pipeline.data.dataset import Dataset
from mnist_pipeline.evaluation.evaluate import Evaluation
from mnist_pipeline.evaluation.figure_samples import save_figure_samples

CLASSES = ("a", "b", "ü, c")
IMAGES = np.random.default_rng(0).integers(0, 256, (300, 2, 2), np.uint8)
NUMBERS = np.arange(2, 302, dtype=np.int32)  # of the rows of a file with a header
LABELS = np.array([0, 1, 2, 0, 1, 2])
PROBABILITIES = np.array(
    [
        [0.8, 0.1, 0.1],  # right
        [0.6, 0.3, 0.1],  # wrong, third
        [0.05, 0.9, 0.05],  # wrong, most confident
        [0.3, 0.3, 0.4],  # wrong, least confident
        [0.1, 0.9, 0.0],  # right
        [0.2, 0.7, 0.1],  # wrong, second
    ]
)
TIES = np.tile([[0.25, 0.75, 0.0], [0.0, 0.5, 0.5], [0.0, 0.0, 1.0]], (100, 1))


def save(path: Path, record: int, labels: NDArray[Any], probabilities: NDArray[Any]) -> None:
    dataset = Dataset(IMAGES[: len(labels)], labels.astype(np.uint8), CLASSES, NUMBERS[: len(labels)])
    result = Evaluation(CLASSES, labels, probabilities, np.ones(len(labels)), calibration=[], metrics={})
    save_figure_samples(path, dataset, result, record)


@pytest.mark.parametrize(
    ("labels", "probabilities", "rows"),
    [
        pytest.param(LABELS, PROBABILITIES, [4, 2, 5, 1, 3], id="the record is right"),
        pytest.param(LABELS, PROBABILITIES, [5, 2, 5, 1, 3], id="the record is a mistake"),
        pytest.param(PROBABILITIES.argmax(axis=1), PROBABILITIES, [3], id="no mistakes"),
        pytest.param(
            np.zeros(300, np.int64),
            TIES,
            [0, *range(2, 300, 3), *range(0, 300, 3), *range(1, 300, 3)],
            id="the same confidence: in the order of the file",
        ),
    ],
)
def test_the_record_comes_first_and_then_the_mistakes_by_confidence(
    tmp_path: Path, labels: NDArray[Any], probabilities: NDArray[Any], rows: list[int]
) -> None:
    save(tmp_path / "new" / "samples", rows[0], labels, probabilities)
    file = load_arrays(tmp_path / "new" / "samples", "samples")
    expected = {"images": IMAGES[rows], "labels": labels[rows], "probabilities": probabilities[rows]}
    assert set(file.arrays) == {"rows", *expected}
    for name, array in {"rows": NUMBERS[rows].astype(np.int64), **expected}.items():
        assert file.arrays[name].dtype == array.dtype
        np.testing.assert_array_equal(file.arrays[name], array)
    assert file.metadata == {"classes": list(CLASSES)}


def test_a_record_beyond_the_test_set_is_refused(tmp_path: Path) -> None:
    with pytest.raises(PipelineError, match=r"^evaluate\.record must be below the 6 rows of the test set, was 6$"):
        save(tmp_path / "samples", 6, LABELS, PROBABILITIES)
    assert not list(tmp_path.iterdir())
