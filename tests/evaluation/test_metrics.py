"""Metrics against scikit-learn's own functions, closed formulas and plain loops."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import accuracy_score, f1_score, log_loss, precision_score, recall_score

from mnist_pipeline.core.statistics import wilson
from mnist_pipeline.evaluation.metrics import Bin, expected_calibration_error, metrics_of, reliability

NAMES = ("a", "b", "c", "d", "e", "f", "g", "h", "i", "j")


def predictions(rows: int, classes: int, seed: int) -> tuple[Any, Any]:
    """Labels, and probabilities that are right more often than not."""
    random = np.random.default_rng(seed)
    labels = random.integers(0, classes, rows)
    probabilities = random.dirichlet(np.full(classes, 0.5), rows) + 0.4 * np.eye(classes)[labels]
    return labels, probabilities / probabilities.sum(axis=1, keepdims=True)


def metrics(labels: Any, probabilities: Any) -> dict[str, Any]:
    correct = probabilities.argmax(axis=1) == labels
    calibration = reliability(probabilities.max(axis=1), correct, 15)
    return compute_metrics(labels, probabilities, NAMES[: probabilities.shape[1]], calibration)


def naive_calibration_error(confidence: Any, correct: Any, bins: int) -> float:
    """Naeini's definition as a loop over bins and predictions."""
    total = 0.0
    for number in range(bins):
        low, high = number / bins, (number + 1) / bins
        inside = [i for i, sure in enumerate(confidence) if low <= sure < high or (number == bins - 1 and sure == 1)]
        if inside:
            mean = sum(confidence[i] for i in inside) / len(inside)
            right = sum(bool(correct[i]) for i in inside) / len(inside)
            total += len(inside) / len(confidence) * abs(mean - right)
    return total


@pytest.mark.parametrize("classes", [2, 3, 10])
@pytest.mark.parametrize("rows", [1, 7, 300])
def test_metrics_are_those_of_scikit_learn(rows: int, classes: int) -> None:
    labels, probabilities = predictions(rows, classes, seed=rows + classes)
    predicted, indices = probabilities.argmax(axis=1), list(range(classes))
    result = metrics(labels, probabilities)
    options: dict[str, Any] = {"labels": indices, "zero_division": 0}
    assert result["accuracy"] == pytest.approx(accuracy_score(labels, predicted))
    assert result["errors"] == (predicted != labels).sum()
    assert isinstance(result["errors"], int)
    assert result["log_loss"] == pytest.approx(log_loss(labels, probabilities, labels=indices))
    assert result["log_loss"] == pytest.approx(-np.log(probabilities[np.arange(rows), labels]).mean())
    assert result["macro_f1"] == pytest.approx(f1_score(labels, predicted, average="macro", zero_division=0))
    assert list(result["classes"]) == list(NAMES[:classes])
    for name, score in (("precision", precision_score), ("recall", recall_score), ("f1", f1_score)):
        ours = [each[name] for each in result["classes"].values()]
        assert ours == pytest.approx(score(labels, predicted, average=None, **options))
    low, high = result["accuracy_low"], result["accuracy_high"]
    assert 0 <= low <= result["accuracy"] <= high <= 1
    assert (low, high) == wilson_interval(rows - result["errors"], rows)
    assert result["expected_calibration_error"] == pytest.approx(
        naive_calibration_error(probabilities.max(axis=1), predicted == labels, 15)
    )


def test_metrics_of_three_classes_by_hand() -> None:
    labels = np.array([0, 0, 1, 1, 1, 2])
    likeliest = np.array([0, 1, 1, 1, 0, 0])  # c is never predicted
    probabilities = np.full((6, 3), 0.1)
    probabilities[np.arange(6), likeliest] = 0.8
    result = metrics(labels, probabilities)
    assert result["accuracy"] == 0.5
    assert result["errors"] == 3
    assert result["classes"]["a"] == pytest.approx({"precision": 1 / 3, "recall": 1 / 2, "f1": 2 / 5})
    assert result["classes"]["b"] == pytest.approx({"precision": 2 / 3, "recall": 2 / 3, "f1": 2 / 3})
    assert result["classes"]["c"] == {"precision": 0.0, "recall": 0.0, "f1": 0.0}
    assert result["macro_f1"] == pytest.approx((2 / 5 + 2 / 3) / 3)
    assert result["log_loss"] == pytest.approx(-(3 * math.log(0.8) + 3 * math.log(0.1)) / 6)
    assert result["expected_calibration_error"] == pytest.approx(0.3)


def test_a_class_that_the_test_set_lacks() -> None:
    result = metrics(np.array([0, 1, 1]), np.array([[0.9, 0.1, 0.0], [0.0, 0.9, 0.1], [0.1, 0.2, 0.7]]))
    assert result["classes"]["c"] == {"precision": 0.0, "recall": 0.0, "f1": 0.0}
    assert result["classes"]["b"]["recall"] == 0.5


def test_a_class_neither_there_nor_predicted_has_no_part_in_the_mean() -> None:
    result = metrics(np.array([0, 1]), np.array([[0.9, 0.1, 0.0], [0.0, 0.9, 0.1]]))
    assert result["macro_f1"] == 1.0


def test_the_log_loss_of_a_class_that_the_test_set_lacks() -> None:
    result = metrics(np.array([0, 1, 1]), np.array([[0.9, 0.1, 0.0], [0.0, 0.9, 0.1], [0.1, 0.2, 0.7]]))
    assert result["log_loss"] == pytest.approx(-(2 * math.log(0.9) + math.log(0.2)) / 3)


def test_a_certain_mistake_has_a_finite_log_loss() -> None:
    result = metrics(np.array([0, 1]), np.array([[0.0, 1.0], [0.0, 1.0]]))
    assert 15 < result["log_loss"] < 20  # half of -log(2.2e-16)
    assert result["expected_calibration_error"] == 0.5


@pytest.mark.parametrize(
    ("correct", "number", "low", "high"),
    [(9700, 10_000, 0.9665, 0.9732), (9900, 10_000, 0.9879, 0.9918), (0, 10, 0.0, 0.2775), (10, 10, 0.7225, 1.0)],
)
def test_interval_of_known_accuracies(correct: int, number: int, low: float, high: float) -> None:
    assert wilson_interval(correct, number) == pytest.approx((low, high), abs=5e-5)


@settings(deadline=None)
@given(st.integers(1, 20_000).flatmap(lambda number: st.tuples(st.integers(0, number), st.just(number))))
def test_interval_is_wilsons(counts: tuple[int, int]) -> None:
    correct, number = counts
    z, share = 1.959963984540054, correct / number
    centre = (share + z**2 / (2 * number)) / (1 + z**2 / number)
    half = z * math.sqrt(share * (1 - share) / number + z**2 / (4 * number**2)) / (1 + z**2 / number)
    low, high = wilson_interval(correct, number)
    assert (low, high) == pytest.approx((centre - half, centre + half), abs=1e-9)
    assert 0 <= low <= share <= high <= 1


def test_bins_by_hand() -> None:
    confidence = np.array([0.25, 0.3, 0.5, 0.9, 1.0])
    correct = np.array([True, False, True, True, False])
    assert reliability(confidence, correct, 4) == [
        Bin(0.0, 0.25, 0, None, None),
        Bin(0.25, 0.5, 2, 0.275, 0.5),
        Bin(0.5, 0.75, 1, 0.5, 1.0),
        Bin(0.75, 1.0, 2, 0.95, 0.5),
    ]


@pytest.mark.parametrize("bins", [2, 3, 7, 10, 15, 20, 49, 100])
def test_a_confidence_on_an_edge_is_in_the_bin_above(bins: int) -> None:
    for number in range(bins):
        for confidence, place in ((number / bins, number), (np.nextafter((number + 1) / bins, 0), number)):
            found = reliability(np.array([confidence]), np.array([True]), bins)
            assert [each.count for each in found] == [int(i == place) for i in range(bins)], confidence


@pytest.mark.parametrize("confidence", [1.0, 1.0000000000000002], ids=["1", "1-rounded-up"])
def test_a_confidence_of_1_is_in_the_last_bin(confidence: float) -> None:
    assert [each.count for each in reliability(np.array([confidence]), np.array([True]), 15)] == [0] * 14 + [1]


@settings(deadline=None)
@given(
    st.lists(
        st.tuples(st.floats(0, 1) | st.integers(0, 100).map(lambda number: number / 100) | st.just(1.0), st.booleans()),
        min_size=1,
        max_size=30,
    ),
    st.integers(2, 100),
)
def test_every_prediction_is_in_its_bin_and_the_error_is_that_of_a_loop(
    rows: list[tuple[float, bool]], bins: int
) -> None:
    confidence, correct = (np.array(column) for column in zip(*rows, strict=True))
    found = reliability(confidence, correct, bins)
    assert len(found) == bins
    assert (found[0].low, found[-1].high) == (0.0, 1.0)
    assert [each.high for each in found[:-1]] == [each.low for each in found[1:]]
    assert sum(each.count for each in found) == len(rows)
    for each in found:
        if each.count:
            assert each.confidence is not None
            assert each.accuracy is not None
            assert each.low - 1e-12 <= each.confidence <= each.high + 1e-12
            assert 0 <= each.accuracy <= 1
        else:
            assert (each.confidence, each.accuracy) == (None, None)
    assert expected_calibration_error(found) == pytest.approx(
        naive_calibration_error(confidence, correct, bins), abs=1e-12
    )


def test_calibration_error_weighs_each_bin_by_its_predictions() -> None:
    bins = [Bin(0.0, 0.5, 1, 0.4, 0.0), Bin(0.5, 0.75, 0, None, None), Bin(0.75, 1.0, 3, 0.8, 1.0)]
    assert expected_calibration_error(bins) == pytest.approx((0.4 + 3 * 0.2) / 4)
