"""Compare two runs, or two groups of runs, on the same test samples."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from mnist_pipeline.core.errors import PipelineError
from mnist_pipeline.core.yaml import changed_values
from mnist_pipeline.experiments.runs import Group, check_comparable
from mnist_pipeline.experiments.scores import Score, scores_of
from mnist_pipeline.experiments.significance import (
    Estimate,
    Scores,
    Verdict,
    compare_scores,
    verdict_of,
    verdict_with_margin,
)


@dataclass(frozen=True)
class ClassChange:
    """One class: its samples, and the share of them that each side classifies correctly, the mean over its runs."""

    name: str
    samples: int
    correct_before: float
    correct_after: float


@dataclass(frozen=True)
class Comparison:
    """What changed from one group of runs to another.

    Attributes:
        before: the first group.
        after: the second.
        score: that is compared.
        means_before: mean score of each run of the first.
        means_after: of the second.
        estimate: of the difference, after minus before.
        margin: differences below it do not matter; None: every difference does.
        verdict: of the second group.
        fixed: for one run a side, indices of the samples that only the second classifies correctly.
        broken: likewise, only the first.
        classes: in the order of their names; none if the predictions have no classes.
        params: settings that differ: the name, the first group's value, the second's; None: it has no such setting.
        warnings: what the reader should know.
    """

    before: Group
    after: Group
    score: Score
    means_before: list[float]
    means_after: list[float]
    estimate: Estimate
    margin: float | None
    verdict: Verdict
    fixed: list[int]
    broken: list[int]
    classes: list[ClassChange]
    params: list[tuple[str, Any, Any]]
    warnings: list[str]

    @property
    def single(self) -> bool:
        """Whether both sides are one run."""
        return len(self.before.runs) == len(self.after.runs) == 1


def compare(
    before: Group, after: Group, score: Score, *, margin: float | None = None, paired: bool = False
) -> Comparison:
    """Compare two groups of runs.

    Args:
        before: the first group.
        after: the second.
        score: what to compare.
        margin: differences of the score below it do not matter.
        paired: whether runs with the same seed have the same weights, so that only the prediction differs.

    Raises:
        PipelineError: they are of different test sets, or cannot be paired.
    """
    warnings = check_comparable(before, after)
    if paired:
        before, after = _paired(before, after)
    tables = [run.predictions for run in (*before.runs, *after.runs)]
    scores = scores_of(score, tables)  # (runs, samples)
    first, second = scores[: len(before.runs)], scores[len(before.runs) :]
    estimate = compare_scores(first, second, paired=paired and len(first) > 1)
    oriented = estimate if score.higher_is_better else estimate.reversed()
    verdict = verdict_of(*oriented.interval()) if margin is None else verdict_with_margin(oriented, margin)
    changed = changed_values(before.settings, after.settings)
    classified = all(_classified(table) for table in tables)
    fixed, broken = _changed(before, after) if classified and len(scores) == 2 else ([], [])
    return Comparison(
        before=before,
        after=after,
        score=score,
        means_before=first.mean(axis=1).tolist(),
        means_after=second.mean(axis=1).tolist(),
        estimate=estimate,
        margin=margin,
        verdict=verdict,
        fixed=fixed,
        broken=broken,
        classes=_by_class(before, after) if classified else [],
        params=[(name, before.settings.get(name), value) for name, value in changed.items()],
        warnings=warnings,
    )


def _paired(before: Group, after: Group) -> tuple[Group, Group]:
    """Return the runs of both groups whose seeds both have, in the order of the seeds."""
    sides = [{run.params.get("train.seed"): run for run in group.runs} for group in (before, after)]
    common = sorted(seed for seed in sides[0].keys() & sides[1].keys() if seed is not None)
    if len(common) < 2:
        raise PipelineError(f"{before.name} and {after.name} have {len(common)} seeds in common; pairing needs two")
    first, second = (tuple(side[seed] for seed in common) for side in sides)
    return Group(before.name, first), Group(after.name, second)


def _classified(table: pd.DataFrame) -> bool:
    """Return whether predictions are of classes: text or integers, not the real numbers of a regression."""
    return all(name in table and table[name].dtype.kind != "f" for name in ("actual", "predicted"))


def _correct(group: Group) -> Scores:
    return np.stack([(run.predictions["actual"] == run.predictions["predicted"]).to_numpy(float) for run in group.runs])


def _changed(before: Group, after: Group) -> tuple[list[int], list[int]]:
    difference = _correct(after)[0] - _correct(before)[0]
    return np.flatnonzero(difference > 0).tolist(), np.flatnonzero(difference < 0).tolist()


def _by_class(before: Group, after: Group) -> list[ClassChange]:
    actual = before.runs[0].predictions["actual"].to_numpy()
    first, second = _correct(before).mean(axis=0), _correct(after).mean(axis=0)  # (samples,)
    return [
        ClassChange(str(name), int((actual == name).sum()), first[actual == name].mean(), second[actual == name].mean())
        for name in sorted(set(actual))
    ]
