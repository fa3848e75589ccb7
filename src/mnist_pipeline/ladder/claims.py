"""The tutorial's claims, part by part, tested on the runs of the ladder.

A part *holds* or is *refuted* if its p-value, corrected for all parts of all claims (Holm 1979), is at most 0.05;
otherwise it is *undecided*. Accuracies are compared by the two-way test; losses, which every run has on the same data,
by Welch's t-test over seeds; the stability of training, which is the spread of accuracy over seeds, by an F-test.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean, stdev, variance

import numpy as np

from mnist_pipeline.experiments.significance import LEVEL, compare_scores, holm
from mnist_pipeline.ladder.analysis import compare_runs, of_one_provenance, scores_of
from mnist_pipeline.ladder.results import RunResult

LIMIT = 0.97
"""What the tutorial takes for the limit of a network with one hidden layer."""

AVERAGED = 128
"""Samples of a batch whose losses are averaged, on the rung "mini-batches"."""

Runs = Mapping[str, Sequence[RunResult]]


@dataclass(frozen=True)
class Part:
    """A part of a claim.

    Attributes:
        text: what it says.
        holds: whether the difference has the sign that it says.
        p: two-sided, of no difference.
        numbers: that it is judged by.
    """

    text: str
    holds: bool
    p: float
    numbers: str


@dataclass(frozen=True)
class Claim:
    """A claim with the verdict of each part: holds, refuted or undecided."""

    text: str
    parts: list[tuple[Part, str]]


def claims(runs: Sequence[RunResult]) -> list[Claim]:
    """Test the claims whose rungs have at least two runs each, of the same code, packages and data, with losses."""
    rungs: dict[str, list[RunResult]] = {}
    for run in runs:
        rungs.setdefault(run.rung, []).append(run)
    usable = {name: of_one_provenance([run for run in found if _complete(run)]) for name, found in rungs.items()}
    known = {name: found for name, found in usable.items() if len(found) > 1}
    parts = {
        text: test(known)
        for text, needed, test in CLAIMS
        if set(needed) <= known.keys() and len({known[name][0].provenance for name in needed}) == 1
    }
    corrected = iter(holm([part.p for each in parts.values() for part in each]))
    return [Claim(text, [(part, _verdict(part, next(corrected))) for part in each]) for text, each in parts.items()]


def _complete(run: RunResult) -> bool:
    return run.early_loss is not None and run.swing is not None


def _verdict(part: Part, p: float) -> str:
    return "undecided" if p > LEVEL else "holds" if part.holds else "refuted"


def _accuracy(rungs: Runs, before: str, after: str, text: str, *, rises: bool = True) -> Part:
    found = compare_runs(rungs[before], rungs[after])
    return Part(text, (found.difference > 0) == rises, found.p, f"{100 * found.difference:+.2f} points")


def _losses(rungs: Runs, before: str, after: str, figure: str, text: str, *, rises: bool) -> Part:
    from scipy.stats import ttest_ind

    sides = [[getattr(run, figure) for run in rungs[name]] for name in (before, after)]
    varies = any(len(set(side)) > 1 for side in sides)  # else no test is possible
    p = float(ttest_ind(sides[1], sides[0], equal_var=False).pvalue) if varies else 1.0
    numbers = " → ".join(f"{fmean(side):.2f}" for side in sides)
    return Part(text, (fmean(sides[1]) > fmean(sides[0])) == rises, p, numbers)


def _stability(rungs: Runs, before: str, after: str, text: str) -> Part:
    from scipy.stats import f as fisher

    sides = [[run.accuracy for run in rungs[name]] for name in (before, after)]
    spread = [variance(side) for side in sides]
    ratio = spread[1] / spread[0] if all(spread) else 1.0  # without spread, no test is possible
    tail = fisher(len(sides[1]) - 1, len(sides[0]) - 1).cdf(ratio)
    p = float(2 * min(tail, 1 - tail)) if all(spread) else 1.0
    numbers = " → ".join(f"{100 * stdev(side):.2f}" for side in sides)
    return Part(text, ratio < 1, p, f"standard deviation over seeds {numbers} points")


def _loss(rungs: Runs) -> list[Part]:
    return [
        _accuracy(rungs, "start", "bce", "BCE beats MSE"),
        _losses(rungs, "start", "bce", "early_loss", "its loss falls more slowly in the first epoch", rises=True),
        _losses(rungs, "start", "bce", "swing", "single losses are more spread in the last epoch", rises=True),
    ]


def _activation(rungs: Runs) -> list[Part]:
    return [
        _accuracy(rungs, "start", "leaky-relu", "LeakyReLU beats the sigmoid"),
        _losses(rungs, "start", "leaky-relu", "swing", "the spread of single losses shrinks", rises=False),
    ]


def _optimizer(rungs: Runs) -> list[Part]:
    return [
        _accuracy(rungs, "leaky-relu", "adam", "Adam is worse with a LeakyReLU output", rises=False),
        _accuracy(rungs, "adam", "adam-sigmoid-mse", "Adam is better with a sigmoid output"),
    ]


def _normalisation(rungs: Runs) -> list[Part]:
    return [
        _accuracy(rungs, "leaky-relu", "layer-norm", "LayerNorm helps"),
        _stability(rungs, "leaky-relu", "layer-norm", "LayerNorm stabilises training"),
        _accuracy(rungs, "leaky-relu", "input-norm", "normalised inputs help"),
    ]


def _one_at_a_time(rungs: Runs) -> list[Part]:
    part = _losses(rungs, "shuffle", "mini-batches", "swing", "batches have less spread losses", rises=False)
    before, after = (fmean(run.swing or 0.0 for run in rungs[name]) for name in ("shuffle", "mini-batches"))
    averaging = (
        f"{before / after:.1f} times less; averaging {AVERAGED} independent losses alone gives {AVERAGED**0.5:.1f}"
    )
    return [Part(part.text, part.holds, part.p, f"{part.numbers}, {averaging}")]


def _limit(rungs: Runs) -> list[Part]:
    scores = scores_of(rungs["default"])
    above = compare_scores(np.full((2, scores.shape[1]), LIMIT), scores)
    accuracies = [run.accuracy for run in rungs["default"]]
    numbers = f"784-200-10 with `params.yaml` reaches {fmean(accuracies):.4f} ± {stdev(accuracies):.4f}"
    return [Part(f"{LIMIT} is the limit", above.difference <= 0, above.p, f"{numbers}, n = {len(accuracies)}")]


CLAIMS = [
    ("BCE beats MSE, but its loss falls more slowly and is noisier.", ("start", "bce"), _loss),
    ("LeakyReLU beats the sigmoid, and the swings shrink.", ("start", "leaky-relu"), _activation),
    (
        "Adam is slightly worse where the output is a LeakyReLU, and does better with a sigmoid.",
        ("leaky-relu", "adam", "adam-sigmoid-mse"),
        _optimizer,
    ),
    (
        "LayerNorm stabilises training, and normalising the inputs helps, too.",
        ("leaky-relu", "layer-norm", "input-norm"),
        _normalisation,
    ),
    (
        "The swings of the combined network come from visiting one sample at a time.",
        ("shuffle", "mini-batches"),
        _one_at_a_time,
    ),
    (f"{LIMIT} may be the limit of a fully connected network with one hidden layer.", ("default",), _limit),
]
