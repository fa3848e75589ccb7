"""The mean and standard deviation of integers, exactly, and Wilson's interval of a proportion."""

from __future__ import annotations

import math

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
    from scipy.stats import binomtest  # half a second to import

    interval = binomtest(successes, number).proportion_ci(CONFIDENCE_LEVEL, method="wilson")
    return float(interval.low), float(interval.high)
