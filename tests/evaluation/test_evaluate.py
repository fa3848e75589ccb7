"""Scoring a classifier on a split, and the files that tell how it did."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from mnist_pipeline.models.classifier import UNIT, Classifier, load_classifier, new_classifier, save_classifier
from mnist_pipeline.evaluation.evaluate import Evaluation, PipelineError, evaluate, write_evaluation
from mnist_pipeline.params.schema import Params
from mnist_pipeline.evaluation.metrics import Bin, expected_calibration_error
from mnist_pipeline.data.dataset import Split
from mnist_pipeline.training.loop import fit, samples_of
from tests.conftest import synthetic_dataset

MakeParams = Callable[..., Params]
CLASSES = ("zero", "a, b", 'with "quotes"', "été")


def trained(params: Params, rows: int = 300) -> Classifier:
    split = synthetic_dataset(rows, classes=CLASSES)
    classifier = new_classifier(8, CLASSES, UNIT, params.model, 0)
    train, validation = to_samples(split, np.arange(rows)), to_samples(split, np.arange(0))
    fit(classifier, train, validation, params.train, params.optimizers)
    return classifier


SMALL = {"model.mlp.hidden_units": [12], "train.epochs": 4, "train.batch_size": 32}
LOSSES: list[dict[str, Any]] = [
    {},
    {"model.loss": "bce", "model.output_activation": "sigmoid"},
    {"model.loss": "mse", "model.output_activation": "leaky_relu"},
]
IDS = ["cross_entropy", "bce", "mse"]


@pytest.mark.parametrize("changes", LOSSES, ids=IDS)
def test_a_trained_classifier_from_its_file_scores_high(
    make_params: MakeParams, tmp_path: Path, changes: dict[str, Any]
) -> None:
    save_classifier(tmp_path / "model", trained(make_params(SMALL | changes)))
    split = synthetic_dataset(101, classes=CLASSES, seed=5)
    result = evaluate(load_classifier(tmp_path / "model"), split, calibration_bins=6)
    assert result.classes == CLASSES
    assert np.array_equal(result.labels, split.labels)
    assert result.labels.dtype == np.int64
    assert result.probabilities.shape == (101, 4)
    assert result.probabilities.dtype == np.float64
    np.testing.assert_allclose(result.probabilities.sum(axis=1), 1, rtol=0, atol=1e-12)
    correct = int((result.probabilities.argmax(axis=1) == split.labels).sum())
    assert result.metrics["accuracy"] == correct / 101 > 0.95
    assert result.metrics["errors"] == 101 - correct
    assert len(result.calibration) == 6
    assert sum(each.count for each in result.calibration) == 101
    assert result.metrics["expected_calibration_error"] == expected_calibration_error(result.calibration)


@pytest.mark.parametrize("shift", [0.0, -50.0], ids=["as-it-is", "all-negative"])
@pytest.mark.parametrize("changes", LOSSES, ids=IDS)
def test_the_answer_is_the_largest_output(make_params: MakeParams, changes: dict[str, Any], shift: float) -> None:
    """Also where no output is positive."""
    classifier = trained(make_params(SMALL | changes))
    weights = classifier.state_dict()
    weights["network.3.bias"] += shift
    classifier.load_state_dict(weights)
    split = synthetic_dataset(60, classes=CLASSES)
    with torch.no_grad():
        outputs = classifier(torch.from_numpy(split.images))
    answers = outputs.argmax(dim=1).numpy()
    assert set(answers.tolist()) == {0, 1, 2, 3}
    result = evaluate(classifier, split, 15)
    assert np.array_equal(result.probabilities.argmax(axis=1), answers)
    assert result.metrics["accuracy"] == (answers == split.labels).mean()


def test_more_rows_than_are_scored_at_once(make_params: MakeParams) -> None:
    classifier = trained(make_params(SMALL))
    split = synthetic_dataset(2300, classes=CLASSES)
    whole = evaluate(classifier, split, 15)
    part = evaluate(classifier, Split(split.images[900:1100], split.labels[900:1100], CLASSES), 15)
    np.testing.assert_allclose(whole.probabilities[900:1100], part.probabilities, rtol=0, atol=1e-5)
    assert len(whole.labels) == 2300


@pytest.mark.parametrize(
    ("side", "classes", "message"),
    [
        (
            9,
            CLASSES,
            'the model was trained on images of side 8 in classes zero, a, b, with "quotes", été; '
            'the test set has side 9 and classes zero, a, b, with "quotes", été',
        ),
        (
            8,
            ("x", "y"),
            'the model was trained on images of side 8 in classes zero, a, b, with "quotes", été; '
            "the test set has side 8 and classes x, y",
        ),
        (8, CLASSES[::-1], "side 8 and classes été"),
    ],
    ids=["side", "classes", "order-of-classes"],
)
def test_other_images_or_classes_are_refused(
    make_params: MakeParams, side: int, classes: tuple[str, ...], message: str
) -> None:
    classifier = new_classifier(8, CLASSES, UNIT, make_params(SMALL).model, 0)
    with pytest.raises(PipelineError) as raised:
        evaluate(classifier, synthetic_dataset(12, side=side, classes=classes), 15)
    assert message in str(raised.value)


class Written:
    """The four files of an evaluation."""

    def __init__(self, folder: Path, result: Evaluation) -> None:
        self.paths = [folder / "new" / f"{name}" for name in ("metrics", "predictions", "classes", "calibration")]
        write_evaluation(result, *self.paths)

    def rows(self, number: int) -> list[list[str]]:
        with self.paths[number].open(encoding="utf-8", newline="") as file:
            return list(csv.reader(file))


def test_files_tell_what_was_found(make_params: MakeParams, tmp_path: Path) -> None:
    split = synthetic_dataset(60, classes=CLASSES, seed=2)
    result = evaluate(trained(make_params(SMALL | {"train.epochs": 1}), rows=100), split, 10)
    assert 0 < result.metrics["errors"] < 60  # so that the predictions show which column is which
    written = Written(tmp_path, result)

    header, *rows = written.rows(1)
    assert header == ["index", "actual", "predicted", "confidence"]
    assert [row[0] for row in rows] == [str(index) for index in range(60)]
    assert [row[1] for row in rows] == [CLASSES[label] for label in split.labels]
    assert [row[2] for row in rows] == [CLASSES[best] for best in result.probabilities.argmax(axis=1)]
    confidence = [float(row[3]) for row in rows]
    assert confidence == pytest.approx(result.probabilities.max(axis=1), abs=5.1e-7)

    header, *rows = written.rows(2)
    assert header == ["class", "precision", "recall", "f1"]
    assert [row[0] for row in rows] == list(CLASSES)
    for name, *scores in rows:
        expected = result.metrics["classes"][name]
        assert [float(score) for score in scores] == pytest.approx(
            [expected["precision"], expected["recall"], expected["f1"]], abs=5.1e-7
        )

    header, *rows = written.rows(3)
    assert header == ["low", "high", "count", "confidence", "accuracy"]
    assert [int(row[2]) for row in rows] == [each.count for each in result.calibration]
    assert [row[3] == "" for row in rows] == [each.confidence is None for each in result.calibration]

    metrics = json.loads(written.paths[0].read_text("utf-8"))
    assert list(metrics) == [name for name in result.metrics if name != "classes"]
    assert metrics["errors"] == result.metrics["errors"]
    assert metrics["accuracy"] == pytest.approx(result.metrics["accuracy"], abs=5.1e-7)


def test_files_of_a_known_result_byte_for_byte(tmp_path: Path) -> None:
    by_class = {
        "no": {"precision": 1.0, "recall": 0.5, "f1": 2 / 3},
        "yes": {"precision": 0.5, "recall": 1, "f1": 2 / 3},
    }
    result = Evaluation(
        classes=("no", "yes"),
        labels=np.array([0, 1, 0]),
        probabilities=np.array([[0.75, 0.25], [1 / 3, 2 / 3], [0.25, 0.75]]),
        calibration=[Bin(0.0, 0.5, 0, None, None), Bin(0.5, 1.0, 3, 13 / 18, 2 / 3)],
        metrics={"accuracy": 2 / 3, "classes": by_class},
    )
    metrics, predictions, classes, calibration = (path.read_bytes() for path in Written(tmp_path, result).paths)
    assert predictions == b"index,actual,predicted,confidence\n0,no,no,0.75\n1,yes,yes,0.666667\n2,no,yes,0.75\n"
    assert classes == b"class,precision,recall,f1\nno,1.0,0.5,0.666667\nyes,0.5,1,0.666667\n"
    assert calibration == b"low,high,count,confidence,accuracy\n0.0,0.5,0,,\n0.5,1.0,3,0.722222,0.666667\n"
    assert json.loads(metrics) == {"accuracy": 0.666667}
