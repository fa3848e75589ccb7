"""Shards: the gradients of a plain loop over them, and the same bits whoever computes them."""

from __future__ import annotations

import copy
import math
from typing import Any

import pytest
import torch
from torch import Tensor, distributed, nn
from torch.nn import functional as F  # noqa: N812 -- its customary name

from mnist_pipeline.core.errors import PipelineError
from mnist_pipeline.core.numerics import threads
from mnist_pipeline.training import batches
from mnist_pipeline.training.loop import fit
from mnist_pipeline.training.optimizers import make_optimizer, make_schedule
from mnist_pipeline.training.shards import Shards
from tests.training.runs import CNN, SMALL, MakeParams, samples, trained, untrained, weights_of


@pytest.mark.parametrize("rows", [90, 100])  # the last batch: 26, which is no multiple of 4; 4, too few for 4
@pytest.mark.parametrize(("changes", "number"), [({}, 4), (CNN, 2), (CNN, 4)], ids=["mlp, 4", "cnn, 2", "cnn, 4"])
def test_training_is_that_of_a_plain_loop_over_copies_of_the_network(
    make_params: MakeParams, changes: dict[str, Any], number: int, rows: int
) -> None:
    """Bit for bit: each shard on a copy of its own, all means over the shards in their order."""
    params, train = make_params(SMALL | changes | {"train.shards": number, "train.shuffle": False}), samples(rows)
    classifier, history = trained(params, train)
    network = untrained(params).network
    optimizer = make_optimizer("sgd", params.optimizers, network.parameters())
    schedule = make_schedule("one_cycle", optimizer, steps=2 * math.ceil(rows / 32))
    for epoch in history.epochs:
        total = 0.0
        for inputs, labels in zip(torch.split(train.images, 32), torch.split(train.labels, 32), strict=True):
            pieces = number if len(labels) % number == 0 and len(labels) >= 2 * number else 1
            shards = [copy.deepcopy(network) for _ in range(pieces)]
            for shard, pixels, truth in zip(shards, inputs.chunk(pieces), labels.chunk(pieces), strict=True):
                loss = F.cross_entropy(shard(pixels.flatten(1) / 255.0), truth)
                loss.backward()  # type: ignore[no-untyped-call]
                total += loss.item() * len(truth)
            for own, *theirs in zip(network.parameters(), *(each.parameters() for each in shards), strict=True):
                own.grad = mean_of([each.grad for each in theirs])
            for buffer, *others in zip(network.buffers(), *(each.buffers() for each in shards), strict=True):
                buffer.copy_(mean_of(others))
            optimizer.step()
            schedule.step()
        assert epoch.train_loss == pytest.approx(total / rows, rel=1e-6)
    assert torch.equal(weights_of(classifier.network), weights_of(network))


def mean_of(tensors: list[Any]) -> Tensor:
    """The mean, added in order."""
    total: Tensor = sum(tensors[1:], start=tensors[0])
    return (total / len(tensors)).to(total.dtype)


RUNS: dict[str, dict[str, Any]] = {
    "mlp": {},
    "one shard, augmented": {"train.shards": 1, "train.augmentation.elastic_alpha": 8},
    "deskewed": {"train.augmentation.shift": 1},
    "mse, adam": {"model.loss": "mse", "model.optimizer": "adam"},
    "bce, adamw": {"model.loss": "bce", "model.output_activation": "sigmoid", "model.optimizer": "adamw"},
    "cnn": CNN,
    "cnn, augmented": CNN | {"train.augmentation.elastic_alpha": 8},
    "cnn, in bfloat16": CNN,
}


@pytest.mark.parametrize("name", RUNS)
def test_the_number_of_threads_changes_no_bit(
    make_params: MakeParams, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setattr(batches, "BLOCK_SIZE", 64)
    params, found = make_params(SMALL | {"train.shards": 4} | RUNS[name]), []
    for number in (1, 2, 4):
        monkeypatch.setattr(threads, "number", number)
        classifier, validation = untrained(params, deskew=name == "deskewed"), samples(40, seed=1)
        history = fit(
            classifier, samples(200), validation, params.train, params.optimizers, mixed_precision="bfloat16" in name
        )
        found.append((weights_of(classifier), history))
    for weights, history in found[1:]:
        assert torch.equal(weights, found[0][0])
        assert history == found[0][1]


@pytest.mark.parametrize(("shards", "processes"), [(1, 2), (4, 3)])
def test_processes_that_cannot_share_the_shards_equally_are_refused(
    monkeypatch: pytest.MonkeyPatch, shards: int, processes: int
) -> None:
    monkeypatch.setattr(distributed, "is_initialized", lambda: True)
    monkeypatch.setattr(distributed, "get_world_size", lambda: processes)
    with pytest.raises(PipelineError, match=rf"^train\.shards must be .* the {processes} processes, was {shards}$"):
        Shards(nn.Linear(1, 1), shards)
