"""What each rung of the ladder is worth: its accuracy, and its difference from the rung that it builds on, tested."""

from __future__ import annotations

from dataclasses import dataclass
from statistics import fmean, stdev

from mnist_pipeline.core.statistics import wilson_interval
from mnist_pipeline.experiments.results import RunResult
from mnist_pipeline.experiments.significance import (
    LEVEL,
    Difference,
    detectable_by_pairs,
    detectable_by_samples,
    holm,
    paired_t,
    sign_flip,
)
from mnist_pipeline.experiments.spec import Ladder


@dataclass(frozen=True)
class Change:
    """A rung against the rung that it builds on, over the seeds that both have.

    Attributes:
        seeds: how many.
        difference: of the accuracies, mean over seeds, with its 95 % interval and the paired t-test over seeds:
            would other seeds show it?
        p_samples: sign-flip test over the test samples, each with the number of seeds that get it right: would other
            test samples show it?
        p_seeds_corrected: Holm-corrected for the number of rungs compared; None with fewer than two seeds.
        p_samples_corrected: likewise.
        detectable: the smallest true difference that would have been found with a chance of 80 %; None with fewer
            than two seeds.
    """

    seeds: int
    difference: Difference
    p_samples: float
    p_seeds_corrected: float | None
    p_samples_corrected: float
    detectable: float | None

    @property
    def verdict(self) -> str:
        """better, worse or inconclusive: a difference counts if both tests find it after correction."""
        if self.p_seeds_corrected is None or max(self.p_seeds_corrected, self.p_samples_corrected) > LEVEL:
            return "inconclusive"
        return "better" if self.difference.mean > 0 else "worse"


@dataclass(frozen=True)
class RungResult:
    """One rung.

    Attributes:
        rung: its name.
        title: what it changes.
        builds_on: the rung that it is compared with.
        published: what the source gives.
        seeds: how many runs.
        accuracy: on the test set, mean over seeds, 0-1.
        std: standard deviation over seeds; None with one seed.
        low: lower bound of Wilson's 95 % interval of the mean: what the size of the test set leaves open.
        high: upper bound.
        validation_accuracy: mean; None: no rows were held out.
        seconds: of training, mean; None: not known.
        change: against the rung it builds on; None: it builds on none, or no seed is common.
    """

    rung: str
    title: str
    builds_on: str | None
    published: float | str | None
    seeds: int
    accuracy: float
    std: float | None
    low: float
    high: float
    validation_accuracy: float | None
    seconds: float | None
    change: Change | None


@dataclass(frozen=True)
class _Pair:
    """The raw material of a change: differences by seed, and by test sample summed over seeds."""

    by_seed: list[float]
    by_sample: list[int]


def analyse(ladder: Ladder, runs: list[RunResult]) -> list[RungResult]:
    """Analyse all rungs that have runs, in the order of the ladder."""
    by_rung: dict[str, dict[int, RunResult]] = {}
    for run in runs:
        by_rung.setdefault(run.rung, {})[run.seed] = run
    pairs = {
        name: pair
        for name, rung in ladder.rungs.items()
        if rung.builds_on is not None and (pair := _pair(by_rung.get(rung.builds_on, {}), by_rung.get(name, {})))
    }
    changes = dict(zip(pairs, changes_of(list(pairs.values())), strict=True))
    return [
        _rung_result(ladder, name, list(by_rung[name].values()), changes.get(name))
        for name in ladder.rungs
        if name in by_rung
    ]


def compare_runs(before: list[RunResult], after: list[RunResult]) -> Change | None:
    """Compare two groups of runs over the seeds that both have, as the only comparison; None: there is none."""
    pair = _pair({run.seed: run for run in before}, {run.seed: run for run in after})
    return changes_of([pair])[0] if pair is not None else None


def _pair(before: dict[int, RunResult], after: dict[int, RunResult]) -> _Pair | None:
    common = sorted(set(before) & set(after))
    if not common:
        return None
    by_sample = [0] * before[common[0]].samples
    for seed in common:
        for index in before[seed].wrong:
            by_sample[index] += 1
        for index in after[seed].wrong:
            by_sample[index] -= 1
    return _Pair([after[seed].accuracy - before[seed].accuracy for seed in common], by_sample)


def changes_of(pairs: list[_Pair]) -> list[Change]:
    """Test each pair, and correct for their number."""
    differences = [paired_t(pair.by_seed) for pair in pairs]
    p_samples = [sign_flip(pair.by_sample) for pair in pairs]
    p_seeds = [1.0 if each.p is None else each.p for each in differences]
    level = LEVEL / len(pairs) if pairs else LEVEL  # Holm's strictest: what the smallest p-value has to pass
    return [
        Change(
            seeds=len(pair.by_seed),
            difference=difference,
            p_samples=p,
            p_seeds_corrected=None if difference.p is None else corrected_seeds,
            p_samples_corrected=corrected_samples,
            detectable=None if difference.p is None else _detectable(pair, level),
        )
        for pair, difference, p, corrected_seeds, corrected_samples in zip(
            pairs, differences, p_samples, holm(p_seeds), holm(p_samples), strict=True
        )
    ]


def _detectable(pair: _Pair, level: float) -> float:
    by_samples = detectable_by_samples(pair.by_sample, level) / (len(pair.by_seed) * len(pair.by_sample))
    return max(detectable_by_pairs(pair.by_seed, level), by_samples)


def _rung_result(ladder: Ladder, name: str, runs: list[RunResult], change: Change | None) -> RungResult:
    rung = ladder.rungs[name]
    accuracies = [run.accuracy for run in runs]
    accuracy, samples = fmean(accuracies), runs[0].samples
    low, high = wilson_interval(round(accuracy * samples), samples)
    validation = [run.validation_accuracy for run in runs if run.validation_accuracy is not None]
    seconds = [run.seconds for run in runs if run.seconds is not None]
    return RungResult(
        rung=name,
        title=rung.title,
        builds_on=rung.builds_on,
        published=rung.published,
        seeds=len(runs),
        accuracy=accuracy,
        std=stdev(accuracies) if len(accuracies) > 1 else None,
        low=low,
        high=high,
        validation_accuracy=fmean(validation) if validation else None,
        seconds=fmean(seconds) if seconds else None,
        change=change,
    )
