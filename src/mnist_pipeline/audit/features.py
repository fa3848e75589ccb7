"""Coarse images in which distances are whole numbers, so that every machine finds the same neighbours."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

CELLS = 7  # a side
BLOCK = 2048  # images at once


def pooled(images: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Return the mean grey levels of a grid of 7 × 7 cells, rounded to whole numbers, (n, 49)."""
    side = images.shape[1]
    cells = min(CELLS, side)
    if not len(images):
        return np.zeros((0, cells**2))
    edges = np.arange(cells) * side // cells
    sizes = np.diff([*edges, side])
    sums = np.add.reduceat(np.add.reduceat(images, edges, axis=1, dtype=np.int64), edges, axis=2)
    means: NDArray[np.float64] = np.floor(sums / np.outer(sizes, sizes) + 0.5).reshape(len(images), -1)
    return means


def squared_distances(one: NDArray[np.float64], other: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the squared distance of every two rows, (n, m); exact for whole numbers."""
    squares: NDArray[np.float64] = (one**2).sum(axis=1)[:, None] + (other**2).sum(axis=1) - 2 * (one @ other.T)
    return squares


def distances_to_nearest(
    images: NDArray[np.uint8], references: NDArray[np.float64], number: int, own: Mapping[int, int]
) -> NDArray[np.float64]:
    """Return the mean distance of each image to its nearest references, (n,).

    Args:
        images: uint8 (n, side, side).
        references: pooled images, (m, cells²).
        number: of the nearest references.
        own: the place among the references of images that are one, which does not count.
    """
    result = np.zeros(len(images))
    number = min(number, len(references) - 1)
    for start in range(0, len(images), BLOCK):
        squares = squared_distances(pooled(images[start : start + BLOCK]), references)
        for row in range(len(squares)):
            if start + row in own:
                squares[row, own[start + row]] = np.inf
        nearest = np.sort(np.partition(squares, number - 1, axis=1)[:, :number], axis=1)
        result[start : start + BLOCK] = np.sqrt(nearest).sum(axis=1) / number
    return result


def evenly_spaced(number: int, most: int) -> NDArray[np.int64]:
    """Return at most so many of the indices 0 to number - 1, evenly spaced."""
    return np.unique(np.arange(min(number, most)) * number // max(min(number, most), 1))
