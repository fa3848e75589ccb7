"""Stratified splits that do not leak: the validation set of the training rows, and the test set of a single file."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from mnist_pipeline.core.errors import PipelineError
from mnist_pipeline.params.limits import split_size

Indices = NDArray[np.int64]


def stratified_split(
    labels: NDArray[np.uint8],
    size: float,
    seed: int,
    groups: NDArray[np.int32] | None = None,
    setting: str = "data.validation_size",
) -> tuple[Indices, Indices]:
    """Split rows in two, each class in proportion, and each group on one side.

    Groups of several rows are placed one by one, the largest first, where each class then comes closest to its share.
    Other rows are split at random; a few move to the other side to make up for the groups.

    Args:
        labels: uint8 of shape (n,).
        size: of the second part: a number of rows, a fraction below 1, or 0.
        seed: which rows.
        groups: the group of each row, int32 (n,); None: each row is its own.
        setting: where ``size`` comes from, for the message of an error.

    Returns:
        The row indices of the first and of the second part, each in the order of the file.

    Raises:
        PipelineError: a part would have fewer rows than there are classes, a class has a single row, or the groups are
            so large that a part would be empty.
    """
    rows = np.arange(len(labels))
    if size == 0:
        return rows, rows[:0]
    number = split_size(size, np.bincount(labels).tolist(), setting)
    in_second = _drawn(labels, number, seed)
    if groups is not None:
        in_second = _whole_groups(in_second, labels.astype(np.int64), groups, seed)
        if in_second.all() or not in_second.any():
            raise PipelineError(
                f"{setting} {size:g}: the groups are too large to be split: each goes to one part as a whole, and one "
                "part would be empty; choose another size, or divide the groups"
            )
    return np.flatnonzero(~in_second), np.flatnonzero(in_second)


def _drawn(labels: NDArray[np.uint8], number: int, seed: int) -> NDArray[np.bool_]:
    """Draw this number of rows, each class in proportion: those of scikit-learn, which takes a second to import."""
    random = np.random.RandomState(seed)
    _, classes, counts = np.unique(labels, return_inverse=True, return_counts=True)
    others = _proportional(counts, len(labels) - number, random)
    _proportional(counts - others, number, random)  # scikit-learn draws the ties of both parts
    in_second = np.zeros(len(labels), bool)
    for label, count in enumerate(counts):
        in_second[np.flatnonzero(classes == label)[random.permutation(count)[others[label] :]]] = True
    return in_second


def _proportional(counts: NDArray[np.int64], number: int, random: np.random.RandomState) -> NDArray[np.int64]:
    """Divide a number in proportion to counts, int64 (n,), rounded by the largest remainders; ties are drawn."""
    exact = counts / counts.sum() * number
    result = np.floor(exact)
    for remainder in np.unique(exact - result)[::-1]:
        if missing := int(number - result.sum()):
            ties = np.flatnonzero(exact - np.floor(exact) == remainder)
            result[random.choice(ties, min(missing, len(ties)), replace=False)] += 1
    return np.asarray(result, np.int64)


def _whole_groups(
    in_second: NDArray[np.bool_], labels: NDArray[np.int64], groups: NDArray[np.int32], seed: int
) -> NDArray[np.bool_]:
    """Change a split so that each group is on one side; one without groups of several rows stays as it is."""
    sizes = np.bincount(groups)
    grouped = sizes[groups] > 1
    if not grouped.any():
        return in_second
    result = in_second.copy()
    classes = labels.max() + 1
    wanted = np.bincount(labels[in_second], minlength=classes)  # of each class, in the second part
    share = wanted / np.maximum(np.bincount(labels, minlength=classes), 1)
    random = np.random.default_rng(seed)
    placed = surplus = np.zeros(classes)  # rows of groups so far; those in the second part, less their share
    members = np.split(np.argsort(groups, kind="stable"), np.cumsum(sizes)[:-1])
    several = np.flatnonzero(sizes > 1)
    for group in sorted(random.permutation(several), key=lambda each: -sizes[each]):
        counts = np.bincount(labels[members[group]], minlength=classes)
        placed = placed + counts
        without, with_it = surplus - share * counts, surplus + (1 - share) * counts
        result[members[group]] = (with_it**2).sum() < (without**2).sum()
        surplus = with_it if result[members[group][0]] else without
    for label in range(classes):
        missing = wanted[label] - int(result[labels == label].sum())
        movable = np.flatnonzero((labels == label) & ~grouped & (result != (missing > 0)))
        result[random.permutation(movable)[: abs(missing)]] = missing > 0
    return result
