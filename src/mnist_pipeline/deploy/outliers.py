"""Warn of images that do not look like the digits of MNIST: a classifier names a digit for anything.

There is a warning if the ink is wider than WIDEST, thicker than THICKEST or farther than FARTHEST from every training
image, or if no class has LEAST_PROBABILITY. The limits were chosen with ``python -m benchmarks.run outliers``, so that
at most 1 % of the validation set's digits get a warning. It also measures how many letters, lines and shapes do.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from mnist_pipeline.data.dataset import load_dataset
from mnist_pipeline.models.classifier import Classifier

LEAST_PROBABILITY = 0.45  # of the most likely class
WIDEST = 1.7  # width of the ink by its height: wider than that, it may be several digits that touch
THICKEST = 10.0  # pixels: twice the largest distance from ink to paper
FARTHEST = 0.09  # from the nearest training image: 1 - cosine similarity of the blurred images

Descriptors = NDArray[np.float32]


def reads_mnist(classifier: Classifier) -> bool:
    """Whether a classifier's images are digits of 28 × 28 pixels; for others the limits were not measured."""
    return classifier.classes == tuple("0123456789") and classifier.image_side == 28


def descriptors(images: NDArray[np.uint8]) -> Descriptors:
    """Return images, (n, 28, 28), as blurred unit vectors, (n, 196): means of 4 × 4 pixels at every second place."""
    result = np.empty((len(images), 196), np.float32)
    for start in range(0, len(images), 1000):  # in blocks that stay in the cache
        block = np.pad(images[start : start + 1000].astype(np.float32), ((0, 0), (1, 1), (1, 1)))
        pairs = block.reshape(-1, 15, 2, 15, 2).sum(axis=(2, 4))  # (n, 15, 15), of 2 × 2 pixels
        sums = pairs[:, :-1, :-1] + pairs[:, 1:, :-1] + pairs[:, :-1, 1:] + pairs[:, 1:, 1:]
        result[start : start + 1000] = sums.reshape(-1, 196)
    result /= np.maximum(np.linalg.norm(result, axis=1, keepdims=True), 1)
    return result


def training_descriptors(path: Path) -> Descriptors | None:
    """Return the descriptors of the training images; None if there are none, or not of 28 × 28 pixels.

    Raises:
        PipelineError: the file is damaged, or holds something else.
    """
    images = load_dataset(path).images if path.is_file() else None
    return None if images is None or images.shape[1:] != (28, 28) else descriptors(images)


def doubt(image: NDArray[np.uint8], probability: float, training: Descriptors | None) -> str | None:
    """Say why an image does not look like the training images; None if it does.

    Args:
        image: a preprocessed digit, (28, 28).
        probability: of the most likely class.
        training: descriptors of the training images; None: the image is not compared with them.
    """
    rows, columns = np.nonzero(image > 25)
    if len(rows) and 1 + np.ptp(columns) > WIDEST * (1 + np.ptp(rows)):
        return "it is wide, as digits that touch are"
    if 2 * ndimage.distance_transform_edt(np.pad(image > 100, 1)).max() > THICKEST:
        return "its strokes are too thick"
    if training is not None and 1 - float((training @ descriptors(image[None])[0]).max()) > FARTHEST:
        return "no training image is similar"
    if probability < LEAST_PROBABILITY:
        return "no class is likely"
    return None
