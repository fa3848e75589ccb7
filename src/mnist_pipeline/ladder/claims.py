"""The tutorial's claims, part by part, tested on the runs of the ladder.

A part *holds* or is *refuted* if its p-value, corrected for all parts of all claims (Holm 1979), is at most 0.05;
otherwise it is *undecided*. Accuracies are compared by the two-way test; losses, which every run has on the same data,
by Welch's t-test over seeds; the stability of training, which is the spread of accuracy over seeds, by an F-test.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from statistics import fmean, stdev, variance

import numpy as np

from mnist_pipeline.experiments.significance import LEVEL, compare_scores, holm
from mnist_pipeline.ladder.analysis import compare_runs, of_one_provenance, scores_of
from mnist_pipeline.ladder.results import RunResult

LIMIT = 0.97
"""What the tutorial takes for the limit of a network with one hidden layer."""

AVERAGED = 128
"""Samples of a batch whose losses are averaged, on the rung "mini-batches"."""

Finding = tuple[float, float, str]
"""A difference, its two-sided p-value, and the numbers that it is judged by."""


@dataclass(frozen=True)
class Part:
    """A part of a claim: a difference between two rungs, and the sign that it is said to have.

    Attributes:
        measure: takes the runs of both rungs.
        before, after: the rungs.
        text: what it says.
        rises: whether it says that the difference is positive.
    """

    measure: Callable[[list[RunResult], list[RunResult]], Finding]
    before: str
    after: str
    text: str
    rises: bool = True


@dataclass(frozen=True)
class TestedPart:
    """A part with its verdict, holds, refuted or undecided; p is not corrected."""

    text: str
    verdict: str
    p: float
    numbers: str


def claims(runs: Sequence[RunResult]) -> dict[str, list[TestedPart]]:
    """Test the claims whose rungs have at least two runs each, of the same code, packages and data, with losses.

    Returns:
        The parts of each claim, by its text.
    """
    rungs: dict[str, list[RunResult]] = {}
    for run in runs:
        if run.early_loss is not None and run.swing is not None:
            rungs.setdefault(run.rung, []).append(run)
    usable = {name: of_one_provenance(found) for name, found in rungs.items()}
    known = {name: found for name, found in usable.items() if len(found) > 1}

    def testable(parts: Sequence[Part]) -> bool:
        needed = {name for part in parts for name in (part.before, part.after)}
        return needed <= known.keys() and len({known[name][0].provenance for name in needed}) == 1

    found = {text: parts for text, parts in CLAIMS.items() if testable(parts)}
    measured = {part: part.measure(known[part.before], known[part.after]) for each in found.values() for part in each}
    corrected = dict(zip(measured, holm([p for _, p, _ in measured.values()]), strict=True))

    def tested(part: Part) -> TestedPart:
        difference, p, numbers = measured[part]
        verdict = "holds" if (difference > 0) == part.rises else "refuted"
        return TestedPart(part.text, verdict if corrected[part] <= LEVEL else "undecided", p, numbers)

    return {text: [tested(part) for part in parts] for text, parts in found.items()}


def accuracy(before: list[RunResult], after: list[RunResult]) -> Finding:
    """Compare accuracies."""
    found = compare_runs(before, after)
    return found.difference, found.p, f"{100 * found.difference:+.2f} points"


def losses(figure: str, before: list[RunResult], after: list[RunResult]) -> Finding:
    """Compare a figure of the losses: ``early_loss`` or ``swing``."""
    from scipy.stats import ttest_ind

    sides = [[getattr(run, figure) for run in side] for side in (before, after)]
    means = [fmean(side) for side in sides]
    varies = any(len(set(side)) > 1 for side in sides)  # else no test is possible
    p = float(ttest_ind(sides[1], sides[0], equal_var=False).pvalue) if varies else 1.0
    return means[1] - means[0], p, f"{means[0]:.2f} → {means[1]:.2f}"


early_loss, swing = partial(losses, "early_loss"), partial(losses, "swing")


def averaging(before: list[RunResult], after: list[RunResult]) -> Finding:
    """Compare as ``swing`` does, and say by how much averaging the losses of a batch would reduce it."""
    difference, p, numbers = swing(before, after)
    times = fmean(run.swing or 0.0 for run in before) / fmean(run.swing or 0.0 for run in after)
    alone = f"averaging {AVERAGED} independent losses alone gives {AVERAGED**0.5:.1f}"
    return difference, p, f"{numbers}, {times:.1f} times less; {alone}"


def spread(before: list[RunResult], after: list[RunResult]) -> Finding:
    """Compare the variances of the accuracy over seeds."""
    from scipy.stats import f as fisher

    sides = [[run.accuracy for run in side] for side in (before, after)]
    variances = [variance(side) for side in sides]
    ratio = variances[1] / variances[0] if all(variances) else 1.0  # without spread, no test is possible
    tail = fisher(len(after) - 1, len(before) - 1).cdf(ratio)
    p = float(2 * min(tail, 1 - tail)) if all(variances) else 1.0
    numbers = " → ".join(f"{100 * stdev(side):.2f}" for side in sides)
    return ratio - 1, p, f"standard deviation over seeds {numbers} points"


def above_limit(_: list[RunResult], runs: list[RunResult]) -> Finding:
    """Compare the accuracy with the limit."""
    scores = scores_of(runs)
    found = compare_scores(np.full((2, scores.shape[1]), LIMIT), scores)
    accuracies = [run.accuracy for run in runs]
    numbers = f"784-200-10 with `params.yaml` reaches {fmean(accuracies):.4f} ± {stdev(accuracies):.4f}"
    return found.difference, found.p, f"{numbers}, n = {len(accuracies)}"


CLAIMS = {
    "BCE beats MSE, but its loss falls more slowly and is noisier.": [
        Part(accuracy, "start", "bce", "BCE beats MSE"),
        Part(early_loss, "start", "bce", "its loss falls more slowly in the first epoch"),
        Part(swing, "start", "bce", "single losses are more spread in the last epoch"),
    ],
    "LeakyReLU beats the sigmoid, and the swings shrink.": [
        Part(accuracy, "start", "leaky-relu", "LeakyReLU beats the sigmoid"),
        Part(swing, "start", "leaky-relu", "the spread of single losses shrinks", rises=False),
    ],
    "Adam is slightly worse where the output is a LeakyReLU, and does better with a sigmoid.": [
        Part(accuracy, "leaky-relu", "adam", "Adam is worse with a LeakyReLU output", rises=False),
        Part(accuracy, "adam", "adam-sigmoid-mse", "Adam is better with a sigmoid output"),
    ],
    "LayerNorm stabilises training, and normalising the inputs helps, too.": [
        Part(accuracy, "leaky-relu", "layer-norm", "LayerNorm helps"),
        Part(spread, "leaky-relu", "layer-norm", "LayerNorm stabilises training", rises=False),
        Part(accuracy, "leaky-relu", "input-norm", "normalised inputs help"),
    ],
    "The swings of the combined network come from visiting one sample at a time.": [
        Part(averaging, "shuffle", "mini-batches", "batches have less spread losses", rises=False),
    ],
    f"{LIMIT} may be the limit of a fully connected network with one hidden layer.": [
        Part(above_limit, "default", "default", f"{LIMIT} is the limit", rises=False),
    ],
}
