"""Shards: pieces of a batch whose gradients are added in a fixed order, by however many threads and processes.

A batch is divided into a number of shards, which is a setting. Each runs through a replica of the network that shares
its weights, by kernels on one thread. Losses, gradients and running statistics of the batch are means over its shards,
added in their order. So the bits are a function of the settings, whichever cores and machines compute the shards.
"""

from __future__ import annotations

import copy
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from functools import partial
from typing import TypeVar, cast

import torch
from torch import Tensor, distributed, nn

from mnist_pipeline.core.errors import PipelineError
from mnist_pipeline.core.numerics import threads

T = TypeVar("T")
Forward = Callable[[nn.Module, Tensor, Tensor], tuple[Tensor, Tensor]]
"""From a network, inputs and labels, (b,), to the mean loss, (), and the outputs, (b, classes)."""

PATIENCE = timedelta(minutes=5)  # with other processes


class Shards:
    """Computes the gradients of batches, shard by shard.

    Of several processes, each computes its part of the shards, and all get the same gradients.

    Args:
        network: whose gradients are wanted.
        number: of shards in a batch. A batch that does not divide into so many equal shards of two samples or more is
            one shard.

    Raises:
        PipelineError: several processes cannot have equally many shards, or train on a GPU.
    """

    def __init__(self, network: nn.Module, number: int) -> None:
        processes = distributed.get_world_size() if distributed.is_initialized() else 1
        if number % processes:
            raise PipelineError(f"train.shards must be a multiple of the {processes} processes, was {number}")
        if processes > 1 and next(network.parameters()).device.type != "cpu":
            raise PipelineError("several processes train on CPUs only; use runtime.device: cpu")
        self._number, self._own, self._first = number, number // processes, rank() * number // processes
        self._replicas = [network, *(_replica(network) for _ in range(self._own - 1))]
        self._weights = [list(replica.parameters()) for replica in self._replicas]
        self._statistics = [[each for each in one.buffers() if each.is_floating_point()] for one in self._replicas]

    def backward(self, forward: Forward, inputs: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        """Compute the gradients of the mean loss of a batch; return that loss, (), and the outputs, (b, classes).

        Batch norm normalises each shard by its own mean and variance (ghost batch norm, Hoffer et al. 2017).
        """
        size, rest = divmod(len(labels), self._number)
        if self._number == 1 or rest or size < 2:
            return _backward(forward, self._replicas[0], inputs, labels)
        for weights, statistics in zip(self._weights[1:], self._statistics[1:], strict=True):
            for weight in weights:
                weight.grad = None
            if statistics:
                torch._foreach_copy_(statistics, self._statistics[0])
        own = slice(self._first, self._first + self._own)
        pieces = self._replicas, torch.split(inputs, size)[own], torch.split(labels, size)[own]
        results = threads.in_order(partial(_backward, forward), *pieces)
        shards = [
            [outputs, loss, *statistics, *(weight.grad for weight in weights if weight.grad is not None)]
            for (loss, outputs), statistics, weights in zip(results, self._statistics, self._weights, strict=True)
        ]
        every = shards if self._own == self._number else self._exchange(shards)
        total = every[0][1:]
        for shard in every[1:]:
            torch._foreach_add_(total, shard[1:])
        torch._foreach_div_(total, self._number)
        if every is not shards:
            torch._foreach_copy_(shards[0][1:], total)
        return total[0], torch.cat([shard[0] for shard in every])

    def _exchange(self, own: list[list[Tensor]]) -> list[list[Tensor]]:
        """Return the tensors of the shards of all processes, in their order."""
        rows = torch.stack([torch.cat([each.flatten() for each in shard]) for shard in own])  # (own, n)
        every = rows.new_empty(self._number, rows.shape[1])
        with _connected():
            distributed.all_gather_single(every, rows)
        sizes = [each.numel() for each in own[0]]
        return [
            [part.view_as(like) for part, like in zip(torch.split(row, sizes), own[0], strict=True)] for row in every
        ]


def _replica(network: nn.Module) -> nn.Module:
    """Return a copy of a network with the same weights in memory, and gradients of its own."""
    replica = copy.deepcopy(network).train()
    for own, shared in zip(replica.parameters(), network.parameters(), strict=True):
        own.data = shared.data
    return replica


def _backward(forward: Forward, network: nn.Module, inputs: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    loss, outputs = forward(network, inputs, labels)
    loss.backward()  # type: ignore[no-untyped-call]
    return loss.detach(), outputs.detach()


@contextmanager
def joined_processes() -> Iterator[bool]:
    """Join the other processes of this training, if the environment names some, as torchrun does; part at the end.

    Yields:
        Whether this is the first process, which writes what training writes.

    Raises:
        PipelineError: they cannot be reached.
    """
    if int(os.environ.get("WORLD_SIZE", "1")) == 1:
        yield True
        return
    with _connected():
        distributed.init_process_group("gloo", timeout=PATIENCE)
    try:
        yield rank() == 0
    finally:
        distributed.destroy_process_group()


@contextmanager
def _connected() -> Iterator[None]:
    try:
        yield
    except (RuntimeError, ValueError) as error:
        raise PipelineError(
            f"another process of this training has ended or cannot be reached ({error}); start all of them again, or "
            "another number: training resumes from its last checkpoint"
        ) from None


def rank() -> int:
    """Return the number of this process among those of this training; the first is 0."""
    return distributed.get_rank() if distributed.is_initialized() else 0


def is_distributed() -> bool:
    """Whether several processes train together."""
    return distributed.is_initialized()


def from_first(compute: Callable[[], T]) -> T:
    """Return what a function returns in the first process; it is called there alone."""
    if not distributed.is_initialized():
        return compute()
    box = [compute() if rank() == 0 else None]
    with _connected():
        distributed.broadcast_object_list(box)
    return cast("T", box[0])
