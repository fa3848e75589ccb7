"""Whether one group of runs is better than another: one test over seeds and samples, one interval, one verdict.

A run gives each sample of the test set a score, such as 1 if its prediction is correct. Two things vary: the seed of a
run, and the samples that the test set happens to hold. The two-way test treats both as random (crossed random effects,
as in multi-reader multi-case studies: Obuchowski and Rockette 1995, Gallas 2006), so that its verdict is about the
settings of the runs, for other seeds and other samples. docs/comparing.md explains it.

scipy.stats takes half a second to import, and is imported where it is used.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

Scores = NDArray[np.float64]
Verdict = Literal["better", "worse", "equivalent", "not worse", "inconclusive"]

LEVEL = 0.05
"""A p-value of at most this, corrected in a family of tests, counts as a difference."""

TWO_WAY = "two-way test (seeds × samples)"
PAIRED = "two-way test (seeds × samples), paired by seed"
ONE_SEED = "two-way test (seeds × samples); the side with one run is assumed to vary like the other"
MCNEMAR = "exact McNemar test (two models, not two settings)"
ONE_RUN = "paired t-test over samples (two models, not two settings)"
NO_VARIATION = "none: without variation between runs and samples, no test is possible"


@dataclass(frozen=True)
class Estimate:
    """A difference of mean scores, after minus before, with its uncertainty.

    Attributes:
        difference: of the mean scores.
        variance: of the difference: that between seeds plus that between samples.
        degrees: of freedom of the variance (Satterthwaite 1946).
        between_samples: the part of the variance that only more samples reduce.
        method: the test.
        samples: how many.
        discordant: samples that only the run after gets right, and that only the run before does, for McNemar's test.
    """

    difference: float
    variance: float
    degrees: float
    between_samples: float
    method: str
    samples: int
    discordant: tuple[int, int] | None = None

    def reversed(self) -> Estimate:
        """Return the difference before minus after: that of a score of which less is better."""
        discordant = None if self.discordant is None else self.discordant[::-1]
        return replace(self, difference=-self.difference, discordant=discordant)

    @property
    def p(self) -> float:
        """The two-sided p-value that the difference is 0; 1 where no test is possible."""
        if self.discordant is not None:
            return mcnemar_p(*self.discordant)
        if self.variance == 0:
            return 1.0
        from scipy.stats import t as student

        return float(2 * student.sf(abs(self.difference) / math.sqrt(self.variance), self.degrees))

    def interval(self, level: float = LEVEL) -> tuple[float, float]:
        """Return the interval of the difference with coverage 1 - ``level``; it excludes 0 if and only if p < level."""
        from scipy.stats import binomtest
        from scipy.stats import t as student

        if self.discordant is not None:
            fixed, broken = self.discordant
            if not fixed + broken:
                return 0.0, 0.0
            share = binomtest(fixed, fixed + broken).proportion_ci(1 - level, method="exact")  # Clopper, Pearson 1934
            scale = (fixed + broken) / self.samples
            return scale * (2 * float(share.low) - 1), scale * (2 * float(share.high) - 1)
        if self.variance == 0:
            return (0.0, 0.0) if self.difference == 0 else (-math.inf, math.inf)
        half = float(student.isf(level / 2, self.degrees)) * math.sqrt(self.variance)
        return self.difference - half, self.difference + half


def compare_scores(before: Scores, after: Scores, *, paired: bool = False) -> Estimate:
    """Compare two groups of runs on the same samples.

    Args:
        before: scores, (runs, samples).
        after: likewise, of as many samples.
        paired: whether run i of both sides has the same seed and weights, so that only the prediction differs.

    Returns:
        The estimate: of the two-way test where a side has several runs. One run a side can only compare two models:
        exact McNemar for scores of 0 and 1, else a paired t-test over samples.
    """
    if len(before) == len(after) == 1:
        return _compare_models(before[0], after[0])
    samples = before.shape[1]
    by_sample = after.mean(axis=0) - before.mean(axis=0)  # (samples,)
    if paired:
        differences = after - before  # (runs, samples)
        parts = [_seeds_part(differences, 1 / len(differences))]
        noise = differences.var(axis=0, ddof=1) / len(differences)  # (samples,)
        method = PAIRED
    else:
        counts = (len(before), len(after))
        sides = [(side, 1 / len(side)) for side in (before, after)]
        if min(counts) == 1:  # one variance for both sides, hence one part: it has the degrees of freedom of one side
            sides = [(max(before, after, key=len), sum(share for _, share in sides))]
        parts = [_seeds_part(side, share) for side, share in sides]
        noise = sum(side.var(axis=0, ddof=1) * share for side, share in sides)
        method = TWO_WAY if min(counts) > 1 else ONE_SEED
    between_samples = max(0.0, float(by_sample.var(ddof=1) - noise.mean()) / samples)
    parts.append((between_samples, samples - 1))
    variance, difference = sum(part for part, _ in parts), float(by_sample.mean())
    rounding = _rounding(before, after)
    if variance <= rounding**2:
        return Estimate(difference if abs(difference) > rounding else 0.0, 0.0, math.inf, 0.0, NO_VARIATION, samples)
    return Estimate(
        difference=difference,
        variance=variance,
        degrees=variance**2 / sum(part**2 / degrees for part, degrees in parts),
        between_samples=between_samples,
        method=method,
        samples=samples,
    )


def _seeds_part(scores: Scores, share: float) -> tuple[float, int]:
    """Return the variance over seeds of a run's mean score times ``share``, and its degrees of freedom."""
    means = scores.mean(axis=1)  # (runs,)
    return float(means.var(ddof=1)) * share, len(scores) - 1


def _rounding(before: Scores, after: Scores) -> float:
    """Return a bound of the rounding errors of means: equal numbers can have means that differ by so much."""
    return 1e-12 * float(max(np.abs(before).max(), np.abs(after).max()))


def _compare_models(before: Scores, after: Scores) -> Estimate:
    differences = after - before  # (samples,)
    samples = len(differences)
    binary = np.isin(before, (0, 1)).all() and np.isin(after, (0, 1)).all()
    variance = float(differences.var(ddof=1)) / samples if samples > 1 else 0.0
    if variance <= _rounding(before, after) ** 2:
        variance = 0.0
    return Estimate(
        difference=float(differences.mean()),
        variance=variance,
        degrees=samples - 1,
        between_samples=variance,
        method=MCNEMAR if binary else ONE_RUN if variance else NO_VARIATION,
        samples=samples,
        discordant=(int((differences > 0).sum()), int((differences < 0).sum())) if binary else None,
    )


def mcnemar_p(fixed: int, broken: int) -> float:
    """Return the two-sided p-value of the exact McNemar test: the sign test of the discordant samples, in integers."""
    number, term, total = fixed + broken, 1, 1
    for k in range(min(fixed, broken)):
        term = term * (number - k) // (k + 1)
        total += term
    share: float = 2 * total / 2**number
    return min(1.0, share)


def verdict_of(low: float, high: float) -> Verdict:
    """Return the verdict of an interval of a difference in which more is better."""
    return "better" if low > 0 else "worse" if high < 0 else "inconclusive"


def verdict_with_margin(estimate: Estimate, margin: float, level: float = LEVEL) -> Verdict:
    """Return the verdict where differences below ``margin`` do not matter: two one-sided tests (Schuirmann 1987).

    "equivalent": the difference is within ±margin; "not worse": it is above -margin; each at ``level``.
    """
    low, high = estimate.interval(2 * level)
    if -margin < low and high < margin:
        return "equivalent"
    plain = verdict_of(*estimate.interval(level))
    return "not worse" if plain == "inconclusive" and low > -margin else plain


@dataclass(frozen=True)
class Tested:
    """A difference in a family of tests.

    Attributes:
        p: of the test alone.
        p_corrected: for the number of tests in the family (Holm 1979).
        low, high: simultaneous 95 % interval.
        verdict: better, worse or inconclusive, by the corrected p-value.
    """

    p: float
    p_corrected: float
    low: float
    high: float
    verdict: Verdict


def correct_for_family(
    estimates: Sequence[Estimate], shares: Sequence[float] | None = None, level: float = LEVEL
) -> list[Tested]:
    """Test a family of differences.

    Verdicts are Holm's: in at least 95 % of families, all of them are right. Intervals are Bonferroni's: in at least
    95 % of families, they cover all differences at once. Where Holm's test, which is the more powerful, finds a
    difference whose interval still contains 0, the interval ends at 0. So interval and verdict never contradict each
    other.

    Args:
        estimates: the differences.
        shares: of the level that each may spend, below 1 for one of several looks; by default all of it.
        level: of the family.
    """
    shares = shares or [1.0] * len(estimates)
    corrected = holm([min(1.0, each.p / share) for each, share in zip(estimates, shares, strict=True)])
    tested = []
    for each, p, share in zip(estimates, corrected, shares, strict=True):
        low, high = each.interval(level * share / len(estimates))
        verdict: Verdict = "inconclusive"
        if p <= level:
            verdict = "better" if each.difference > 0 else "worse"
            low, high = (max(low, 0.0), high) if each.difference > 0 else (low, min(high, 0.0))
        tested.append(Tested(each.p, p, low, high, verdict))
    return tested


def holm(p_values: Sequence[float]) -> list[float]:
    """Correct p-values for their number (Holm 1979), in the order given."""
    order = sorted(range(len(p_values)), key=lambda i: p_values[i])
    corrected, largest = [0.0] * len(p_values), 0.0
    for rank, i in enumerate(order):
        largest = max(largest, min(1.0, (len(p_values) - rank) * p_values[i]))
        corrected[i] = largest
    return corrected
