"""Read a photo: each of its digits with the probability of each class, and why to doubt it."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from mnist_pipeline.deploy.outliers import doubt, reads_mnist, training_descriptors
from mnist_pipeline.deploy.photo import preprocess, preprocess_digits, read_photo
from mnist_pipeline.models.classifier import Classifier
from mnist_pipeline.models.prediction import predict


@dataclass(frozen=True)
class Digit:
    """A digit of a photo: its preprocessed image, (side, side), the probability of each class, and why to doubt it."""

    image: NDArray[np.uint8]
    classes: tuple[str, ...]
    probabilities: list[float]
    doubt: str | None

    @property
    def answer(self) -> str:
        """Return the most likely class."""
        return self.classes[self.probabilities.index(self.confidence)]

    @property
    def confidence(self) -> float:
        """Return the probability of the most likely class."""
        return max(self.probabilities)


@dataclass(frozen=True)
class Reading:
    """What stands in a photo: its digits in reading order, and their most likely classes with spaces between lines."""

    digits: list[Digit]
    text: str

    @property
    def confidence(self) -> float:
        """Return the product of the digits' probabilities."""
        return math.prod(digit.confidence for digit in self.digits)


class Reader:
    """A classifier that reads photos.

    One of MNIST's digits reads several on a photo and doubts images that are no digits; for others, whose images may
    consist of several parts, a photo is one image.

    Args:
        classifier: that predicts.
        training: a data set with which images are compared, if it is there and the classifier is of MNIST's digits.
    """

    def __init__(self, classifier: Classifier, training: Path) -> None:
        self.classifier = classifier
        self.mnist = reads_mnist(classifier)
        self.training = training_descriptors(training) if self.mnist else None

    def read(self, content: bytes) -> Reading:
        """Read an image file.

        Raises:
            PipelineError: it is damaged, or there is no ink to be seen.
        """
        grey, side = read_photo(content), self.classifier.image_side
        images = preprocess_digits(grey, side) if self.mnist else [[preprocess(grey, side)]]
        lines = [[self._digit(image) for image in line] for line in images]
        text = " ".join("".join(digit.answer for digit in line) for line in lines)
        return Reading([digit for line in lines for digit in line], text)

    def _digit(self, image: NDArray[np.uint8]) -> Digit:
        outputs = predict(self.classifier, torch.from_numpy(image)[None])
        probabilities: list[float] = self.classifier.probabilities(outputs)[0].tolist()
        reason = doubt(image, max(probabilities), self.training) if self.mnist else None
        return Digit(image, self.classifier.classes, probabilities, reason)
