"""What training writes beside the model: its metrics, and images that show the augmentation."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mnist_pipeline.core.errors import PipelineError
from mnist_pipeline.core.statistics import mean_and_std
from mnist_pipeline.models.classifier import UNIT, Classifier, Scaling
from mnist_pipeline.models.prediction import passes
from mnist_pipeline.models.registry import count_macs
from mnist_pipeline.params.run import TrainParams
from mnist_pipeline.training.augmentation import SHARING, Augmentation
from mnist_pipeline.training.batches import BLOCK_SIZE, Samples, derive_seed
from mnist_pipeline.training.losses import loss_and_accuracy
from mnist_pipeline.training.state import History

EXAMPLES, EXAMPLE_VARIANTS = 8, 11


def scaling_of(train: Samples, name: str) -> Scaling:
    """Return the scaling of pixels: "unit", or "standard" by mean and standard deviation of the training pixels.

    Raises:
        PipelineError: all pixels are equal, so that there is no standard deviation to divide by.
    """
    if name == "unit":
        return UNIT
    counts = np.zeros(256, np.int64)
    for places in torch.split(torch.arange(len(train)), BLOCK_SIZE):
        counts += np.bincount(train.images_at(places).numpy().reshape(-1), minlength=256)
    mean, std = mean_and_std(counts)
    if std == 0:
        raise PipelineError("data.scaling standard needs pixels that differ; all training pixels are equal")
    return Scaling(mean, std)


def summarise(
    classifier: Classifier, train: Samples, validation: Samples, outputs: Tensor, history: History
) -> dict[str, Any]:
    """Return the metrics of a training run: validation, by its outputs (n, classes), the last epoch, and sizes."""
    last = history.epochs[-1]
    loss, accuracy = None, None
    if len(validation):
        loss, accuracy = loss_and_accuracy(classifier, outputs, validation.labels.to(outputs.device))
    return {
        "validation_accuracy": accuracy,
        "validation_loss": loss,
        "train_accuracy": last.train_accuracy,
        "train_loss": last.train_loss,
        "train_rows": len(train),
        "validation_rows": len(validation),
        "parameters": sum(parameter.numel() for parameter in classifier.parameters()),
        "multiply_adds": passes(classifier) * count_macs(classifier.network, classifier.image_side**2),
    }


def augmented_examples(classifier: Classifier, train: Samples, params: TrainParams) -> dict[str, NDArray[np.uint8]]:
    """Return the first training images and augmented versions of each, for a picture.

    Returns:
        ``originals``, (n, side, side), deskewed if the classifier does so; ``distorted``, (n, variants, side, side),
        without variants if training augments nothing.
    """
    images = classifier.upright(train.images_at(torch.arange(len(train))[:EXAMPLES]))
    count = EXAMPLE_VARIANTS if params.augmentation.enabled else 0
    variants = torch.zeros(len(images), count, *images.shape[1:], dtype=torch.uint8)
    if count:
        augment = Augmentation(images.shape[1], params.augmentation, images.device)
        repeated = images.repeat_interleave(count * SHARING, dim=0)  # each version with a transformation of its own
        augmented = augment(repeated, derive_seed(params.seed, 0, 1))[::SHARING].round().to(torch.uint8)
        variants = augmented.view(variants.shape)
    return {"originals": images.numpy(), "distorted": variants.numpy()}
