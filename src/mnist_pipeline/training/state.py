"""The state of a training run: what it records, and what a checkpoint keeps of it."""

from __future__ import annotations

import math
import sys
from dataclasses import asdict, dataclass, field
from typing import Any, NoReturn

import torch
from torch import Tensor
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler
from tqdm import tqdm

from mnist_pipeline.core.errors import PipelineError
from mnist_pipeline.core.progress import report
from mnist_pipeline.models.classifier import Classifier
from mnist_pipeline.params.run import TrainParams
from mnist_pipeline.training.batches import Samples
from mnist_pipeline.training.checkpoint import Checkpoint, Saved
from mnist_pipeline.training.losses import score_network
from mnist_pipeline.training.shards import rank

WEIGHT, MOMENT = "classifier.", "optimizer."
MOST_LINES = 20
"""About how many epochs are printed where there is no terminal."""


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


def _described(epoch: Epoch) -> str:
    accuracy = epoch.validation_accuracy
    validated = "" if accuracy is None else f", validation accuracy {accuracy:.4f}"
    return f"loss {epoch.train_loss:.4f}{validated}"


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


@dataclass
class Progress:
    """How far training is.

    Attributes:
        epoch: that runs, from 1.
        batch: batches of this epoch that are done, always whole blocks.
        step: batches that are done in all.
        learning_rate: at the start of this epoch.
        total_loss: of this epoch, over its samples.
        correct: samples of this epoch that were classified correctly.
        history: the figures so far.
    """

    epoch: int = 1
    batch: int = 0
    step: int = 0
    learning_rate: float = 0.0
    total_loss: float = 0.0
    correct: int = 0
    history: History = field(default_factory=History)


class TrainingState:
    """Records the progress of ``fit`` and keeps it in a checkpoint; resumes from one that is there.

    Attributes:
        progress: so far.
    """

    def __init__(
        self,
        classifier: Classifier,
        optimizer: Optimizer,
        schedule: LRScheduler,
        params: TrainParams,
        checkpoint: Checkpoint | None,
        *,
        shown: bool = True,
    ) -> None:
        self.progress = Progress()
        self._classifier, self._optimizer, self._schedule = classifier, optimizer, schedule
        self._params, self._checkpoint = params, checkpoint
        self._shown = shown and checkpoint is not None and not rank()  # a fold of the audit has no checkpoint
        self._bar: tqdm[NoReturn] | None = None
        if checkpoint is not None and (saved := checkpoint.load()) is not None:
            self._restore(saved)
            print(f"train: resuming at epoch {self.progress.epoch}, batch {self.progress.batch}", file=sys.stderr)

    def start_epoch(self, batches: int) -> None:
        """Begin an epoch of so many batches, or go on with one; on a terminal, show a progress bar."""
        now = self.progress
        self._classifier.train()
        if now.batch == 0:
            now.learning_rate = self._optimizer.param_groups[0]["lr"]
        name = f"epoch {now.epoch}/{self._params.epochs}"
        if now.history.epochs:
            name += f", so far {_described(now.history.epochs[-1])}"
        if self._shown and sys.stderr.isatty():
            self._bar = tqdm(desc=name, total=batches, initial=now.batch, unit="batch", leave=False)
        self._report(batches=self._params.epochs * batches)

    def record(self, steps: list[tuple[Tensor, Tensor]], labels: Tensor) -> None:
        """Record the steps of a block: loss, (), and outputs, (b, classes), of each; labels, (n,), of all.

        Raises:
            PipelineError: a loss is infinite or NaN.
        """
        now = self.progress
        losses = torch.stack([loss for loss, _ in steps]).tolist()
        for loss, (_, outputs) in zip(losses, steps, strict=True):
            now.step += 1
            now.batch += 1
            self._check_finite("the loss", loss)
            if now.step % self._params.log_every == 0:
                now.history.steps.append(Step(now.step, loss))
            now.total_loss += loss * len(outputs)
        predicted = torch.cat([outputs for _, outputs in steps]).argmax(dim=1)  # (n,)
        now.correct += int((predicted == labels).sum())
        if self._bar is not None:
            self._bar.update(len(steps))
        self._report(loss=sum(losses) / len(losses))
        if self._checkpoint is not None and self._checkpoint.due:
            self._save(self._checkpoint)

    def finish_epoch(self, samples: int, validation: Samples) -> None:
        """Record the figures of an epoch of so many samples; ``validation`` is upright already.

        Raises:
            PipelineError: a weight or the validation loss is infinite or NaN.
        """
        now = self.progress
        if self._bar is not None:
            self._bar.close()
        # What the last step did to the weights shows in no training loss.
        weights = [parameter.abs().max() for parameter in self._classifier.parameters()]
        self._check_finite("a weight", torch.stack(weights).max().item())
        loss, accuracy = None, None
        if len(validation):
            loss, accuracy = score_network(self._classifier, validation)
            self._check_finite("the validation loss", loss)
        train_loss, train_accuracy = now.total_loss / samples, now.correct / samples
        now.history.epochs.append(Epoch(now.epoch, now.learning_rate, train_loss, loss, train_accuracy, accuracy))
        self._report()
        every = math.ceil(self._params.epochs / MOST_LINES)
        if self._shown and self._bar is None and (now.epoch % every == 0 or now.epoch in {1, self._params.epochs}):
            print(f"epoch {now.epoch}/{self._params.epochs}: {_described(now.history.epochs[-1])}", flush=True)
        now.epoch, now.batch, now.total_loss, now.correct = now.epoch + 1, 0, 0.0, 0
        if self._checkpoint is not None:
            self._save(self._checkpoint)

    def _report(self, **changes: Any) -> None:
        now = self.progress
        accuracies = [each.validation_accuracy for each in now.history.epochs if each.validation_accuracy is not None]
        if self._shown:
            report(epoch=now.epoch, epochs=self._params.epochs, batch=now.step, accuracies=accuracies, **changes)

    def _check_finite(self, what: str, value: float) -> None:
        now, optimizer = self.progress, self._classifier.params.optimizer
        if not math.isfinite(value):
            raise PipelineError(
                f"training diverged: {what} became {value} in epoch {now.epoch}, step {now.step}; lower "
                f"optimizers.{optimizer}.learning_rate (was {now.learning_rate:g} in this epoch)"
            )

    def _save(self, checkpoint: Checkpoint) -> None:
        tensors = {f"{WEIGHT}{name}": tensor for name, tensor in self._classifier.state_dict().items()}
        numbers: dict[str, Any] = {}
        state = self._optimizer.state_dict()
        for index, values in state["state"].items():
            for name, value in values.items():
                (tensors if isinstance(value, Tensor) else numbers)[f"{MOMENT}{index}.{name}"] = value
        rest = {"optimizer": numbers, "groups": state["param_groups"], "progress": asdict(self.progress)}
        checkpoint.save(Saved(tensors, rest))

    def _restore(self, saved: Saved) -> None:
        moments: dict[int, dict[str, Any]] = {}
        for full, value in {**saved.tensors, **saved.rest["optimizer"]}.items():
            if full.startswith(MOMENT):
                index, _, name = full.removeprefix(MOMENT).partition(".")
                moments.setdefault(int(index), {})[name] = value
        self._optimizer.load_state_dict({"state": moments, "param_groups": saved.rest["groups"]})
        weights = {name.removeprefix(WEIGHT): each for name, each in saved.tensors.items() if name.startswith(WEIGHT)}
        self._classifier.load_state_dict(weights)
        content = dict(saved.rest["progress"])
        history = content.pop("history")
        epochs, steps = [Epoch(**each) for each in history["epochs"]], [Step(**each) for each in history["steps"]]
        self.progress = Progress(**content, history=History(epochs, steps))
        self._schedule.last_epoch = self.progress.step  # torch's word for steps; the rates are a function of it
