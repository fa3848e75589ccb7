"""The figures of a training run, by epoch and by step."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True)
class Epoch:
    """One pass over the training samples.

    The training figures are means over the batches as they were trained on: with weights that still changed, and on
    augmented images if so configured. The validation figures are those of the weights at the end of the epoch, without
    test-time augmentation, which would take five times as long. Accuracies are fractions.
    """

    epoch: int
    learning_rate: float
    train_loss: float
    validation_loss: float | None
    train_accuracy: float
    validation_accuracy: float | None


@dataclass(frozen=True)
class Step:
    """The loss of one batch; steps count from 1."""

    step: int
    loss: float


@dataclass(frozen=True)
class History:
    """Every epoch, and every n-th step."""

    epochs: list[Epoch] = field(default_factory=list)
    steps: list[Step] = field(default_factory=list)
