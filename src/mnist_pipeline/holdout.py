"""Which rows of the training set are held out for validation."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from sklearn.model_selection import train_test_split

Indices = NDArray[np.int64]


class HoldOutError(ValueError):
    """So many rows cannot be held out of this training set."""


def hold_out(labels: NDArray[np.uint8], size: float, seed: int) -> tuple[Indices, Indices]:
    """Split rows into those to train on and those to validate on, each class in proportion.

    Args:
        labels: uint8 of shape (n,).
        size: how many rows to hold out: a number, a fraction below 1, or 0.
        seed: which rows.

    Returns:
        The indices to train on and those to validate on, each in the order of the file.

    Raises:
        HoldOutError: a part would have fewer rows than there are classes, or a class has a single row.
    """
    rows = np.arange(len(labels))
    if size == 0:
        return rows, rows[:0]
    try:
        kept, held_out = train_test_split(rows, test_size=size, random_state=seed, stratify=labels)
    except ValueError as error:
        raise HoldOutError(f"data.validation_size {size} does not fit {len(labels)} training rows: {error}") from None
    return np.sort(kept), np.sort(held_out)
