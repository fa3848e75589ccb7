"""What each rung of the ladder is worth: its accuracy, and its difference from the rung that it builds on, tested."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean, stdev

import numpy as np

from mnist_pipeline.core.statistics import wilson_interval
from mnist_pipeline.experiments.planning import spend
from mnist_pipeline.experiments.significance import (
    LEVEL,
    Estimate,
    Scores,
    Tested,
    compare_scores,
    correct_for_family,
)
from mnist_pipeline.ladder.results import RunResult
from mnist_pipeline.ladder.spec import Ladder, Rung


@dataclass(frozen=True)
class Change:
    """A rung against the rung that it builds on.

    Attributes:
        estimate: of the difference of the accuracies.
        tested: in the family of the rung.
        runs_before: runs of the rung below that were compared.
        runs_after: of this rung.
        decided: whether a declared look stopped early, at ``runs_after`` seeds.
    """

    estimate: Estimate
    tested: Tested
    runs_before: int
    runs_after: int
    decided: bool = False


@dataclass(frozen=True)
class RungResult:
    """One rung.

    Attributes:
        rung: its name.
        title: what it changes.
        builds_on: the rung that it is compared with.
        published: what the source gives.
        seeds: how many runs.
        unplanned: how many of them beyond those that experiments.yaml declares.
        accuracy: on the test set, mean over seeds, 0-1.
        std: standard deviation over seeds; None with one seed.
        low: lower bound of Wilson's 95 % interval of the mean: what the size of the test set leaves open.
        high: upper bound.
        corrected_gain: mean accuracy on the test set's corrected labels, less that on the labels as they are, of the
            runs that know both; None: none does.
        corrected_seeds: how many runs know it.
        validation_accuracy: mean; None: there was no validation set.
        seconds: of training, mean; None: unknown.
        change: against the rung it builds on; None: there is none, it has no runs of the same code and data, or the
            first look is not reached.
        other_code: whether its runs were made by other code, packages or data than those of most rungs.
        left_out: runs that were left out, since they were made by other code, packages or data than most of its runs.
    """

    rung: str
    title: str
    builds_on: str | None
    published: float | str | None
    seeds: int
    unplanned: int
    accuracy: float
    std: float | None
    low: float
    high: float
    corrected_gain: float | None
    corrected_seeds: int
    validation_accuracy: float | None
    seconds: float | None
    change: Change | None
    other_code: bool
    left_out: int


def analyse(ladder: Ladder, runs: Sequence[RunResult]) -> list[RungResult]:
    """Analyse all rungs that have runs, in the order of the ladder. Families of tests are corrected each on its own."""
    by_rung = {name: of_one_provenance([run for run in runs if run.rung == name]) for name in ladder.rungs}
    by_rung = {name: found for name, found in by_rung.items() if found}
    changes: dict[str, Change] = {}
    for family in dict.fromkeys(rung.family for rung in ladder.rungs.values()):
        members = {name: rung for name, rung in ladder.rungs.items() if rung.family == family and rung.builds_on}
        compared = {
            name: _compare(rung, by_rung[rung.builds_on], by_rung[name], len(members))
            for name, rung in members.items()
            if rung.builds_on in by_rung and len(by_rung.get(name, ())) >= min(rung.looks, default=1)
            if by_rung[rung.builds_on][0].provenance == by_rung[name][0].provenance
        }
        looks = list(compared.values())
        tested = correct_for_family([look.estimate for look in looks], [look.share for look in looks])
        for (name, look), each in zip(compared.items(), tested, strict=True):
            changes[name] = Change(look.estimate, each, look.runs_before, look.runs_after, look.decided)
    provenances = [found[0].provenance for found in by_rung.values()]
    usual = max(provenances, key=provenances.count, default=None)
    return [
        _rung_result(
            ladder,
            name,
            found,
            changes.get(name),
            other_code=found[0].provenance != usual,
            left_out=sum(run.rung == name for run in runs) - len(found),
        )
        for name, found in by_rung.items()
    ]


def of_one_provenance(runs: Sequence[RunResult]) -> list[RunResult]:
    """Return the runs of one code, packages and data, those of most runs: others are never mixed with them."""
    provenances = [run.provenance for run in runs]
    usual = max(provenances, key=provenances.count, default=None)
    return sorted((run for run in runs if run.provenance == usual), key=lambda run: run.seed)


@dataclass(frozen=True)
class _Look:
    """The comparison that decides: of all seeds, or at the first declared look that finds a difference."""

    estimate: Estimate
    share: float  # of the level that is spent here
    runs_before: int
    runs_after: int
    decided: bool = False


def _compare(rung: Rung, before: list[RunResult], after: list[RunResult], family: int) -> _Look:
    """Compare a rung with the rung below; a look stops early if it withstands correction for all of the family."""
    levels = spend(rung.looks) if rung.looks else []
    looks = [(seeds, level) for seeds, level in zip(rung.looks, levels, strict=True) if seeds <= len(after)]
    for seeds, level in looks:
        found = compare_runs(before[:seeds], after[:seeds], paired=rung.paired)
        if found.p <= level / family:
            return _Look(found, level / LEVEL, min(seeds, len(before)), seeds, decided=True)
    if looks:  # seeds beyond the last look that was reached wait for the next
        before, after = before[: looks[-1][0]], after[: looks[-1][0]]
    share = looks[-1][1] / LEVEL if looks else 1.0
    return _Look(compare_runs(before, after, paired=rung.paired), share, len(before), len(after))


def compare_runs(before: Sequence[RunResult], after: Sequence[RunResult], *, paired: bool = False) -> Estimate:
    """Compare the accuracies of two groups of runs; paired: of the seeds that both have, if any."""
    common = {run.seed for run in before} & {run.seed for run in after}
    if paired and common:
        before, after = ([run for run in side if run.seed in common] for side in (before, after))
    return compare_scores(scores_of(before), scores_of(after), paired=paired and len(common) > 1)


def scores_of(runs: Sequence[RunResult]) -> Scores:
    """Return whether each run classifies each test sample correctly, (runs, samples)."""
    scores = np.ones((len(runs), runs[0].samples))
    for row, run in zip(scores, runs, strict=True):
        row[list(run.wrong)] = 0
    return scores


def _rung_result(
    ladder: Ladder, name: str, runs: list[RunResult], change: Change | None, *, other_code: bool, left_out: int
) -> RungResult:
    rung = ladder.rungs[name]
    accuracies = [run.accuracy for run in runs]
    accuracy, samples = fmean(accuracies), runs[0].samples
    low, high = wilson_interval(round(accuracy * samples), samples)
    validation = [run.validation_accuracy for run in runs if run.validation_accuracy is not None]
    gains = [run.corrected_accuracy - run.accuracy for run in runs if run.corrected_accuracy is not None]
    seconds = [run.seconds for run in runs if run.seconds is not None]
    planned = rung.looks[-1] if rung.looks else ladder.seeds[name]
    return RungResult(
        rung=name,
        title=rung.title,
        builds_on=rung.builds_on,
        published=rung.published,
        seeds=len(runs),
        unplanned=max(0, len(runs) - planned),
        accuracy=accuracy,
        std=stdev(accuracies) if len(accuracies) > 1 else None,
        low=low,
        high=high,
        corrected_gain=fmean(gains) if gains else None,
        corrected_seeds=len(gains),
        validation_accuracy=fmean(validation) if validation else None,
        seconds=fmean(seconds) if seconds else None,
        change=change,
        other_code=other_code,
        left_out=left_out,
    )
