"""Mean loss and accuracy of a classifier on samples."""

from __future__ import annotations

import torch
from torch import Tensor

from mnist_pipeline.models.classifier import BATCH_SIZE, Classifier, device_of
from mnist_pipeline.models.prediction import predict
from mnist_pipeline.training.batches import Samples
from mnist_pipeline.training.losses import make_loss


def score(classifier: Classifier, samples: Samples) -> tuple[float, float]:
    """Return mean loss and accuracy of predictions, with test-time augmentation if the classifier uses it."""
    samples = samples.to(device_of(classifier))
    return _loss_and_accuracy(classifier, predict(classifier, samples.images), samples.labels)


def score_network(classifier: Classifier, upright: Samples) -> tuple[float, float]:
    """Return mean loss and accuracy of one pass of the network over samples that are upright already."""
    classifier.eval()
    with torch.inference_mode():
        batches = (classifier.inputs(images) for images in torch.split(upright.images, BATCH_SIZE))
        outputs = torch.cat([classifier.network(inputs) for inputs in batches])  # (n, classes)
    return _loss_and_accuracy(classifier, outputs, upright.labels)


def _loss_and_accuracy(classifier: Classifier, outputs: Tensor, labels: Tensor) -> tuple[float, float]:
    loss = make_loss(classifier.params.loss)(outputs, labels).item()
    return loss, int((outputs.argmax(dim=1) == labels).sum()) / len(labels)
