"""Paired tests: whether one of two models, or of two settings, is better on the same samples or the same seeds.

scipy.stats takes half a second to import, and is imported where it is used.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist, fmean, stdev

from mnist_pipeline.core.statistics import CONFIDENCE_LEVEL

LEVEL = 0.05
"""A p-value of at most this, corrected where there are several, counts as a difference."""

POWER = 0.8
"""The power at which a detectable difference is stated."""


@dataclass(frozen=True)
class Difference:
    """A mean of paired differences.

    Attributes:
        mean: the mean.
        low: lower bound of its 95 % interval by Student's t; None with fewer than two pairs.
        high: upper bound.
        p: two-sided p-value of the paired t-test against 0 (Student 1908); None likewise.
    """

    mean: float
    low: float | None
    high: float | None
    p: float | None


def mcnemar(fixed: int, broken: int) -> float:
    """Return the exact two-sided p-value of McNemar's test (1947) that two models are equally accurate.

    Args:
        fixed: samples that only the second model gets right.
        broken: samples that only the first gets right.
    """
    from scipy.stats import binomtest

    return float(binomtest(fixed, fixed + broken).pvalue) if fixed + broken else 1.0


def sign_flip(differences: Sequence[int]) -> float:
    """Return the exact two-sided p-value of the sign-flip test (Fisher 1935) that the mean difference is 0.

    Under that hypothesis each difference is as likely to have the other sign. With differences of -1, 0 and 1 it is
    McNemar's exact test; here each is a sum over several seeds. The null distribution is found by convolution, not by
    sampling.

    Args:
        differences: whole numbers, small, one a sample.
    """
    import numpy as np

    sizes = Counter(abs(each) for each in differences)
    del sizes[0]
    observed = abs(sum(differences))
    # Differences of size s, c of them, k positive: they add up to s (2 k - c), where k is binomial. What is followed is
    # the sum of the positive ones, s k, which takes every s-th value.
    distribution = np.ones(1)
    for size, count in sorted(sizes.items()):
        longer = np.zeros(len(distribution) + size * count)
        for first in range(min(size, len(distribution))):
            part = np.convolve(distribution[first::size], _half_binomial(count))
            longer[first : first + size * len(part) : size] = part
        distribution = longer
    sums = np.abs(2 * np.arange(len(distribution)) - (len(distribution) - 1))
    return min(1.0, float(distribution[sums >= observed].sum()))


def _half_binomial(number: int) -> list[float]:
    """Return the probability of k heads of ``number`` fair coins, k = 0, ..., number."""
    log_half = number * math.log(2)
    return [
        math.exp(math.lgamma(number + 1) - math.lgamma(k + 1) - math.lgamma(number - k + 1) - log_half)
        for k in range(number + 1)
    ]


def paired_t(differences: Sequence[float]) -> Difference:
    """Return the mean of paired differences with its 95 % interval, and the paired t-test.

    Args:
        differences: at least one, one a pair. If all are the same, p is 1 where they are 0, and 0 otherwise.
    """
    from scipy.stats import ttest_1samp

    mean = fmean(differences)
    if len(differences) < 2:
        return Difference(mean, None, None, None)
    if stdev(differences) == 0:
        return Difference(mean, mean, mean, 1.0 if mean == 0 else 0.0)
    test = ttest_1samp(differences, 0)
    interval = test.confidence_interval(CONFIDENCE_LEVEL)
    return Difference(mean, float(interval.low), float(interval.high), float(test.pvalue))


def holm(p_values: Sequence[float]) -> list[float]:
    """Correct p-values for their number (Holm 1979), in the order given.

    Calling all of them below 0.05 differences is wrong even once in at most 5 % of such families of tests.
    """
    order = sorted(range(len(p_values)), key=lambda i: p_values[i])
    corrected, largest = [0.0] * len(p_values), 0.0
    for rank, i in enumerate(order):
        largest = max(largest, min(1.0, (len(p_values) - rank) * p_values[i]))
        corrected[i] = largest
    return corrected


def detectable_by_pairs(differences: Sequence[float], level: float) -> float:
    """Return the smallest true mean that a paired t-test of as many pairs, as spread out, finds with a chance of 80 %.

    Args:
        differences: one a pair, at least two.
        level: the p-value below which the test calls a difference.
    """
    from scipy.optimize import brentq
    from scipy.stats import nct
    from scipy.stats import t as student

    number, degrees = len(differences), len(differences) - 1
    critical = float(student.isf(level / 2, degrees))

    def lacking(shift: float) -> float:
        return POWER - float(nct.sf(critical, degrees, shift))  # by the other tail: next to nothing

    highest = critical
    while lacking(highest) > 0:
        highest *= 1.5
    shift = brentq(lacking, 0.0, highest)
    return float(shift) * stdev(differences) / math.sqrt(number)


def detectable_by_samples(differences: Sequence[int], level: float) -> float:
    """Return the smallest true sum of differences that ``sign_flip`` finds with a chance of 80 %, by its normal limit.

    Args:
        differences: whole numbers, one a sample.
        level: the p-value below which the test calls a difference.
    """
    normal = NormalDist()
    return (normal.inv_cdf(1 - level / 2) + normal.inv_cdf(POWER)) * math.sqrt(sum(each**2 for each in differences))
