"""Plan a comparison: how many seeds detect a difference, and when to stop adding them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from mnist_pipeline.core.errors import PipelineError
from mnist_pipeline.experiments.significance import LEVEL, Scores, compare_scores

POWER = 0.8
"""The power for which runs are planned."""


@dataclass(frozen=True)
class Plan:
    """How many runs a side detect a difference.

    Attributes:
        seeds: a side; None: no number is enough, only more samples help.
        samples: that the test set needs where seeds alone are not enough; else as many as it has.
    """

    seeds: int | None
    samples: int


def plan(before: Scores, after: Scores, detect: float, level: float = LEVEL, most: int = 1000) -> Plan:
    """Plan the runs a side for a power of 80 % to detect a difference, from the variances of runs that there are.

    Args:
        before: scores of at least two runs, (runs, samples).
        after: likewise.
        detect: the difference of mean scores.
        level: of the test.
        most: runs that are considered.

    Raises:
        PipelineError: runs vary so much that neither this many nor more samples are enough.
    """
    estimate = compare_scores(before, after)
    samples = before.shape[1]
    by_run = [float(side.mean(axis=1).var(ddof=1)) for side in (before, after)]

    def power(seeds: int, share: float = 1.0) -> float:
        from scipy.stats import nct
        from scipy.stats import t as student

        parts = [*((each / seeds, seeds - 1) for each in by_run), (share * estimate.between_samples, samples - 1)]
        variance = sum(part for part, _ in parts)
        if variance == 0:
            return 1.0
        degrees = variance**2 / sum(part**2 / each for part, each in parts)
        return float(nct.sf(student.isf(level / 2, degrees), degrees, detect / math.sqrt(variance)))

    enough = next((seeds for seeds in range(2, most + 1) if power(seeds) >= POWER), None)
    if enough is not None:
        return Plan(enough, samples)
    share = next((share for share in (0.5**k for k in range(60)) if power(most, share) >= POWER), None)
    if share is None:
        raise PipelineError(f"runs vary too much to detect {detect:g}: even {most} a side are not enough")
    low, high = share, min(1.0, 2 * share)
    for _ in range(30):
        middle = (low + high) / 2
        low, high = (middle, high) if power(most, middle) >= POWER else (low, middle)
    return Plan(None, math.ceil(samples / low))


def spend(looks: Sequence[int], level: float = LEVEL) -> list[float]:
    """Divide the level among looks, in proportion to the seeds that each adds (alpha spending, Lan and DeMets 1983).

    The levels add up to ``level``, so that a verdict at any look is wrong in at most that share of cases, however the
    looks depend on each other: all of them are at the same samples.

    Args:
        looks: seeds a side at each look, rising.
        level: of all looks together.
    """
    spent = [level * seeds / looks[-1] for seeds in looks]
    return [now - before for before, now in zip([0.0, *spent[:-1]], spent, strict=True)]
