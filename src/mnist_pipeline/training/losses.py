"""Losses: the functions by name, mean loss and accuracy of a classifier, and the temperature that calibrates it."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812 -- its customary name

from mnist_pipeline.core.numerics import threads
from mnist_pipeline.models.classifier import BATCH_SIZE, Classifier
from mnist_pipeline.training.batches import Samples

LARGEST_LOGARITHM = 4.0  # temperatures of 1/55 to 55
DECIMALS = 4  # more would be noise of the fit

Loss = Callable[[Tensor, Tensor], Tensor]
"""From outputs (n, classes) and labels (n,) to the mean loss, a scalar."""


def make_loss(name: str) -> Loss:
    """Return the loss of this name: cross_entropy over logits, or mse or bce against one-hot targets.

    The mean of mse and bce is over outputs and samples alike, as in the tutorial.
    """
    match name:
        case "cross_entropy":
            return F.cross_entropy
        case "mse":
            return lambda outputs, labels: F.mse_loss(outputs, _one_hot(outputs, labels))
        case "bce":
            return _binary_cross_entropy
    raise ValueError(f"unknown loss {name!r}")


def _binary_cross_entropy(outputs: Tensor, labels: Tensor) -> Tensor:
    """Return the mean, or NaN where an output is NaN.

    torch's own refuses NaN on a CPU and ends the process on a GPU. Nothing here makes the host wait for a GPU.
    """
    invalid = outputs.isnan()
    loss = F.binary_cross_entropy(outputs.masked_fill(invalid, 0.5), _one_hot(outputs, labels))
    return torch.where(invalid.any(), math.nan, loss)


def _one_hot(outputs: Tensor, labels: Tensor) -> Tensor:
    # Not F.one_hot, which on a CPU first looks for the smallest and the largest label.
    return torch.zeros_like(outputs).scatter_(1, labels[:, None], 1.0)  # (n, classes)


def score_network(classifier: Classifier, upright: Samples) -> tuple[float, float]:
    """Return mean loss and accuracy of one pass of the network over samples that are upright already."""

    @torch.inference_mode()
    def outputs_of(images: Tensor) -> Tensor:
        outputs: Tensor = classifier.network(classifier.inputs(images))  # (b, classes)
        return outputs

    classifier.eval()
    outputs = torch.cat(threads.in_order(outputs_of, torch.split(upright.images, BATCH_SIZE)))  # (n, classes)
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
