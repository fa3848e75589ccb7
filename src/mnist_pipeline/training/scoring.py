"""Mean loss and accuracy of a classifier on samples."""

from __future__ import annotations

import torch
from torch import Tensor

from mnist_pipeline.models.classifier import BATCH_SIZE, Classifier
from mnist_pipeline.training.batches import Samples
from mnist_pipeline.training.losses import make_loss


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
