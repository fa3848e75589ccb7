"""Metrics against plain loops and scikit-learn."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import f1_score, log_loss, precision_recall_fscore_support

from mnist_pipeline.core.statistics import wilson_interval
from mnist_pipeline.evaluation.metrics import compute_metrics, expected_calibration_error, reliability


def metrics_of(labels: Any, probabilities: Any) -> dict[str, Any]:
    correct = probabilities.argmax(axis=1) == labels
    calibration = reliability(probabilities.max(axis=1), correct, 15)
    return compute_metrics(labels, probabilities, ("a", "b", "c")[: probabilities.shape[1]], calibration)


def test_a_certain_mistake_has_a_finite_log_loss() -> None:
    result = metrics_of(np.array([0, 1]), np.array([[0.0, 1.0], [0.0, 1.0]]))
    assert 15 < result["log_loss"] < 20  # half of -log(2.2e-16)
    assert result["expected_calibration_error"] == 0.5


@settings(deadline=None, database=None)
@given(st.integers(2, 9), st.integers(1, 60), st.integers(0, 999))
def test_metrics_are_those_of_scikit_learn(classes: int, rows: int, seed: int) -> None:
    random = np.random.default_rng(seed)
    labels, names = random.integers(0, classes, rows), tuple("abcdefghi"[:classes])
    probabilities = random.dirichlet(np.full(classes, 0.3), rows)  # some are nearly certain, and wrong
    predicted, indices = probabilities.argmax(axis=1), np.arange(classes)
    found = compute_metrics(
        labels, probabilities, names, reliability(probabilities.max(axis=1), predicted == labels, 9)
    )
    errors = int((predicted != labels).sum())
    assert (found["errors"], found["accuracy"]) == (errors, (rows - errors) / rows)
    assert (found["accuracy_low"], found["accuracy_high"]) == wilson_interval(rows - errors, rows)
    assert isinstance(found["errors"], int)
    assert list(found["classes"]) == list(names)
    *by_class, _ = precision_recall_fscore_support(labels, predicted, labels=indices, zero_division=0)
    for name, *expected in zip(names, *by_class, strict=True):
        scores = dict(zip(("precision", "recall", "f1"), expected, strict=True))
        assert found["classes"][name] == pytest.approx(scores)
    assert found["log_loss"] == pytest.approx(log_loss(labels, probabilities, labels=indices))
    assert found["macro_f1"] == pytest.approx(f1_score(labels, predicted, average="macro", zero_division=0))


def confidences(bins: int) -> st.SearchStrategy[tuple[int, list[tuple[float, bool]]]]:
    """Any, and those on an edge of a bin, just below one, and beyond 1 by rounding."""
    edge = st.integers(0, bins).map(lambda number: number / bins)
    confidence = st.floats(0, 1) | edge | edge.map(lambda each: float(np.nextafter(each, 0))) | st.just(1 + 2**-52)
    return st.tuples(st.just(bins), st.lists(st.tuples(confidence, st.booleans()), min_size=1, max_size=30))


@settings(deadline=None)
@given(st.integers(2, 100).flatmap(confidences))
def test_every_prediction_is_in_its_bin(drawn: tuple[int, list[tuple[float, bool]]]) -> None:
    bins, rows = drawn
    confidence, correct = (np.array(column) for column in zip(*rows, strict=True))
    found, error = reliability(confidence, correct, bins), 0.0
    assert [each.low for each in found] == [number / bins for number in range(bins)]
    assert [each.high for each in found] == [(number + 1) / bins for number in range(bins)]
    for each in found:
        inside = [row for row in rows if each.low <= row[0] < each.high or (each.high == 1 <= row[0])]
        assert each.count == len(inside)
        assert (each.confidence is None) == (each.accuracy is None) == (not inside)
        if each.confidence is not None and each.accuracy is not None:
            assert each.confidence == pytest.approx(sum(sure for sure, _ in inside) / len(inside))
            assert each.accuracy == pytest.approx(sum(right for _, right in inside) / len(inside))
            error += len(inside) / len(rows) * abs(each.confidence - each.accuracy)
    assert expected_calibration_error(found) == pytest.approx(error, abs=1e-12)
