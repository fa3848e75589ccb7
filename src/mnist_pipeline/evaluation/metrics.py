"""Metrics of predictions: accuracy with its interval, log loss, F1, calibration."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mnist_pipeline.core.statistics import wilson_interval
from mnist_pipeline.models.prediction import log_losses


@dataclass(frozen=True)
class Bin:
    """The predictions whose confidence lies in [low, high); the last bin includes 1.

    Attributes:
        confidence: the mean confidence in it; None if it is empty.
        accuracy: the fraction of it that is right; None if it is empty.
        accuracy_low: lower bound of its 95 % interval; None if it is empty.
        accuracy_high: upper bound.
    """

    low: float
    high: float
    count: int
    confidence: float | None
    accuracy: float | None
    accuracy_low: float | None
    accuracy_high: float | None


def reliability(confidence: NDArray[np.float64], correct: NDArray[np.bool_], bins: int) -> list[Bin]:
    """Compare confidence with accuracy in bins of equal width.

    Args:
        confidence: probability of the predicted class, (n,), 0-1.
        correct: whether each prediction is right, (n,).
        bins: how many.
    """
    edges = np.arange(bins + 1) / bins  # compared as they are reported: 0.29 * 100 is below 29
    place = np.minimum(np.searchsorted(edges, confidence, side="right") - 1, bins - 1)
    result = []
    for number in range(bins):
        inside = place == number
        count = int(inside.sum())
        interval = wilson_interval(int(correct[inside].sum()), count) if count else (None, None)
        result.append(
            Bin(
                low=number / bins,
                high=(number + 1) / bins,
                count=count,
                confidence=float(confidence[inside].mean()) if count else None,
                accuracy=float(correct[inside].mean()) if count else None,
                accuracy_low=interval[0],
                accuracy_high=interval[1],
            )
        )
    return result


def expected_calibration_error(bins: list[Bin]) -> float:
    """Return the mean distance of confidence and accuracy over all predictions (Naeini 2015, Guo 2017); 0 is best."""
    number = sum(each.count for each in bins)
    gaps = (
        each.count * abs(each.confidence - each.accuracy)
        for each in bins
        if each.confidence is not None and each.accuracy is not None
    )
    return sum(gaps) / number


def compute_metrics(
    labels: NDArray[np.int64], probabilities: NDArray[np.float64], classes: tuple[str, ...], calibration: list[Bin]
) -> dict[str, Any]:
    """Compute all metrics of one evaluation.

    Args:
        labels: indices into ``classes``, (n,).
        probabilities: (n, classes), each row with the sum 1.
        classes: the name of each class.
        calibration: the bins of ``reliability``.

    Returns:
        ``accuracy`` with its 95 % bounds ``accuracy_low`` and ``accuracy_high``, ``errors``, ``log_loss`` (nats),
        ``macro_f1``, ``expected_calibration_error``, and for each class ``precision``, ``recall``, ``f1``. A class
        that is never predicted has precision 0; one that is neither there nor predicted has no part in ``macro_f1``,
        as in scikit-learn.
    """
    predicted = probabilities.argmax(axis=1)
    right = predicted == labels
    correct = int(right.sum())
    low, high = wilson_interval(correct, len(labels))
    hits, given, actual = (np.bincount(each, minlength=len(classes)) for each in (labels[right], predicted, labels))
    precision, recall, f1 = (
        part * hits / np.maximum(of, 1) for part, of in ((1, given), (1, actual), (2, given + actual))
    )
    return {
        "accuracy": correct / len(labels),
        "accuracy_low": low,
        "accuracy_high": high,
        "errors": len(labels) - correct,
        "log_loss": float(log_losses(labels, probabilities).mean()),
        "macro_f1": float(f1[given + actual > 0].mean()),
        "expected_calibration_error": expected_calibration_error(calibration),
        "classes": {
            name: {"precision": float(precision[i]), "recall": float(recall[i]), "f1": float(f1[i])}
            for i, name in enumerate(classes)
        },
    }


def accuracy_with_interval(correct: NDArray[np.bool_]) -> dict[str, Any]:
    """Return ``rows``, ``accuracy`` and its 95 % bounds ``low`` and ``high``, by which predictions are right, (n,)."""
    right, rows = int(correct.sum()), len(correct)
    low, high = wilson_interval(right, rows)
    return {"rows": rows, "accuracy": right / rows, "low": low, "high": high}
