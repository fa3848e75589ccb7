"""Scoring a classifier on a data set, and the files that say how it did."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from mnist_pipeline.core.errors import PipelineError
from mnist_pipeline.core.statistics import wilson_interval
from mnist_pipeline.data.corrections import Correction
from mnist_pipeline.data.dataset import Dataset
from mnist_pipeline.evaluation.evaluate import Evaluation, evaluate, write_evaluation
from mnist_pipeline.evaluation.metrics import Bin, expected_calibration_error, reliability
from mnist_pipeline.models.classifier import UNIT, new_classifier
from mnist_pipeline.models.prediction import predict
from tests.conftest import synthetic_dataset
from tests.training.runs import MakeParams

CLASSES = ("zero", "a, b", 'with "quotes"', "été")


LOSSES: dict[str, dict[str, Any]] = {
    "cross_entropy": {},
    "bce": {"model.loss": "bce", "model.output_activation": "sigmoid"},
    "mse": {"model.loss": "mse", "model.output_activation": "leaky_relu", "model.test_time_shift": 1},
}


@pytest.mark.parametrize("shift", [0.0, -50.0], ids=["as it is", "all outputs negative"])
@pytest.mark.parametrize("changes", LOSSES.values(), ids=LOSSES)
def test_every_row_is_scored_and_its_prediction_has_the_largest_output(
    make_params: MakeParams, changes: dict[str, Any], shift: float
) -> None:
    classifier = new_classifier(8, CLASSES, UNIT, make_params({"model.mlp.hidden_units": []} | changes).model, 1)
    with torch.no_grad():
        classifier.get_parameter("network.0.weight").mul_(20)
        classifier.get_parameter("network.0.bias").add_(shift)
    dataset = synthetic_dataset(101, classes=CLASSES)
    answers = predict(classifier, torch.from_numpy(dataset.images)).argmax(dim=1).numpy()
    assert len(set(answers.tolist())) > 1
    result = evaluate(classifier, dataset, calibration_bins=6)
    assert result.classes == CLASSES
    assert np.array_equal(result.labels, dataset.labels)
    assert (str(result.labels.dtype), str(result.probabilities.dtype)) == ("int64", "float64")
    assert result.probabilities.shape == (101, 4)
    np.testing.assert_allclose(result.probabilities.sum(axis=1), 1, rtol=0, atol=1e-12)
    assert np.array_equal(result.probabilities.argmax(axis=1), answers)
    assert result.metrics["accuracy"] == (answers == dataset.labels).mean()
    assert result.calibration == reliability(result.probabilities.max(axis=1), answers == dataset.labels, 6)
    assert result.metrics["expected_calibration_error"] == expected_calibration_error(result.calibration)


@pytest.mark.parametrize(
    ("side", "classes", "given"),
    [
        (9, CLASSES, 'side 9 and classes zero, a, b, with "quotes", été'),
        (8, CLASSES[::-1], 'side 8 and classes été, with "quotes", a, b, zero'),
    ],
    ids=["another side", "another order of the classes"],
)
def test_other_images_or_classes_are_refused(
    make_params: MakeParams, side: int, classes: tuple[str, ...], given: str
) -> None:
    classifier = new_classifier(8, CLASSES, UNIT, make_params().model, 0)
    with pytest.raises(PipelineError) as raised:
        evaluate(classifier, synthetic_dataset(12, side=side, classes=classes), 15)
    trained_on = 'the model was trained on images of side 8 in classes zero, a, b, with "quotes", été'
    assert str(raised.value) == f"{trained_on}; the test set has {given}"


def test_corrected_labels_and_images_that_are_not_in_training_are_scored_apart(make_params: MakeParams) -> None:
    classifier = new_classifier(8, CLASSES, UNIT, make_params({"model.mlp.hidden_units": []}).model, 1)
    images = synthetic_dataset(40, classes=CLASSES).images
    answers = predict(classifier, torch.from_numpy(images)).argmax(dim=1).numpy()
    labels = answers.astype(np.uint8)
    labels[:10] = (labels[:10] + 1) % 4  # ten wrong answers
    rows = np.arange(40, dtype=np.int32) + 100
    overlap = np.where(np.arange(40) % 4 == 0, 7, 0).astype(np.int32)  # of the wrong ones, three
    dataset = Dataset(images, labels, CLASSES, rows, overlap=overlap)
    corrections = {
        100: Correction("", int(labels[0]), int(answers[0])),  # was a wrong label
        101: Correction("", int(labels[1]), None),
        120: Correction("", int(labels[20]), None),
        130: Correction("", int(labels[30]), (int(answers[30]) + 1) % 4),  # was right by chance
    }
    metrics = evaluate(classifier, dataset, 5, corrections).metrics
    assert metrics["errors"] == 10
    low, high = wilson_interval(29, 38)
    assert metrics["corrected"] == {"rows": 38, "accuracy": 29 / 38, "low": low, "high": high}
    low, high = wilson_interval(23, 30)
    assert metrics["without_overlap"] == {"rows": 30, "accuracy": 23 / 30, "low": low, "high": high}

    plain = evaluate(classifier, Dataset(images, labels, CLASSES), 5).metrics
    assert plain == {name: value for name, value in metrics.items() if name not in ("corrected", "without_overlap")}
    whole = evaluate(classifier, Dataset(images, labels, CLASSES, overlap=rows), 5).metrics
    assert whole == plain  # no image is left
    with pytest.raises(PipelineError, match="given must be the label of that row"):
        evaluate(classifier, dataset, 5, {135: Correction("mine.csv, line 2", (int(labels[35]) + 1) % 4, None)})


def test_the_files_of_a_known_result_are_these_bytes(tmp_path: Path) -> None:
    by_class = {
        "a, b": {"precision": 1.0, "recall": 0.5, "f1": 2 / 3},
        "yes": {"precision": 0.5, "recall": 1, "f1": 2 / 3},
    }
    result = Evaluation(
        classes=("a, b", "yes"),
        labels=np.array([0, 1, 0]),
        probabilities=np.array([[0.75, 0.25], [1 / 3, 2 / 3], [0.25, 0.75]]),
        totals=np.ones(3),
        calibration=[
            Bin(0.0, 0.5, 0, None, None, None, None),
            Bin(0.5, 1.0, 3, 13 / 18, 2 / 3, 0.2, 0.9),
        ],
        metrics={"accuracy": 2 / 3, "log_loss": 0.25, "errors": 1, "classes": by_class},
    )
    paths = [tmp_path / "new" / name for name in ("metrics", "details", "predictions", "classes", "calibration")]
    write_evaluation(result, *paths)
    metrics, details, predictions, classes, calibration = (path.read_text("utf-8") for path in paths)
    assert json.loads(details) == {"accuracy": 0.666667, "log_loss": 0.25, "errors": 1}
    assert json.loads(metrics) == {"test_accuracy": 0.666667, "test_log_loss": 0.25}
    assert predictions == (
        "index,actual,predicted,confidence,log_loss,brier\n"
        '0,"a, b","a, b",0.75,0.287682,0.125\n1,yes,yes,0.666667,0.405465,0.222222\n2,"a, b",yes,0.75,1.386294,1.125\n'
    )
    assert classes == 'class,precision,recall,f1\n"a, b",1.0,0.5,0.666667\nyes,0.5,1,0.666667\n'
    assert calibration == (
        "low,high,count,confidence,accuracy,accuracy_low,accuracy_high\n"
        "0.0,0.5,0,,,,\n0.5,1.0,3,0.722222,0.666667,0.2,0.9\n"
    )
