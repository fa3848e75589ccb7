"""Prediction: the outputs of a classifier for any number of images, with test-time augmentation."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F  # noqa: N812 -- its customary name

from mnist_pipeline.core.files import write_csv
from mnist_pipeline.core.numerics import threads
from mnist_pipeline.models.classifier import BATCH_SIZE, Classifier, device_of

SHIFTS = 4  # up, down, left, right


def predict(classifier: Classifier, images: Tensor) -> Tensor:
    """Return outputs, float32 (n, classes), for images, uint8 (n, side, side); every image counts.

    The images may be on another device than the classifier; the outputs are on the classifier's.
    """
    classifier.eval()
    device = device_of(classifier)
    if not len(images):
        return torch.zeros(0, len(classifier.classes), device=device)

    @torch.inference_mode()
    def outputs_of(batch: Tensor) -> Tensor:
        return predict_batch(classifier, batch.to(device))

    return torch.cat(threads.in_order(outputs_of, torch.split(images, BATCH_SIZE)))


def predict_batch(classifier: Classifier, images: Tensor) -> Tensor:
    """Return outputs, float32 (n, classes), for one batch of images, uint8 (n, side, side).

    With ``model.test_time_shift`` above 0, they are the mean over the image and four copies of it, shifted so many
    pixels up, down, left and right: test-time augmentation (Krizhevsky et al. 2012).
    """
    pixels = classifier.params.test_time_shift
    if pixels == 0:
        outputs: Tensor = classifier(images)  # (n, classes)
        return outputs
    upright = classifier.upright(images)  # (n, side, side)
    outputs = classifier.network(classifier.inputs(upright))
    for view in _shifted(upright, pixels):
        outputs = outputs + classifier.network(classifier.inputs(view))
    return outputs / passes(classifier)


def passes(classifier: Classifier) -> int:
    """Return how often the network runs for one prediction."""
    return 1 + SHIFTS if classifier.params.test_time_shift else 1


def _shifted(images: Tensor, pixels: int) -> list[Tensor]:
    """Return the images shifted up, down, left and right; background comes in, what leaves is lost."""
    side = images.shape[2]
    padded = F.pad(images, (pixels, pixels, pixels, pixels))  # (n, side + 2 pixels, side + 2 pixels)
    corners = ((2 * pixels, pixels), (0, pixels), (pixels, 2 * pixels), (pixels, 0))
    return [padded[:, top : top + side, left : left + side] for top, left in corners]


def log_losses(labels: NDArray[np.int64], probabilities: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the log loss of each sample in nats, (n,); finite also where the probability of its label is 0."""
    of_label = np.take_along_axis(probabilities, labels[:, None], axis=1)[:, 0]
    losses: NDArray[np.float64] = -np.log(np.maximum(of_label, np.finfo(np.float64).eps))
    return losses


def write_predictions(
    path: Path, labels: NDArray[np.int64], probabilities: NDArray[np.float64], classes: Sequence[str]
) -> None:
    """Write a row for each sample: label, prediction and the sample's scores, of which metrics are the means.

    Args:
        path: of the CSV: ``index``, ``actual``, ``predicted``, ``confidence`` (probability of the predicted class),
            ``log_loss`` (nats) and ``brier`` (sum of squares over all classes, 0-2).
        labels: indices into ``classes``, (n,).
        probabilities: (n, classes), each row with the sum 1.
        classes: the name of each class.
    """
    predicted = probabilities.argmax(axis=1)
    of_label = np.take_along_axis(probabilities, labels[:, None], axis=1)[:, 0]
    brier = (probabilities**2).sum(axis=1) - 2 * of_label + 1
    columns = (labels, predicted, probabilities.max(axis=1), log_losses(labels, probabilities), brier)
    rows = zip(*(column.tolist() for column in columns), strict=True)
    write_csv(
        path,
        ["index", "actual", "predicted", "confidence", "log_loss", "brier"],
        ([index, classes[label], classes[best], *scores] for index, (label, best, *scores) in enumerate(rows)),
    )
