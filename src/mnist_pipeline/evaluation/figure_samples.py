"""The test images that figures show, so that drawing them does not need the test set."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mnist_pipeline.core.arrays import save_arrays
from mnist_pipeline.data.dataset import Dataset
from mnist_pipeline.evaluation.evaluate import Evaluation
from mnist_pipeline.params.limits import check_record


def save_figure_samples(path: Path, dataset: Dataset, result: Evaluation, record: int) -> None:
    """Write the chosen record, then every mistake from the most to the least confident.

    The file holds ``rows`` (their numbers in the user's file), int64 (n,); ``images``, uint8 (n, side, side);
    ``labels``, int64 (n,); ``probabilities``, float64 (n, classes); and as metadata ``classes``, their names.

    Args:
        path: of the file.
        dataset: the test set.
        result: its evaluation.
        record: the index of the image that comes first.

    Raises:
        PipelineError: there is no such record.
    """
    check_record(record, len(result.labels))
    probabilities = result.probabilities
    wrong = np.flatnonzero(probabilities.argmax(axis=1) != result.labels)
    by_confidence = wrong[np.argsort(-probabilities[wrong].max(axis=1), kind="stable")]
    rows = np.concatenate([[record], by_confidence]).astype(np.int64)
    arrays: dict[str, NDArray[Any]] = {
        "rows": dataset.rows[rows].astype(np.int64),
        "images": dataset.images[rows],
        "labels": result.labels[rows],
        "probabilities": probabilities[rows],
    }
    save_arrays(path, arrays, {"classes": list(result.classes)})
