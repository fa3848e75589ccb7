"""Synchronous successive halving: which trials go on is decided when all of them have ended, wherever they ran."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from mnist_pipeline.cluster.data import data_of
from mnist_pipeline.cluster.session import Session
from mnist_pipeline.core.errors import PipelineError
from mnist_pipeline.core.files import write_text
from mnist_pipeline.core.yaml import parse_yaml
from mnist_pipeline.experiments.runs import SEED
from mnist_pipeline.params.overrides import settings_of, with_overrides
from mnist_pipeline.provenance.finished import finished
from mnist_pipeline.provenance.git import read_file, resolve
from mnist_pipeline.provenance.paths import PARAMS, TEST_ARRAYS
from mnist_pipeline.sweeps.spec import Sweep, Value

DIVERGED = "training diverged"
"""What a trial prints whose settings are bad: it is the worst. Any other failure stops the sweep."""


@dataclass(frozen=True)
class Trial:
    """A point of the space with an amount of training.

    Attributes:
        name: of its experiment.
        number: of the point.
        amount: of training.
        settings: all that it changes.
    """

    name: str
    number: int
    amount: int
    settings: dict[str, Value]


def rounds(sweep: Sweep, scores: dict[str, float]) -> Iterator[list[Trial]]:
    """Yield the trials of each round. Their scores must be in ``scores``, by name, before the next is asked for."""
    points = sweep.points()
    numbers = list(range(len(points)))
    for amount in sweep.halving.values:
        trials = [
            Trial(f"{sweep.name}-{number:03d}-{amount}", number, amount, sweep.settings(points[number], amount))
            for number in numbers
        ]
        yield trials
        if any(trial.name not in scores for trial in trials):
            return
        best = sorted(trials, key=lambda trial: (-scores[trial.name], trial.number))
        numbers = sorted(trial.number for trial in best[: math.ceil(len(best) * sweep.halving.keep)])


def confirmation(sweep: Sweep, winner: Trial) -> dict[str, list[Trial]]:
    """Return the runs that compare the winner with params.yaml as it is, on seeds that no trial had."""
    sides: dict[str, tuple[str, dict[str, Value]]]
    sides = {"best": (f"-{winner.number:03d}-{winner.amount}", winner.settings), "default": ("", {})}
    return {
        side: [
            Trial(f"{sweep.name}-{side}{suffix}-{seed}", winner.number, winner.amount, settings | {SEED: seed})
            for seed in range(1, sweep.confirm + 1)
        ]
        for side, (suffix, settings) in sides.items()
    }


def winner_of(trials: Iterable[Trial], scores: dict[str, float]) -> Trial:
    """Return the trial with the highest score; of several the first."""
    return max(trials, key=lambda trial: (scores[trial.name], -trial.number))


def known_scores(repository: Path, sweep: Sweep, trials: Iterable[Trial]) -> dict[str, float]:
    """Return the scores of the trials that are done, by name: those whose experiments are here, and the diverged."""
    head = resolve(repository, "HEAD")
    base = parse_yaml(read_file(repository, head, PARAMS), PARAMS)
    wanted = {trial.name: with_overrides(base, trial.settings) for trial in trials}
    found = finished(repository, wanted, [sweep.target])
    scores = {name: score_of(repository, sweep, commit) for name, commit in found.items()}
    diverged = [name for name in wanted if _mark(repository, head, name).exists()]
    return dict.fromkeys(diverged, -math.inf) | scores


def _mark(repository: Path, commit: str, name: str) -> Path:
    """Return the file that says that a trial of a commit diverged: it leaves no experiment."""
    return repository / ".scratch" / "diverged" / f"{commit}-{name}"


def score_of(repository: Path, sweep: Sweep, commit: str) -> float:
    """Return the score of an experiment.

    Raises:
        PipelineError: it has no such metric.
    """
    value = json.loads(read_file(repository, commit, sweep.metrics)).get(sweep.metric)
    if not isinstance(value, (int, float)):
        raise PipelineError(f"{sweep.metrics} of {commit[:10]} must have the number {sweep.metric}, was {value!r}")
    return float(value)


def run_trials(session: Session, sweep: Sweep, trials: list[Trial]) -> dict[str, float]:
    """Run the trials that are not done; the score of each, by name. One that diverged has minus infinity.

    Raises:
        PipelineError: a trial failed in another way.
    """
    read = [path for path, _ in data_of(session.repository, session.commit, (sweep.target,))]
    if TEST_ARRAYS in read:
        raise PipelineError(f"target must be a stage that does not read the test set, was {sweep.target}")
    scores = known_scores(session.repository, sweep, trials)
    target, message = [sweep.target], f"{sweep.name}: trial"
    jobs = [session.job(trial.name, settings_of(trial.settings), target, message) for trial in trials]

    def describe(commit: str) -> str:
        return f"{sweep.metric} {score_of(session.repository, sweep, commit):.4f}"

    for state in session.run(jobs, tuple(scores), describe):
        result = state.result
        if result is not None and result.status != "failed":
            scores[state.job.name] = score_of(session.repository, sweep, result.commit or "")
        elif result is not None and DIVERGED in result.log:
            write_text(_mark(session.repository, session.commit, state.job.name), result.log)
            scores[state.job.name] = -math.inf
        else:
            raise PipelineError(f"{state.job.name} failed, and without it nothing can be chosen; run the sweep again")
    return scores
