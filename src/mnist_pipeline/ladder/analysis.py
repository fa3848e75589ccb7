"""What each rung of the ladder is worth: its accuracy, and its difference from the rung that it builds on, tested."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean, stdev

import numpy as np

from mnist_pipeline.core.statistics import wilson_interval
from mnist_pipeline.experiments.overview import mean
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


@dataclass(frozen=True, kw_only=True)
class Look:
    """The comparison of two rungs that decides: of all seeds, or at the first declared look that finds a difference.

    Attributes:
        estimate: of the difference of the accuracies.
        share: of the level that is spent here.
        runs_before: runs of the rung below that were compared.
        runs_after: of this rung.
        decided: whether a declared look stopped early, at ``runs_after`` seeds.
    """

    estimate: Estimate
    share: float
    runs_before: int
    runs_after: int
    decided: bool = False


@dataclass(frozen=True, kw_only=True)
class Change(Look):
    """A rung against the rung that it builds on, tested in its family."""

    tested: Tested


@dataclass(frozen=True)
class RungResult:
    """One rung.

    Attributes:
        name: of the rung.
        rung: what experiments.yaml says about it.
        runs: of the same code, packages and data, in the order of their seeds.
        planned: how many runs experiments.yaml declares.
        change: against the rung it builds on; None: there is none, it has no runs of the same code and data, or the
            first look is not reached.
        other_code: whether its runs were made by other code, packages or data than those of most rungs.
        left_out: runs that were left out, since they were made by other code, packages or data than most of its runs.
    """

    name: str
    rung: Rung
    runs: list[RunResult]
    planned: int
    change: Change | None
    other_code: bool
    left_out: int

    @property
    def accuracy(self) -> float:
        """Accuracy on the test set, mean over seeds, 0-1."""
        return fmean(run.accuracy for run in self.runs)

    @property
    def std(self) -> float | None:
        """Standard deviation of the accuracy over seeds; None with one seed."""
        return stdev(run.accuracy for run in self.runs) if len(self.runs) > 1 else None

    @property
    def interval(self) -> tuple[float, float]:
        """Wilson's 95 % interval of the mean accuracy: what the size of the test set leaves open."""
        samples = self.runs[0].samples
        return wilson_interval(round(self.accuracy * samples), samples)

    @property
    def corrected_gains(self) -> list[float]:
        """Accuracy on the test set's corrected labels, less that on the labels as they are, of runs that know both."""
        return [run.corrected_accuracy - run.accuracy for run in self.runs if run.corrected_accuracy is not None]

    @property
    def validation_accuracy(self) -> float | None:
        """Mean accuracy on the validation set; None: there was none."""
        return mean([run.validation_accuracy for run in self.runs])

    @property
    def seconds(self) -> float | None:
        """Mean time of training; None: unknown."""
        return mean([run.seconds for run in self.runs])


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
            changes[name] = Change(tested=each, **vars(look))
    provenances = [found[0].provenance for found in by_rung.values()]
    usual = max(provenances, key=provenances.count, default=None)
    return [
        RungResult(
            name=name,
            rung=(rung := ladder.rungs[name]),
            runs=found,
            planned=rung.looks[-1] if rung.looks else ladder.seeds[name],
            change=changes.get(name),
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


def _compare(rung: Rung, before: list[RunResult], after: list[RunResult], family: int) -> Look:
    """Compare a rung with the rung below; a look stops early if it withstands correction for all of the family."""
    levels = spend(rung.looks) if rung.looks else []
    looks = [(seeds, level) for seeds, level in zip(rung.looks, levels, strict=True) if seeds <= len(after)]
    for seeds, level in looks:
        found = compare_runs(before[:seeds], after[:seeds], paired=rung.paired)
        if found.p <= level / family:
            runs_before = min(seeds, len(before))
            return Look(estimate=found, share=level / LEVEL, runs_before=runs_before, runs_after=seeds, decided=True)
    if looks:  # seeds beyond the last look that was reached wait for the next
        before, after = before[: looks[-1][0]], after[: looks[-1][0]]
    share = looks[-1][1] / LEVEL if looks else 1.0
    found = compare_runs(before, after, paired=rung.paired)
    return Look(estimate=found, share=share, runs_before=len(before), runs_after=len(after))


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
