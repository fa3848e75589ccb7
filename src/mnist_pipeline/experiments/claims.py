"""The tutorial's claims, each tested on the runs of the ladder."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from statistics import fmean, stdev

from mnist_pipeline.experiments.analysis import Change, compare_runs
from mnist_pipeline.experiments.results import RunResult
from mnist_pipeline.experiments.significance import LEVEL, Difference, paired_t

LIMIT = 0.97
"""What the tutorial takes for the limit of a network with one hidden layer."""

Runs = Mapping[str, list[RunResult]]


@dataclass(frozen=True)
class Claim:
    """A claim, whether it holds, and by which numbers."""

    text: str
    verdict: str
    numbers: str


def claims(runs: list[RunResult]) -> list[Claim]:
    """The six claims, each tested for itself; one whose rungs do not have two seeds in common is left out."""
    rungs: dict[str, list[RunResult]] = {}
    for run in runs:
        if run.early_loss is not None and run.swing is not None:
            rungs.setdefault(run.rung, []).append(run)
    return [test(rungs) for needed, test in CLAIMS if _common_seeds(rungs, needed) > 1]


def _common_seeds(rungs: Runs, names: tuple[str, ...]) -> int:
    return len(set.intersection(*({run.seed for run in rungs.get(name, [])} for name in names)))


def _loss(rungs: Runs) -> Claim:
    better = _accuracy(rungs, "start", "bce")
    early = _course(rungs, "start", "bce", "early_loss")
    swing = _course(rungs, "start", "bce", "swing")
    return Claim(
        "BCE beats MSE, but its loss falls more slowly and is noisier.",
        _all(_improved(better), _told(early), _told(swing)),
        f"{_points(better)}; losses, over that of a uniform prediction: mean of the first epoch "
        f"{_from_to(rungs, 'start', 'bce', 'early_loss')}, "
        f"standard deviation in the last (swing) {_from_to(rungs, 'start', 'bce', 'swing')}",
    )


def _activation(rungs: Runs) -> Claim:
    better = _accuracy(rungs, "start", "leaky-relu")
    swing = _course(rungs, "start", "leaky-relu", "swing")
    return Claim(
        "LeakyReLU beats the sigmoid, and the swings shrink.",
        _all(_improved(better), _reversed(_told(swing))),
        f"{_points(better)}; swing {_from_to(rungs, 'start', 'leaky-relu', 'swing')}",
    )


def _optimizer(rungs: Runs) -> Claim:
    worse = _accuracy(rungs, "leaky-relu", "adam")
    advice = _accuracy(rungs, "adam", "adam-sigmoid-mse")
    return Claim(
        "Adam is slightly worse where the output is a LeakyReLU, and does better with a sigmoid.",
        _all(_reversed(_improved(worse)), _improved(advice)),
        f"Adam {_points(worse)}; then the sigmoid {_points(advice)}",
    )


def _normalisation(rungs: Runs) -> Claim:
    layer = _accuracy(rungs, "leaky-relu", "layer-norm")
    swing = _course(rungs, "leaky-relu", "layer-norm", "swing")
    inputs = _accuracy(rungs, "leaky-relu", "input-norm")
    return Claim(
        "LayerNorm stabilises training, and normalising the inputs helps, too.",
        f"LayerNorm: {_all(_reversed(_told(swing)), _improved(layer))}; inputs: {_improved(inputs)}",
        f"LayerNorm {_points(layer)}, swing {_from_to(rungs, 'leaky-relu', 'layer-norm', 'swing')}; "
        f"normalised inputs {_points(inputs)}",
    )


def _one_at_a_time(rungs: Runs) -> Claim:
    swing = _course(rungs, "shuffle", "mini-batches", "swing")
    before, after = (_mean(rungs, name, "swing") for name in ("shuffle", "mini-batches"))
    return Claim(
        "The swings of the combined network come from visiting one sample at a time.",
        _reversed(_told(swing)),
        f"with batches of 128 the swing is {before / after:.1f} times as small "
        f"({_from_to(rungs, 'shuffle', 'mini-batches', 'swing')}); taking the mean of 128 "
        f"independent losses would alone make it {128**0.5:.1f} times as small",
    )


def _limit(rungs: Runs) -> Claim:
    accuracies = [run.accuracy for run in rungs["default"]]
    above = paired_t([accuracy - LIMIT for accuracy in accuracies])
    return Claim(
        f"{LIMIT} may be the limit of a fully connected network with one hidden layer.",
        _reversed(_told(above)),
        f"the same 784-200-10 with the settings of `params.yaml` reaches {fmean(accuracies):.4f} ± "
        f"{stdev(accuracies):.4f} (n = {len(accuracies)})",
    )


CLAIMS: list[tuple[tuple[str, ...], Callable[[Runs], Claim]]] = [
    (("start", "bce"), _loss),
    (("start", "leaky-relu"), _activation),
    (("leaky-relu", "adam", "adam-sigmoid-mse"), _optimizer),
    (("leaky-relu", "layer-norm", "input-norm"), _normalisation),
    (("shuffle", "mini-batches"), _one_at_a_time),
    (("default",), _limit),
]


def _accuracy(rungs: Runs, before: str, after: str) -> Change:
    change = compare_runs(rungs[before], rungs[after])
    assert change is not None, "they have seeds in common"
    return change


def _course(rungs: Runs, before: str, after: str, figure: str) -> Difference:
    """The difference of a figure of the course of training, paired by seed."""
    known = {run.seed: getattr(run, figure) for run in rungs[before]}
    return paired_t([getattr(run, figure) - known[run.seed] for run in rungs[after] if run.seed in known])


def _told(difference: Difference) -> str:
    """Whether a claim of a positive difference holds."""
    if difference.p is None or difference.p > LEVEL:
        return "inconclusive"
    return "holds" if difference.mean > 0 else "fails"


def _improved(change: Change) -> str:
    """Whether a claim that the accuracy rises holds: by both tests, over seeds and over test samples."""
    return {"better": "holds", "worse": "fails"}.get(change.verdict, "inconclusive")


def _reversed(told: str) -> str:
    return {"holds": "fails", "fails": "holds"}.get(told, told)


def _all(*parts: str) -> str:
    """Whether all parts of a claim hold."""
    if len(set(parts)) == 1:
        return parts[0]
    return "holds in part" if "holds" in parts else "fails" if "fails" in parts else "inconclusive"


def _points(change: Change) -> str:
    difference = change.difference
    p = "" if difference.p is None else f", p = {difference.p:.2g}"
    return f"{100 * difference.mean:+.2f} points{p}"


def _from_to(rungs: Runs, before: str, after: str, figure: str) -> str:
    return " → ".join(f"{_mean(rungs, name, figure):.2f}" for name in (before, after))


def _mean(rungs: Runs, name: str, figure: str) -> float:
    return fmean(getattr(run, figure) for run in rungs[name])
