"""Classes too small to judge, drift between training and test set, and dependence on the order of rows."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping

import numpy as np
from numpy.typing import NDArray

from mnist_pipeline.audit.features import evenly_spaced, pooled, squared_distances
from mnist_pipeline.audit.findings import Finding
from mnist_pipeline.core.statistics import wilson_interval
from mnist_pipeline.data.dataset import Dataset

LEAST_LOWER_BOUND = 0.9
"""If all images of a class were classified correctly: the least lower bound of the 95 % interval of its accuracy."""

LARGEST_IMBALANCE = 10.0
"""Of the largest class of a file to any other."""

MOST_ROWS = 500  # of each side of a two-sample test
NEIGHBOURS, PERMUTATIONS = 5, 999
LEVEL = 0.01
LEAST_EXCESS = 0.05
"""Of neighbours from the same sample above what chance gives; less is no drift to worry about, however significant."""

MOST_NEIGHBOURING_LABELS = 0.05
"""Of pairs of consecutive rows with the same label above what chance gives, likewise."""


def small_classes(datasets: Mapping[str, Dataset]) -> Iterator[Finding]:
    """Yield each class of a file with too few rows.

    The score is the lower bound of the 95 % interval of its accuracy if all its images were classified correctly.
    """
    for name, dataset in datasets.items():
        counts = np.bincount(dataset.labels, minlength=len(dataset.classes))
        for label, rows in enumerate(counts.tolist()):
            bound = wilson_interval(rows, rows)[0] if rows else 0.0
            if bound < LEAST_LOWER_BOUND or rows * LARGEST_IMBALANCE < counts.max():
                yield Finding(name, None, "small_class", bound, dataset.classes[label])


def drift(datasets: Mapping[str, Dataset]) -> Iterator[Finding]:
    """Yield each class whose images differ between train and test.

    The score is the share of an image's nearest neighbours in the class that come from the same file, above what chance
    gives (Schilling 1986, Henze 1988); the p-values of all classes are Holm-corrected.
    """
    train, test = datasets["train"], datasets["test"]
    excesses, p_values = [], []
    for label in range(len(train.classes)):
        one, other = (
            pooled(each.images[rows[evenly_spaced(len(rows), MOST_ROWS)]])
            for each in (train, test)
            for rows in [np.flatnonzero(each.labels == label)]
        )
        excess, p = two_sample_test(one, other)
        excesses.append(excess)
        p_values.append(p)
    left = len(p_values)
    for label in np.argsort(p_values, kind="stable").tolist():
        if p_values[label] > LEVEL / left:
            return
        left -= 1
        if excesses[label] >= LEAST_EXCESS:
            yield Finding("test", None, "drift", excesses[label], train.classes[label])


def order(datasets: Mapping[str, Dataset]) -> Iterator[Finding]:
    """Yield each file whose rows are not in a random order: by their labels, or its first half against its second.

    The score is the share of consecutive rows with the same label, or of neighbours from the same half, above what
    chance gives.
    """
    for name, dataset in datasets.items():
        number = len(dataset.labels)
        shares = np.bincount(dataset.labels) / number
        same = float((dataset.labels[1:] == dataset.labels[:-1]).mean()) if number > 1 else 0.0
        by_label = same - float((shares**2).sum())
        deviation = math.sqrt(max(same * (1 - same), 1 / number) / number)
        if by_label > max(MOST_NEIGHBOURING_LABELS, 5 * deviation):
            yield Finding(name, None, "order", by_label)
            continue
        halves = (dataset.images[: number // 2], dataset.images[number // 2 :])
        one, other = (pooled(half[evenly_spaced(len(half), 2 * MOST_ROWS)]) for half in halves)
        excess, p = two_sample_test(one, other)
        if p <= LEVEL and excess >= LEAST_EXCESS:
            yield Finding(name, None, "order", excess)


def two_sample_test(one: NDArray[np.float64], other: NDArray[np.float64]) -> tuple[float, float]:
    """Test whether two samples have the same distribution, by the samples of each row's nearest neighbours.

    Args:
        one: whole numbers, (n, features).
        other: likewise, (m, features).

    Returns:
        The share of neighbours from the same sample above what chance gives, and the p-value of a permutation test; 0
        and 1 where a sample has fewer than two rows.
    """
    if min(len(one), len(other)) < 2:
        return 0.0, 1.0
    both = np.concatenate([one, other])
    squares = squared_distances(both, both)
    np.fill_diagonal(squares, np.inf)
    number = min(NEIGHBOURS, len(both) - 1)
    farthest = np.partition(squares, number - 1, axis=1)[:, number - 1]
    near = (squares <= farthest[:, None]).astype(np.float64)  # with all that are as far as the last
    sides = np.where(np.arange(len(both)) < len(one), 1.0, -1.0)
    random = np.random.default_rng(0)
    permuted = np.stack([sides, *(random.permutation(sides) for _ in range(PERMUTATIONS))], axis=1)
    agreement = (permuted * (near @ permuted)).sum(axis=0)  # neighbours of the same side, less those of the other
    share = (1 + agreement / near.sum()) / 2
    sizes = np.array([len(one), len(other)])
    chance = float((sizes * (sizes - 1)).sum() / (len(both) * (len(both) - 1)))
    p = float((agreement >= agreement[0]).sum()) / (PERMUTATIONS + 1)
    return float(share[0]) - chance, p
