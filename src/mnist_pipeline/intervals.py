"""Intervals of proportions, such as accuracies. Imports the standard library alone: commands are to answer at once."""

from __future__ import annotations

import math
from statistics import NormalDist

CONFIDENCE_LEVEL = 0.95


def wilson(successes: int, number: int) -> tuple[float, float]:
    """The 95 % interval of a proportion (Wilson 1927), which holds near 0 and 1, too.

    Args:
        successes: 0 to ``number``.
        number: at least 1.
    """
    z = NormalDist().inv_cdf(0.5 + CONFIDENCE_LEVEL / 2)
    proportion = successes / number
    centre = (proportion + z**2 / (2 * number)) / (1 + z**2 / number)
    half = z / (1 + z**2 / number) * math.sqrt(proportion * (1 - proportion) / number + z**2 / (4 * number**2))
    return (0.0 if successes == 0 else centre - half), (1.0 if successes == number else centre + half)
