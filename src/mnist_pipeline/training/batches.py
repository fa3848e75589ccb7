"""Batches: the samples of each epoch in their order, augmented if so configured."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mnist_pipeline.core.numerics import threads
from mnist_pipeline.data.dataset import Dataset
from mnist_pipeline.models.classifier import Classifier, device_of
from mnist_pipeline.params.run import TrainParams
from mnist_pipeline.training.augmentation import Augmentation

# Batches are gathered, scaled and recorded in blocks of about so many samples: the work of a block costs next to
# nothing a batch, even where a batch is one sample, and the host waits for a GPU only at the end of a block.
BLOCK_SIZE = 1024

# Shuffling in blocks: so many rows that lie side by side, and so many of those together, about 50 MB of MNIST.
CHUNK, CHUNKS_IN_POOL = 1024, 64


@dataclass(frozen=True)
class Samples:
    """Images and their labels.

    Attributes:
        images: uint8 (n, side, side); with ``rows``, (m, side, side) in a file, of which pages are read at use.
        labels: int64 (n,).
        rows: which of the images are the samples, int64 (n,); None: all.
    """

    images: Tensor
    labels: Tensor
    rows: Tensor | None = None

    def __len__(self) -> int:
        return len(self.labels)

    def to(self, device: torch.device) -> Samples:
        """Return the samples on another device, unless they stay in their file."""
        return self if self.rows is not None else Samples(self.images.to(device), self.labels.to(device))

    def images_at(self, places: Tensor) -> Tensor:
        """Return the images of some samples, by their places, int64 (b,)."""
        # A fifth of the time of indexing.
        return self.images.index_select(0, places if self.rows is None else self.rows.index_select(0, places))


def to_samples(dataset: Dataset, rows: NDArray[np.int64], *, in_memory: bool = True) -> Samples:
    """Return some rows of a data set, in that order: copied into memory, or left in the file."""
    labels = torch.from_numpy(dataset.labels[rows].astype(np.int64))
    if in_memory:
        return Samples(torch.from_numpy(dataset.images[rows]), labels)
    return Samples(torch.from_numpy(dataset.images), labels, torch.from_numpy(rows))


def upright_samples(classifier: Classifier, samples: Samples) -> Samples:
    """Deskew samples if the classifier does so."""
    return Samples(classifier.upright(samples.images), samples.labels)


@dataclass(frozen=True)
class Block:
    """The samples of some batches: inputs, float32 (b, side²), and labels, int64 (b,)."""

    inputs: Tensor
    labels: Tensor

    def batches(self, size: int) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield the inputs and labels of one batch after the other."""
        return zip(torch.split(self.inputs, size), torch.split(self.labels, size), strict=True)


class Blocks:
    """The samples of each epoch in blocks of whole batches.

    Attributes:
        batches: how many an epoch has.
    """

    def __init__(self, classifier: Classifier, train: Samples, params: TrainParams) -> None:
        self._classifier, self._params = classifier, params
        self._train = train if train.rows is not None else upright_samples(classifier, train)
        self._device = device_of(classifier)
        strengths = params.augmentation
        self._augment = Augmentation(classifier.image_side, strengths, self._device) if strengths.enabled else None
        self.batches = math.ceil(len(train) / params.batch_size)
        size = BLOCK_SIZE if self._device.type == "cpu" or train.rows is not None else len(train)
        self._batches_in_block = max(1, size // params.batch_size)

    def of_epoch(self, epoch: int, done: int) -> Iterator[Block]:
        """Yield the blocks of an epoch without its first ``done`` batches.

        Another thread, if there is one, reads from a file or augments the next block while one is used. What is only
        gathered is faster read from the caches of the core that gathered it.
        """
        order = epoch_order(len(self._train), self._params, epoch).to(self._train.labels.device)
        blocks = torch.split(order, self._batches_in_block * self._params.batch_size)  # (b,) each
        first = math.ceil(done / self._batches_in_block)
        seeds = (derive_seed(self._params.seed, epoch, number + 1) for number in range(first, len(blocks)))
        in_turn = map if self._augment is None and self._train.rows is None else threads.one_ahead
        return in_turn(self._block, blocks[first:], seeds)

    def _block(self, rows: Tensor, seed: int) -> Block:
        images = self._train.images_at(rows).to(self._device)  # (b, side, side)
        labels = self._train.labels.index_select(0, rows).to(self._device)  # (b,)
        if self._train.rows is not None:
            images = self._classifier.upright(images)
        if self._augment is not None:
            images = self._augment(images, seed)
        return Block(self._classifier.inputs(images), labels)


def epoch_order(number: int, params: TrainParams, epoch: int) -> Tensor:
    """Return the order in which an epoch visits its samples: int64 of shape (number,).

    It depends on the seed and the epoch alone, so that training can resume at any epoch. Shuffled in blocks, chunks of
    samples that lie side by side come in random order, and some of them at a time are mixed, sample by sample.
    """
    if not params.shuffle:
        return torch.arange(number)
    generator = torch.Generator()
    generator.manual_seed(derive_seed(params.seed, epoch))
    if params.shuffle != "blocks":
        return torch.randperm(number, generator=generator)
    chunks = torch.randperm(math.ceil(number / CHUNK), generator=generator)
    order = (chunks[:, None] * CHUNK + torch.arange(CHUNK)).view(-1)
    pools = torch.split(order[order < number], CHUNKS_IN_POOL * CHUNK)
    return torch.cat([pool[torch.randperm(len(pool), generator=generator)] for pool in pools])


def derive_seed(*key: int) -> int:
    """Return a seed of 63 bits for a key such as (seed, epoch, block); zeros at its end make no difference."""
    return int(np.random.SeedSequence(key).generate_state(1, np.uint64)[0]) >> 1
