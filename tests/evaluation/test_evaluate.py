"""Scoring a classifier on a data set, and the files that say how it did."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from mnist_pipeline.core.errors import PipelineError
from mnist_pipeline.evaluation.evaluate import Evaluation, evaluate, write_evaluation
from mnist_pipeline.evaluation.metrics import Bin, expected_calibration_error, reliability
from mnist_pipeline.models.classifier import UNIT, new_classifier
from mnist_pipeline.models.prediction import predict
from mnist_pipeline.params.schema import Params
from tests.conftest import synthetic_dataset

MakeParams = Callable[..., Params]
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


def test_the_files_of_a_known_result_are_these_bytes(tmp_path: Path) -> None:
    by_class = {
        "a, b": {"precision": 1.0, "recall": 0.5, "f1": 2 / 3},
        "yes": {"precision": 0.5, "recall": 1, "f1": 2 / 3},
    }
    result = Evaluation(
        classes=("a, b", "yes"),
        labels=np.array([0, 1, 0]),
        probabilities=np.array([[0.75, 0.25], [1 / 3, 2 / 3], [0.25, 0.75]]),
        calibration=[Bin(0.0, 0.5, 0, None, None), Bin(0.5, 1.0, 3, 13 / 18, 2 / 3)],
        metrics={"accuracy": 2 / 3, "errors": 1, "classes": by_class},
    )
    paths = [tmp_path / "new" / name for name in ("metrics", "predictions", "classes", "calibration")]
    write_evaluation(result, *paths)
    metrics, predictions, classes, calibration = (path.read_text("utf-8") for path in paths)
    assert json.loads(metrics) == {"accuracy": 0.666667, "errors": 1}
    assert predictions == (
        "index,actual,predicted,confidence,log_loss,brier\n"
        '0,"a, b","a, b",0.75,0.287682,0.125\n1,yes,yes,0.666667,0.405465,0.222222\n2,"a, b",yes,0.75,1.386294,1.125\n'
    )
    assert classes == 'class,precision,recall,f1\n"a, b",1.0,0.5,0.666667\nyes,0.5,1,0.666667\n'
    assert calibration == "low,high,count,confidence,accuracy\n0.0,0.5,0,,\n0.5,1.0,3,0.722222,0.666667\n"
