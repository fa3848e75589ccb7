"""Which runs of a table are within noise of the best, by the tests of ``significance`` on validation predictions."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence
from pathlib import Path
from statistics import fmean, variance

import numpy as np

from mnist_pipeline.core.files import read_csv
from mnist_pipeline.experiments.overview import Entry, Row
from mnist_pipeline.experiments.significance import LEVEL, Estimate, Scores, compare_scores, holm
from mnist_pipeline.provenance.dvc import cached_file, checked

BEST, WITHIN_NOISE, WORSE = "best", "within noise", "worse"
OTHER_SAMPLES, TOO_FEW_SEEDS = "other samples", "too few seeds"
Answers = tuple[str, Scores]
"""A hash of the samples, and 1 for each that a run gets right."""


def mark(repository: Path, rows: Sequence[Row]) -> None:
    """Compare each row with the one of the best validation accuracy, and set its ``versus``.

    Where rows have several runs, the best is one of those: the accuracy of a single run depends on its seed.

    One run a side: exact McNemar test. Groups on the same samples: two-way test. Groups whose validation set depends
    on the seed: t-test of the differences between runs of the same seed, corrected for overlapping training sets
    (Nadeau and Bengio 2003). All are corrected for their number (Holm 1979).

    ``versus`` is BEST, WITHIN_NOISE or WORSE; OTHER_SAMPLES where two runs have different validation sets, and
    TOO_FEW_SEEDS where two groups have fewer than two validation sets in common; empty where predictions are not in
    DVC's cache.
    """
    scored = [row for row in rows if row.validation is not None]
    if not scored:
        return
    groups = [row for row in scored if len(row.entries) > 1]
    best = max(groups or scored, key=lambda row: row.validation or 0.0)
    best.versus = BEST
    answers = {entry.predictions: _answers(repository, entry) for row in scored for entry in row.entries}
    tested: list[tuple[Row, Estimate]] = []
    for row in scored:
        sides = [
            [(entry, found) for entry in each.entries if (found := answers[entry.predictions])] for each in (best, row)
        ]
        if row is best or not all(sides):
            continue
        if (estimate := _difference(*sides)) is None:
            row.versus = TOO_FEW_SEEDS if groups else OTHER_SAMPLES
        else:
            tested.append((row, estimate))
    for (row, estimate), p in zip(tested, holm([estimate.p for _, estimate in tested]), strict=True):
        row.versus = WORSE if p <= LEVEL and estimate.difference < 0 else WITHIN_NOISE


def compare_rows(repository: Path, before: Row, after: Row) -> Estimate | None:
    """Estimate the difference of the validation accuracy, after minus before; None: it cannot be tested."""
    sides = [
        [(entry, found) for entry in row.entries if (found := _answers(repository, entry))] for row in (before, after)
    ]
    return _difference(*sides) if all(sides) else None


def _answers(repository: Path, entry: Entry) -> Answers | None:
    path = cached_file(repository, entry.predictions)
    if not entry.predictions or not path.exists():
        return None
    table = read_csv(checked(path), {"actual": str, "predicted": str})
    samples = hashlib.sha256("\n".join(table["actual"]).encode()).hexdigest()
    return samples, (table["actual"] == table["predicted"]).to_numpy().astype(np.float64)


def _difference(best: list[tuple[Entry, Answers]], other: list[tuple[Entry, Answers]]) -> Estimate | None:
    """Compare two rows; None if they have too few samples in common."""
    if len({samples for _, (samples, _) in (*best, *other)}) == 1:
        first, second = (np.stack([correct for _, (_, correct) in side]) for side in (best, other))
        return compare_scores(first, second)
    means = [{samples: float(correct.mean()) for _, (samples, correct) in side} for side in (best, other)]
    differences = [means[1][samples] - mean for samples, mean in means[0].items() if samples in means[1]]
    if len(differences) < 2:
        return None
    entry, (_, correct) = best[0]
    overlap = entry.validation_rows / entry.train_rows if entry.train_rows else math.inf
    return Estimate(
        difference=fmean(differences),
        variance=variance(differences) * (1 / len(differences) + overlap),
        degrees=len(differences) - 1,
        between_samples=0.0,
        method="t-test over seeds, corrected for overlapping training sets",
        samples=len(correct),
    )
