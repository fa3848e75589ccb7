"""Score a classifier on a data set, and write its metrics and predictions."""

from __future__ import annotations

from dataclasses import astuple, dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from mnist_pipeline.core.errors import PipelineError
from mnist_pipeline.core.files import write_csv, write_json
from mnist_pipeline.data.corrections import Correction, corrected_labels
from mnist_pipeline.data.dataset import Dataset
from mnist_pipeline.evaluation.metrics import Bin, accuracy_with_interval, compute_metrics, reliability
from mnist_pipeline.models.classifier import Classifier
from mnist_pipeline.models.prediction import predict, write_predictions


@dataclass(frozen=True)
class Evaluation:
    """The predictions of a classifier, and its metrics.

    Attributes:
        classes: the name of each class.
        labels: indices into ``classes``, int64 (n,).
        probabilities: float64 (n, classes), each row with the sum 1.
        totals: what outputs were divided by to give them, float64 (n,).
        calibration: confidence against accuracy.
        metrics: see ``metrics.compute_metrics``.
    """

    classes: tuple[str, ...]
    labels: NDArray[np.int64]
    probabilities: NDArray[np.float64]
    totals: NDArray[np.float64]
    calibration: list[Bin]
    metrics: dict[str, Any]


def evaluate(
    classifier: Classifier,
    dataset: Dataset,
    calibration_bins: int,
    corrections: dict[int, Correction] | None = None,
) -> Evaluation:
    """Score every row of a dataset.

    The metrics have ``without_overlap`` where test images are in the training set, too, and ``corrected`` where there
    are corrections: each the rows that count, the accuracy on them, and the bounds of its 95 % interval.

    Args:
        classifier: in any mode.
        dataset: the test set.
        calibration_bins: how many.
        corrections: of labels, by row number.

    Raises:
        PipelineError: the images or the classes are not those the classifier was trained on, or a correction is of
            another label than the row has.
    """
    trained_on = (classifier.image_side, classifier.classes)
    given = (dataset.images.shape[1], dataset.classes)
    if given != trained_on:
        raise PipelineError(
            f"the model was trained on images of side {trained_on[0]} in classes {', '.join(trained_on[1])}; "
            f"the test set has side {given[0]} and classes {', '.join(given[1])}"
        )
    labels = dataset.labels.astype(np.int64)
    outputs = predict(classifier, torch.from_numpy(dataset.images))  # (n, classes)
    probabilities = classifier.probabilities(outputs).cpu().numpy()  # (n, classes)
    totals = classifier.totals(outputs).cpu().numpy()  # (n,)
    predicted = probabilities.argmax(axis=1)
    calibration = reliability(probabilities.max(axis=1), predicted == labels, calibration_bins)
    metrics = compute_metrics(labels, probabilities, dataset.classes, calibration)
    own = dataset.overlap == 0
    if not own.all() and own.any():
        metrics["without_overlap"] = accuracy_with_interval((predicted == labels)[own])
    if corrections is not None:
        corrected = corrected_labels(dataset, corrections)
        if (corrected >= 0).any():
            metrics["corrected"] = accuracy_with_interval((predicted == corrected)[corrected >= 0])
    return Evaluation(dataset.classes, labels, probabilities, totals, calibration, metrics)


def write_evaluation(
    result: Evaluation, metrics: Path, details: Path, predictions: Path, classes: Path, calibration: Path
) -> None:
    """Write metrics as JSON, and as CSV a row for each test image, each class and each bin of confidence.

    ``metrics`` has what DVC shows in a column of its own, ``details`` the metrics of the whole test set.
    """
    names = result.classes
    write_predictions(predictions, result.labels, result.probabilities, names)
    by_class = result.metrics["classes"]
    write_csv(classes, ["class", "precision", "recall", "f1"], ([name, *by_class[name].values()] for name in names))
    write_csv(calibration, [field.name for field in fields(Bin)], map(astuple, result.calibration))
    write_json(details, {name: value for name, value in result.metrics.items() if name != "classes"})
    write_json(metrics, {f"test_{name}": result.metrics[name] for name in ("accuracy", "log_loss")})
