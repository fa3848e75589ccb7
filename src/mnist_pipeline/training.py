"""The training loop: fit a classifier to images, and tell how it went."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from tqdm import tqdm

from mnist_pipeline.classifier import UNIT, Classifier, Scaling
from mnist_pipeline.moments import mean_and_sd
from mnist_pipeline.objective import Loss, make_loss, make_optimizer, make_schedule
from mnist_pipeline.params import OptimizersParams, TrainParams
from mnist_pipeline.splits import Split

SCORED_AT_ONCE = 1000


class TrainingError(ArithmeticError):
    """Training went astray and cannot go on."""


@dataclass(frozen=True)
class Samples:
    """Images, uint8 (n, side, side), and their labels, int64 (n,)."""

    images: Tensor
    labels: Tensor

    def __len__(self) -> int:
        return len(self.labels)


def samples_of(split: Split, rows: NDArray[np.int64]) -> Samples:
    """Some rows of a split, in that order."""
    return Samples(torch.from_numpy(split.images[rows]), torch.from_numpy(split.labels[rows].astype(np.int64)))


def scaling_of(train: Samples, name: str) -> Scaling:
    """How pixels become inputs: "unit", or "standard" by the mean and sd of the pixels trained on."""
    if name == "unit":
        return UNIT
    return Scaling(*mean_and_sd(np.bincount(train.images.numpy().reshape(-1), minlength=256)))


@dataclass(frozen=True)
class Epoch:
    """One pass over the training samples.

    The training figures are means over the batches as they were trained on, so with weights that still changed;
    the validation figures are of the weights at the end. Both accuracies are fractions.
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
    """How training went."""

    epochs: list[Epoch] = field(default_factory=list)
    steps: list[Step] = field(default_factory=list)


def fit(
    classifier: Classifier,
    train: Samples,
    validation: Samples,
    params: TrainParams,
    optimizers: OptimizersParams,
) -> History:
    """Train a classifier in place.

    Args:
        classifier: what to train; its loss and optimizer are in its params.
        train: what to train on.
        validation: what to score after every epoch; may be empty.
        params: the loop.
        optimizers: each optimizer's settings.

    Raises:
        TrainingError: the loss or a weight became infinite or NaN; the message says where.
    """
    loss_of = make_loss(classifier.params.loss)
    optimizer = make_optimizer(classifier.params.optimizer, optimizers, classifier.parameters())
    schedule = make_schedule(params, optimizer, params.epochs * math.ceil(len(train) / params.batch_size))
    history = History()
    step = 0
    for epoch in range(1, params.epochs + 1):
        classifier.train()
        learning_rate = optimizer.param_groups[0]["lr"]
        total_loss, correct = 0.0, 0
        batches = torch.split(epoch_order(len(train), params, epoch), params.batch_size)
        for rows in tqdm(batches, desc=f"epoch {epoch}/{params.epochs}", unit="batch", leave=False, disable=None):
            step += 1
            labels = train.labels[rows]
            outputs = classifier(train.images[rows])
            loss = loss_of(outputs, labels)
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            if schedule is not None:
                schedule.step()
            value = loss.item()
            if not math.isfinite(value):
                raise _diverged("the loss", value, epoch, step, classifier.params.optimizer, learning_rate)
            if step % params.log_every == 0:
                history.steps.append(Step(step, value))
            total_loss += value * len(rows)
            correct += int((outputs.argmax(dim=1) == labels).sum())
        # What the last step did to the weights shows in no training loss.
        largest = torch.stack([parameter.abs().max() for parameter in classifier.parameters()]).max().item()
        if not math.isfinite(largest):
            raise _diverged("a weight", largest, epoch, step, classifier.params.optimizer, learning_rate)
        scores = score(classifier, validation, loss_of) if len(validation) else (None, None)
        if scores[0] is not None and not math.isfinite(scores[0]):
            raise _diverged("the validation loss", scores[0], epoch, step, classifier.params.optimizer, learning_rate)
        history.epochs.append(
            Epoch(
                epoch=epoch,
                learning_rate=learning_rate,
                train_loss=total_loss / len(train),
                validation_loss=scores[0],
                train_accuracy=correct / len(train),
                validation_accuracy=scores[1],
            )
        )
    classifier.eval()
    return history


def _diverged(what: str, value: float, epoch: int, step: int, optimizer: str, learning_rate: float) -> TrainingError:
    return TrainingError(
        f"{what} became {value} in epoch {epoch}, step {step}; lower "
        f"optimizers.{optimizer}.learning_rate (was {learning_rate:g} in this epoch)"
    )


def epoch_order(number: int, params: TrainParams, epoch: int) -> Tensor:
    """The order in which an epoch visits its samples: int64 of shape (number,).

    It depends on the seed and the epoch alone, so that training can go on from any epoch.
    """
    if not params.shuffle:
        return torch.arange(number)
    seed = int(np.random.SeedSequence([params.seed, epoch]).generate_state(1, np.uint64)[0])
    generator = torch.Generator()
    generator.manual_seed(seed >> 1)
    return torch.randperm(number, generator=generator)


def predict(classifier: Classifier, images: Tensor) -> Tensor:
    """Outputs, float32 (n, classes), for images, uint8 (n, side, side); none is left out."""
    classifier.eval()
    with torch.inference_mode():
        return torch.cat([classifier(batch) for batch in torch.split(images, SCORED_AT_ONCE)])


def score(classifier: Classifier, samples: Samples, loss_of: Loss) -> tuple[float, float]:
    """Mean loss and accuracy."""
    outputs = predict(classifier, samples.images)
    correct = int((outputs.argmax(dim=1) == samples.labels).sum())
    return loss_of(outputs, samples.labels).item(), correct / len(samples)


def summary(classifier: Classifier, train: Samples, validation: Samples, history: History) -> dict[str, Any]:
    """How training ended: the figures of the last epoch, and the sizes of all that took part."""
    last = history.epochs[-1]
    return {
        "validation_accuracy": last.validation_accuracy,
        "validation_loss": last.validation_loss,
        "train_accuracy": last.train_accuracy,
        "train_loss": last.train_loss,
        "train_rows": len(train),
        "validation_rows": len(validation),
        "parameters": sum(parameter.numel() for parameter in classifier.parameters()),
    }
