"""Mean loss and accuracy of a classifier on samples, and the temperature that calibrates it."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812 -- its customary name

from mnist_pipeline.models.classifier import BATCH_SIZE, Classifier
from mnist_pipeline.training.batches import Samples
from mnist_pipeline.training.losses import make_loss

LARGEST_LOGARITHM = 4.0  # temperatures of 1/55 to 55
DECIMALS = 4  # more would be noise of the fit


def score_network(classifier: Classifier, upright: Samples) -> tuple[float, float]:
    """Return mean loss and accuracy of one pass of the network over samples that are upright already."""
    classifier.eval()
    with torch.inference_mode():
        batches = (classifier.inputs(images) for images in torch.split(upright.images, BATCH_SIZE))
        outputs = torch.cat([classifier.network(inputs) for inputs in batches])  # (n, classes)
    return loss_and_accuracy(classifier, outputs, upright.labels)


def loss_and_accuracy(classifier: Classifier, outputs: Tensor, labels: Tensor) -> tuple[float, float]:
    """Return mean loss and accuracy of outputs, (n, classes), with labels, int64 (n,)."""
    loss = make_loss(classifier.params.loss)(outputs, labels).item()
    return loss, int((outputs.argmax(dim=1) == labels).sum()) / len(labels)


def fit_temperature(outputs: Tensor, labels: Tensor) -> float:
    """Return the temperature by which to divide logits for the least mean log loss (Guo et al. 2017).

    Args:
        outputs: logits, float32 (n, classes).
        labels: int64 (n,).
    """
    from scipy.optimize import minimize_scalar  # a quarter of a second to import

    logits = outputs.to("cpu", torch.float64)

    def log_loss(logarithm: float) -> float:
        return F.cross_entropy(logits / math.exp(logarithm), labels).item()

    bounds = (-LARGEST_LOGARITHM, LARGEST_LOGARITHM)
    return round(math.exp(minimize_scalar(log_loss, bounds=bounds, method="bounded").x), DECIMALS)
