"""Per-sample scores of runs: numbers whose mean over the samples is a metric."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from mnist_pipeline.core.errors import PipelineError

Scores = NDArray[np.float64]


@dataclass(frozen=True)
class Score:
    """A score.

    Attributes:
        name: for the user.
        columns: of the predictions that it is made of.
        higher_is_better: whether more is better.
        percentage: whether differences are given in percentage points.
    """

    name: str
    columns: tuple[str, ...]
    higher_is_better: bool = True
    percentage: bool = False


SCORES = {
    "accuracy": Score("accuracy", ("actual", "predicted"), percentage=True),
    "balanced-accuracy": Score("balanced accuracy", ("actual", "predicted"), percentage=True),
    "macro-f1": Score("macro F1", ("actual", "predicted"), percentage=True),
    "log-loss": Score("log loss", ("log_loss",), higher_is_better=False),
    "brier": Score("Brier score", ("brier",), higher_is_better=False),
}


def column_score(column: str, *, lower_is_better: bool = False) -> Score:
    """Return the score that is the mean of a column of numbers."""
    return Score(column, (column,), higher_is_better=not lower_is_better)


def scores_of(score: Score, tables: Sequence[pd.DataFrame]) -> Scores:
    """Return the scores of several runs on the same samples, (runs, samples).

    Balanced accuracy is a mean in which each sample weighs the inverse of its class's frequency. Macro F1 is no mean
    over samples: its scores are pseudo-values of the infinitesimal jackknife (Jaeckel 1972), whose mean is macro F1.

    Raises:
        PipelineError: a number is missing, infinite or none.
    """
    if score.columns != ("actual", "predicted"):
        try:
            values = np.stack([table[score.columns[0]].to_numpy(np.float64) for table in tables])
        except ValueError as error:
            raise PipelineError(f"column {score.columns[0]} must hold numbers; {error}") from None
        if not np.isfinite(values).all():
            run, sample = np.argwhere(~np.isfinite(values))[0]
            raise PipelineError(
                f"column {score.columns[0]} must hold a finite number for every sample; row {sample} of run {run + 1} "
                "does not"
            )
        return values
    actual, predicted = _codes(tables)
    correct: Scores = (predicted == actual).astype(np.float64)  # (runs, samples)
    if score.name == "balanced accuracy":
        counts = np.bincount(actual)
        weights: Scores = len(actual) / (np.count_nonzero(counts) * counts[actual])  # (samples,)
        return correct * weights
    if score.name == "macro F1":
        return np.stack([_macro_f1_scores(actual, each) for each in predicted])
    return correct


def _codes(tables: Sequence[pd.DataFrame]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the classes as integers: actual, (samples,), and predicted, (runs, samples)."""
    classes = sorted(set(tables[0]["actual"]).union(*(table["predicted"] for table in tables)))
    numbers = {name: number for number, name in enumerate(classes)}
    actual = tables[0]["actual"].map(numbers).to_numpy(np.int64)
    return actual, np.stack([table["predicted"].map(numbers).to_numpy(np.int64) for table in tables])


def _macro_f1_scores(actual: NDArray[np.int64], predicted: NDArray[np.int64]) -> Scores:
    """Return F + n dF / d(weight of the sample) for each sample, where F is the mean F1 of the classes that occur."""
    classes = int(max(actual.max(), predicted.max())) + 1
    hit = actual == predicted  # (samples,)
    total = np.bincount(actual, minlength=classes) + np.bincount(predicted, minlength=classes)  # (classes,)
    f1 = 2 * np.bincount(actual[hit], minlength=classes) / np.maximum(total, 1)
    share = len(actual) / np.count_nonzero(total)
    by_class = f1 / np.maximum(total, 1)
    scores: Scores = share * (2 * hit / total[actual] - by_class[actual] - by_class[predicted])
    scores += f1.sum() / np.count_nonzero(total)
    return scores
