"""The training loop: fit a classifier to images, and tell how it went."""

from __future__ import annotations

import math
import sys
from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import asdict, dataclass, field
from typing import Any, NoReturn

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler
from tqdm import tqdm

from mnist_pipeline.augment import SHARING, Augmenter
from mnist_pipeline.checkpoint import Checkpoint, State, flatten_optimizer, unflatten_optimizer
from mnist_pipeline.classifier import SCORED_AT_ONCE, UNIT, Classifier, Scaling, device_of, predict
from mnist_pipeline.examples import Examples
from mnist_pipeline.models.registry import multiply_adds
from mnist_pipeline.moments import mean_and_sd
from mnist_pipeline.objective import Loss, make_loss, make_optimizer, make_schedule, make_step
from mnist_pipeline.params import OptimizersParams, TrainParams
from mnist_pipeline.splits import Split

# Batches are gathered, scaled and written down in blocks of about so many samples: what is done once a block costs next
# to nothing a batch, even where a batch is one sample, and nothing waits for a GPU but the end of a block.
BLOCK_SIZE = 1024

EXAMPLES, EXAMPLE_VARIANTS = 8, 11


class TrainingError(ArithmeticError):
    """Training went astray and cannot go on."""


@dataclass(frozen=True)
class Samples:
    """Images, uint8 (n, side, side), and their labels, int64 (n,)."""

    images: Tensor
    labels: Tensor

    def __len__(self) -> int:
        return len(self.labels)

    def to(self, device: torch.device) -> Samples:
        """The same on another device."""
        return Samples(self.images.to(device), self.labels.to(device))


def samples_of(split: Split, rows: NDArray[np.int64]) -> Samples:
    """Some rows of a split, in that order."""
    return Samples(torch.from_numpy(split.images[rows]), torch.from_numpy(split.labels[rows].astype(np.int64)))


def scaling_of(train: Samples, name: str) -> Scaling:
    """How pixels become inputs: "unit", or "standard" by the mean and sd of the pixels trained on.

    Raises:
        TrainingError: all pixels are alike, so that there is no sd to divide by.
    """
    if name == "unit":
        return UNIT
    mean, sd = mean_and_sd(np.bincount(train.images.numpy().reshape(-1), minlength=256))
    if sd == 0:
        raise TrainingError("data.scaling standard needs pixels that differ; every one trained on is alike")
    return Scaling(mean, sd)


@dataclass(frozen=True)
class Epoch:
    """One pass over the training samples.

    The training figures are means over the batches as they were trained on, so with weights that still changed, on
    distorted images if so asked; the validation figures are of the weights at the end, on the images as they are, each
    seen once: where a prediction is the mean of five, these are of the network alone, to take a fifth of the time. Both
    accuracies are fractions.
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


@dataclass
class _Progress:
    """How far training is: what, with weights and optimizer, it needs to go on."""

    epoch: int = 1
    batch: int = 0  # batches of this epoch that are done: whole blocks
    step: int = 0
    learning_rate: float = 0.0  # at the start of this epoch
    total_loss: float = 0.0  # of this epoch, over its samples
    correct: int = 0
    history: History = field(default_factory=History)


def fit(
    classifier: Classifier,
    train: Samples,
    validation: Samples,
    params: TrainParams,
    optimizers: OptimizersParams,
    checkpoint: Checkpoint | None = None,
    mixed: bool = False,
) -> History:
    """Train a classifier in place, on the device where it is.

    Args:
        classifier: what to train; its loss and optimizer are in its params.
        train: what to train on.
        validation: what to score after every epoch; may be empty.
        params: the loop.
        optimizers: each optimizer's settings.
        checkpoint: where to keep the state, and to go on from if it is there, to the same bits.
        mixed: whether the network multiplies in bfloat16, forwards and backwards; weights, batch norm's sums, the loss
            and the optimizer are float32 all the same (Micikevicius et al. 2018).

    Raises:
        TrainingError: the loss or a weight became infinite or NaN; the message says where.
    """
    device = device_of(classifier)
    train, validation = train.to(device), validation.to(device)
    validation = Samples(classifier.upright(validation.images), validation.labels)  # now, rather than in every epoch
    name = classifier.params.optimizer
    loss_of = make_loss(classifier.params.loss)
    weights = list(classifier.parameters())
    optimizer = make_optimizer(name, optimizers, weights)
    schedule = make_schedule(params, optimizer, params.epochs * math.ceil(len(train) / params.batch_size))
    step = optimizer.step if schedule is not None else make_step(optimizer)
    blocks = _Blocks(classifier, train, params)
    arithmetic = torch.autocast(device.type, torch.bfloat16) if mixed else nullcontext()
    now = _resumed(checkpoint, classifier, optimizer, schedule) or _Progress()
    while now.epoch <= params.epochs:
        classifier.train()
        if now.batch == 0:
            now.learning_rate = optimizer.param_groups[0]["lr"]
        with _progress_bar(now, params.epochs, blocks.batches) as bar:
            for block in blocks.of_epoch(now.epoch, now.batch):
                taken = []
                for inputs, labels in block.batches(params.batch_size):
                    with arithmetic:
                        outputs = classifier.network(inputs).float()
                    loss = loss_of(outputs, labels)
                    for weight in weights:
                        weight.grad = None
                    loss.backward()  # type: ignore[no-untyped-call]
                    step()
                    if schedule is not None:
                        schedule.step()
                    taken.append((loss.detach(), outputs.detach()))
                _note(now, taken, block.labels, params.log_every, name)
                bar.update(len(taken))
                if checkpoint is not None and checkpoint.due:
                    checkpoint.save(_state(now, classifier, optimizer))
        now.history.epochs.append(_finished_epoch(now, classifier, len(train), validation))
        now.epoch, now.batch, now.total_loss, now.correct = now.epoch + 1, 0, 0.0, 0
        if checkpoint is not None:
            checkpoint.save(_state(now, classifier, optimizer))
    classifier.eval()
    return now.history


def _progress_bar(now: _Progress, epochs: int, batches: int) -> tqdm[NoReturn]:
    return tqdm(
        desc=f"epoch {now.epoch}/{epochs}", total=batches, initial=now.batch, unit="batch", leave=False, disable=None
    )


@dataclass(frozen=True)
class _Block:
    """Some batches' samples, ready for the network."""

    inputs: Tensor
    labels: Tensor

    def batches(self, size: int) -> Iterator[tuple[Tensor, Tensor]]:
        """The inputs and labels of one batch after the other."""
        return zip(torch.split(self.inputs, size), torch.split(self.labels, size), strict=True)


class _Blocks:
    """The samples of each epoch, distorted if so asked, in blocks of whole batches.

    Attributes:
        batches: how many an epoch has.
    """

    def __init__(self, classifier: Classifier, train: Samples, params: TrainParams) -> None:
        self._classifier, self._params = classifier, params
        self._train = Samples(classifier.upright(train.images), train.labels)
        self._device = device_of(classifier)
        augmentation = params.augmentation
        self._augment = Augmenter(classifier.image_side, augmentation, self._device) if augmentation.enabled else None
        self.batches = math.ceil(len(train) / params.batch_size)
        size = BLOCK_SIZE if self._device.type == "cpu" else len(train)
        self._batches_in_block = max(1, size // params.batch_size)

    def of_epoch(self, epoch: int, done: int) -> Iterator[_Block]:
        """The blocks of an epoch but those of its first ``done`` batches."""
        order = epoch_order(len(self._train), self._params, epoch).to(self._device)
        blocks = torch.split(order, self._batches_in_block * self._params.batch_size)
        for number in range(math.ceil(done / self._batches_in_block), len(blocks)):
            # A fifth of the time of indexing.
            images, labels = (each.index_select(0, blocks[number]) for each in (self._train.images, self._train.labels))
            if self._augment is not None:
                images = self._augment(images, _seed_of(self._params.seed, epoch, number + 1))
            yield _Block(self._classifier.inputs(images), labels)


def _note(now: _Progress, taken: list[tuple[Tensor, Tensor]], labels: Tensor, log_every: int, optimizer: str) -> None:
    """Write down the steps of a block: the loss (scalar) and the outputs (n, classes) of each."""
    losses = torch.stack([loss for loss, _ in taken]).tolist()
    for value, (_, outputs) in zip(losses, taken, strict=True):
        now.step += 1
        now.batch += 1
        if not math.isfinite(value):
            raise _diverged("the loss", value, now, optimizer)
        if now.step % log_every == 0:
            now.history.steps.append(Step(now.step, value))
        now.total_loss += value * len(outputs)
    now.correct += int((torch.cat([outputs for _, outputs in taken]).argmax(dim=1) == labels).sum())


def _finished_epoch(now: _Progress, classifier: Classifier, samples: int, validation: Samples) -> Epoch:
    """The figures of an epoch whose batches are all done."""
    # What the last step did to the weights shows in no training loss.
    largest = torch.stack([parameter.abs().max() for parameter in classifier.parameters()]).max().item()
    if not math.isfinite(largest):
        raise _diverged("a weight", largest, now, classifier.params.optimizer)
    loss_of = make_loss(classifier.params.loss)
    scores = _score_once(classifier, validation, loss_of) if len(validation) else (None, None)
    if scores[0] is not None and not math.isfinite(scores[0]):
        raise _diverged("the validation loss", scores[0], now, classifier.params.optimizer)
    return Epoch(
        epoch=now.epoch,
        learning_rate=now.learning_rate,
        train_loss=now.total_loss / samples,
        validation_loss=scores[0],
        train_accuracy=now.correct / samples,
        validation_accuracy=scores[1],
    )


def _state(now: _Progress, classifier: Classifier, optimizer: Optimizer) -> State:
    weights = {f"classifier.{name}": tensor for name, tensor in classifier.state_dict().items()}
    moments, rest = flatten_optimizer(optimizer.state_dict()["state"])
    groups = optimizer.state_dict()["param_groups"]
    return State(weights | moments, {**asdict(now), "optimizer": rest, "groups": groups})


def _resumed(
    checkpoint: Checkpoint | None, classifier: Classifier, optimizer: Optimizer, schedule: LRScheduler | None
) -> _Progress | None:
    """Take up the state of the checkpoint, if there is one."""
    state = checkpoint.load() if checkpoint is not None else None
    if state is None:
        return None
    progress = dict(state.progress)
    moments = unflatten_optimizer(state.tensors, progress.pop("optimizer"))
    optimizer.load_state_dict({"state": moments, "param_groups": progress.pop("groups")})
    prefix = "classifier."
    classifier.load_state_dict(
        {name.removeprefix(prefix): tensor for name, tensor in state.tensors.items() if name.startswith(prefix)}
    )
    history = progress.pop("history")
    now = _Progress(
        **progress,
        history=History([Epoch(**each) for each in history["epochs"]], [Step(**each) for each in history["steps"]]),
    )
    if schedule is not None:
        schedule.last_epoch = now.step  # torch's word for the number of steps; the rates are a function of it
    print(f"train: going on from epoch {now.epoch}, batch {now.batch}", file=sys.stderr)
    return now


def _diverged(what: str, value: float, now: _Progress, optimizer: str) -> TrainingError:
    return TrainingError(
        f"{what} became {value} in epoch {now.epoch}, step {now.step}; lower "
        f"optimizers.{optimizer}.learning_rate (was {now.learning_rate:g} in this epoch)"
    )


def epoch_order(number: int, params: TrainParams, epoch: int) -> Tensor:
    """The order in which an epoch visits its samples: int64 of shape (number,).

    It depends on the seed and the epoch alone, so that training can go on from any epoch.
    """
    if not params.shuffle:
        return torch.arange(number)
    generator = torch.Generator()
    generator.manual_seed(_seed_of(params.seed, epoch))
    return torch.randperm(number, generator=generator)


def _seed_of(*key: int) -> int:
    """A seed of 63 bits for a key such as (seed, epoch, block); zeros at its end make no difference."""
    return int(np.random.SeedSequence(key).generate_state(1, np.uint64)[0]) >> 1


def score(classifier: Classifier, samples: Samples, loss_of: Loss) -> tuple[float, float]:
    """Mean loss and accuracy of the classifier's predictions."""
    samples = samples.to(device_of(classifier))
    return _loss_and_accuracy(predict(classifier, samples.images), samples.labels, loss_of)


def _score_once(classifier: Classifier, upright: Samples, loss_of: Loss) -> tuple[float, float]:
    """The same of one pass of the network over images that are upright already."""
    classifier.eval()
    with torch.inference_mode():
        batches = (classifier.inputs(images) for images in torch.split(upright.images, SCORED_AT_ONCE))
        outputs = torch.cat([classifier.network(inputs) for inputs in batches])
    return _loss_and_accuracy(outputs, upright.labels, loss_of)


def _loss_and_accuracy(outputs: Tensor, labels: Tensor, loss_of: Loss) -> tuple[float, float]:
    correct = int((outputs.argmax(dim=1) == labels).sum())
    return loss_of(outputs, labels).item(), correct / len(labels)


def examples_of(classifier: Classifier, train: Samples, params: TrainParams) -> Examples:
    """The first training images, upright if the classifier has them so, and what augmentation may make of them."""
    images = classifier.upright(train.images[:EXAMPLES])
    count = EXAMPLE_VARIANTS if params.augmentation.enabled else 0
    distorted = torch.zeros(len(images), count, *images.shape[1:], dtype=torch.uint8)
    if count:
        augment = Augmenter(images.shape[1], params.augmentation, images.device)
        alone = images.repeat_interleave(count * SHARING, dim=0)  # each version with a distortion of its own
        each = augment(alone, _seed_of(params.seed, 0, 1))[::SHARING].round().to(torch.uint8)
        distorted = each.view(distorted.shape)
    return Examples(images.numpy(), distorted.numpy())


def summary(classifier: Classifier, train: Samples, validation: Samples, history: History) -> dict[str, Any]:
    """How training ended: predictions for the rows held out, the last epoch, and the sizes of all that took part."""
    last = history.epochs[-1]
    loss_of = make_loss(classifier.params.loss)
    validation_loss, validation_accuracy = score(classifier, validation, loss_of) if len(validation) else (None, None)
    return {
        "validation_accuracy": validation_accuracy,
        "validation_loss": validation_loss,
        "train_accuracy": last.train_accuracy,
        "train_loss": last.train_loss,
        "train_rows": len(train),
        "validation_rows": len(validation),
        "parameters": sum(parameter.numel() for parameter in classifier.parameters()),
        "multiply_adds": classifier.passes * multiply_adds(classifier.network, classifier.image_side**2),
    }
