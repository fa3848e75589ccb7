"""Stratified splits: the validation set of the training rows, and the test set of a single file."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from sklearn.model_selection import train_test_split

from mnist_pipeline.core.errors import PipelineError

Indices = NDArray[np.int64]


def stratified_split(
    labels: NDArray[np.uint8], size: float, seed: int, setting: str = "data.validation_size"
) -> tuple[Indices, Indices]:
    """Split rows in two, each class in proportion.

    Args:
        labels: uint8 of shape (n,).
        size: of the second part: a number of rows, a fraction below 1, or 0.
        seed: which rows.
        setting: where ``size`` comes from, for the message of an error.

    Returns:
        The row indices of the first and of the second part, each in the order of the file.

    Raises:
        PipelineError: a part would have fewer rows than there are classes, or a class has a single row.
    """
    rows = np.arange(len(labels))
    if size == 0:
        return rows, rows[:0]
    single = np.flatnonzero(np.bincount(labels) == 1)
    if len(single):
        raise PipelineError(
            f"{setting} {size:g}: each class needs at least 2 rows, one for each part; label {single[0]} has 1; add "
            "rows of it, or remove the class"
        )
    try:
        first, second = train_test_split(rows, test_size=size, random_state=seed, stratify=labels)
    except ValueError as error:
        raise PipelineError(f"{setting} {size} does not fit {len(labels)} rows: {error}") from None
    return np.sort(first), np.sort(second)
