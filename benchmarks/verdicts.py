"""How often verdicts err: simulated groups of runs whose truth is known.

The scores come from a probit model with the variances of this project's runs: a sample has a difficulty common to all
settings and another for each, a run has a level of its own, and the rest is noise. New samples are drawn in every
repetition, so that two settings of equal expected accuracy differ on any one test set.
"""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri
from scipy.stats import norm, ttest_rel

from mnist_pipeline.experiments.planning import spend
from mnist_pipeline.experiments.significance import LEVEL, compare_scores, verdict_with_margin

Scores = NDArray[np.float64]

SAMPLES = 10_000
SEEDS = (3, 5, 10, 20)
LOOKS = (5, 10, 20)
REPETITIONS = 3000
GAINS = (0.0, 0.001, 0.003)


@dataclass(frozen=True)
class Scenario:
    """Two settings, by the figures of a rung of the ladder and the one that it builds on.

    Attributes:
        accuracy: of both.
        within: correlation of the latent scores of two runs of the same settings on one sample (tetrachoric).
        across: likewise, of different settings.
        spread: standard deviation of a run's accuracy, in points.
    """

    accuracy: float
    within: float
    across: float
    spread: float


SCENARIOS = {
    "layer-norm": Scenario(0.971, 0.965, 0.949, 0.12),
    "adam": Scenario(0.963, 0.935, 0.884, 0.25),
    "cnn-elastic": Scenario(0.9942, 0.930, 0.900, 0.078),
    "deskew": Scenario(0.986, 0.965, 0.877, 0.060),
    "cross-entropy": Scenario(0.971, 0.900, 0.890, 0.36),
}
"""From metrics/ladder_runs.csv, the mean of both rungs of each pair."""


def verdicts() -> dict[str, Any]:
    """Size, coverage, power, sequential stopping and equivalence of the two-way test, simulated."""
    rows = [
        {"scenario": name, "gain": gain} | measure(scenario, gain)
        for gain in GAINS
        for name, scenario in SCENARIOS.items()
    ]
    return {"repetitions": REPETITIONS, "samples": SAMPLES, "rows": rows}


def measure(scenario: Scenario, gain: float) -> dict[str, Any]:
    """Return the shares of repetitions in which a difference is found, the interval covers the truth, and so on."""
    random = np.random.default_rng(1)
    counts: Counter[str] = Counter()
    for _ in range(REPETITIONS):
        before, after = simulate(scenario, gain, max(SEEDS), random)
        found = {seeds: compare_scores(before[:seeds], after[:seeds]) for seeds in SEEDS}
        for seeds, estimate in found.items():
            low, high = estimate.interval()
            counts[f"found {seeds}"] += estimate.p <= LEVEL
            counts[f"covered {seeds}"] += low <= gain <= high
            counts[f"two tests {seeds}"] += two_tests(before[:seeds], after[:seeds])
            if gain:
                counts[f"equivalent {seeds}"] += verdict_with_margin(estimate, gain) == "equivalent"
        counts["sequential"] += any(found[seeds].p <= level for seeds, level in zip(LOOKS, spend(LOOKS), strict=True))
    return {name: count / REPETITIONS for name, count in counts.items()}


def simulate(scenario: Scenario, gain: float, seeds: int, random: np.random.Generator) -> tuple[Scores, Scores]:
    """Return the scores, (seeds, samples), of two settings, the second more accurate by ``gain``."""
    run = scenario.spread / 100 / norm.pdf(ndtri(scenario.accuracy))
    own = math.sqrt(scenario.within - scenario.across)
    noise = math.sqrt(1 - scenario.within - run**2)
    common = math.sqrt(scenario.across) * random.standard_normal(SAMPLES, dtype=np.float32)
    sides = []
    for accuracy in (scenario.accuracy, scenario.accuracy + gain):
        latent = ndtri(accuracy) + common + own * random.standard_normal(SAMPLES, dtype=np.float32)
        latent = latent + run * random.standard_normal((seeds, 1), dtype=np.float32)
        latent = latent + noise * random.standard_normal((seeds, SAMPLES), dtype=np.float32)
        sides.append((latent > 0).astype(np.float64))
    return sides[0], sides[1]


def two_tests(before: Scores, after: Scores) -> bool:
    """Return whether the rule that the two-way test replaced finds a difference.

    It asked two questions apart: other seeds (paired t-test) and other samples (sign-flip test, here by its normal
    limit), both with p of at most 0.05.
    """
    by_seed = ttest_rel(after.mean(axis=1), before.mean(axis=1)).pvalue
    by_sample = (after - before).sum(axis=0)
    size = math.sqrt(float((by_sample**2).sum()))
    return bool(by_seed <= LEVEL and size and 2 * norm.sf(abs(by_sample.sum()) / size) <= LEVEL)
