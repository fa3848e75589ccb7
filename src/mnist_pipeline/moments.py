"""Mean and standard deviation of small whole numbers, exactly."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray


def mean_and_sd(counts: NDArray[np.int64]) -> tuple[float, float]:
    """Mean and population sd of values 0, 1, ... that occur ``counts`` times; exact until the last division."""
    number = int(counts.sum())
    total = sum(value * int(count) for value, count in enumerate(counts))
    squares = sum(value**2 * int(count) for value, count in enumerate(counts))
    return total / number, math.sqrt(number * squares - total**2) / number
