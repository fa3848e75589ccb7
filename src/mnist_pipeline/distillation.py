"""Learning from a teacher: a loss against the answers of a better network (Hinton, Vinyals and Dean 2015).

The teacher is asked once about each variant of each image, since asking takes longer than training a small network:
after ``variants`` epochs the same distortions come again, and the answers are at hand.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812 -- its customary name

from mnist_pipeline.classifier import SCORED_AT_ONCE, Classifier
from mnist_pipeline.params import DistillationParams


class Teacher:
    """A trained classifier that is asked about images, and remembers what it said.

    Args:
        classifier: which.
        params: how its answers are used.
    """

    def __init__(self, classifier: Classifier, params: DistillationParams) -> None:
        self.classifier = classifier
        self.params = params
        self._answers: dict[tuple[int, int], Tensor] = {}

    def variant(self, epoch: int) -> int:
        """Which variant of the images an epoch shows: 1 to ``variants``, again and again."""
        return (epoch - 1) % self.params.variants + 1

    def answers(self, variant: int, block: int, inputs: Tensor) -> Tensor:
        """The outputs, float32 (n, classes), for the inputs of a block, which are the same whenever it is asked."""
        if (variant, block) not in self._answers:
            self.classifier.eval()
            with torch.no_grad():
                parts = [self.classifier.network(part) for part in torch.split(inputs, SCORED_AT_ONCE)]
            self._answers[variant, block] = torch.cat(parts)
        return self._answers[variant, block]

    def loss(self, outputs: Tensor, answers: Tensor, loss: Tensor) -> Tensor:
        """The mean loss, a scalar: against the softened answers, and, with the rest of the weight, ``loss``.

        Softened outputs have gradients smaller by the square of the temperature, which is made up for.
        """
        temperature, weight = self.params.temperature, self.params.weight
        softened = torch.softmax(answers / temperature, dim=1)
        against_answers = temperature**2 * F.cross_entropy(outputs / temperature, softened)
        return weight * against_answers + (1 - weight) * loss
