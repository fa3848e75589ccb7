"""The mean and standard deviation of integers, exactly, and Wilson's interval of a proportion."""

from __future__ import annotations

import math
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

CONFIDENCE_LEVEL = 0.95


def mean_and_std(counts: NDArray[np.int64]) -> tuple[float, float]:
    """Mean and population standard deviation of the values 0, 1, ..., which occur ``counts`` times.

    Exact until the last division, so that every machine gets the same bits.
    """
    number = int(counts.sum())
    total = sum(value * int(count) for value, count in enumerate(counts))
    squares = sum(value**2 * int(count) for value, count in enumerate(counts))
    return total / number, math.sqrt(number * squares - total**2) / number


def wilson_interval(successes: int, number: int) -> tuple[float, float]:
    """The 95 % interval of a proportion (Wilson 1927), accurate near 0 and 1, too.

    Args:
        successes: 0 to ``number``.
        number: at least 1.
    """
    z = NormalDist().inv_cdf((1 + CONFIDENCE_LEVEL) / 2)
    share, scale = successes / number, 1 + z**2 / number
    centre = (share + z**2 / (2 * number)) / scale
    half = z / scale * math.sqrt(share * (1 - share) / number + z**2 / (4 * number**2))
    return 0.0 if successes == 0 else centre - half, 1.0 if successes == number else centre + half
