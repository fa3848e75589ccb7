"""Which rows of a data set are held out: of the training set for validation, of a file of one's own to test on."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from sklearn.model_selection import train_test_split

Indices = NDArray[np.int64]


class HoldOutError(ValueError):
    """So many rows cannot be held out."""


def hold_out(
    labels: NDArray[np.uint8], size: float, seed: int, setting: str = "data.validation_size"
) -> tuple[Indices, Indices]:
    """Split rows into those to keep and those to hold out, each class in proportion.

    Args:
        labels: uint8 of shape (n,).
        size: how many rows to hold out: a number, a fraction below 1, or 0.
        seed: which rows.
        setting: where ``size`` comes from, for the message of an error.

    Returns:
        The indices to keep and those held out, each in the order of the file.

    Raises:
        HoldOutError: a part would have fewer rows than there are classes, or a class has a single row; the message
            says which.
    """
    rows = np.arange(len(labels))
    if size == 0:
        return rows, rows[:0]
    alone = np.flatnonzero(np.bincount(labels) == 1)
    if len(alone):
        raise HoldOutError(
            f"{setting} {size:g}: each class needs at least 2 rows, to keep one and hold out one; label {alone[0]} has "
            "1; add rows of it, or take the class out"
        )
    try:
        kept, held_out = train_test_split(rows, test_size=size, random_state=seed, stratify=labels)
    except ValueError as error:
        raise HoldOutError(f"{setting} {size} does not fit {len(labels)} rows: {error}") from None
    return np.sort(kept), np.sort(held_out)
