"""Batches: every sample once an epoch, in an order and with an augmentation that the seed and the epoch determine."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from mnist_pipeline.models.classifier import UNIT, new_classifier
from mnist_pipeline.training import batches
from mnist_pipeline.training.batches import Blocks, Samples, derive_seed, epoch_order, to_samples
from mnist_pipeline.training.loop import fit
from mnist_pipeline.training.summary import augmented_examples, scaling_of
from tests.conftest import DIGITS, synthetic_dataset
from tests.training.runs import CNN, SMALL, MakeParams, samples, untrained, weights_of


def test_samples_are_the_rows_asked_for_in_that_order() -> None:
    dataset = synthetic_dataset(20)
    chosen = to_samples(dataset, np.array([7, 3, 3, 19]))
    assert len(chosen) == 4
    assert np.array_equal(chosen.images.numpy(), dataset.images[[7, 3, 3, 19]])
    assert chosen.labels.tolist() == dataset.labels[[7, 3, 3, 19]].tolist()
    assert (chosen.images.dtype, chosen.labels.dtype) == (torch.uint8, torch.int64)


@pytest.mark.parametrize("block_size", [1, 8, 1024])
@pytest.mark.parametrize(
    ("rows", "batch_size", "sizes"),
    [(10, 4, [4, 4, 2]), (8, 4, [4, 4]), (9, 4, [4, 4, 1]), (3, 128, [3]), (3, 1, [1, 1, 1])],
)
def test_an_epoch_visits_every_sample_once(
    make_params: MakeParams,
    monkeypatch: pytest.MonkeyPatch,
    rows: int,
    batch_size: int,
    sizes: list[int],
    block_size: int,
) -> None:
    monkeypatch.setattr(batches, "BLOCK_SIZE", block_size)
    params = make_params({"train.batch_size": batch_size})
    numbers = torch.arange(rows)  # image and label tell the row
    classifier = new_classifier(1, DIGITS, UNIT, params.model, 0)
    blocks = Blocks(classifier, Samples(numbers.to(torch.uint8).view(rows, 1, 1), numbers), params.train)
    assert blocks.batches == len(sizes)
    for epoch in (1, 2):
        visited = [each for block in blocks.of_epoch(epoch, done=0) for each in block.batches(batch_size)]
        order = torch.cat([labels for _, labels in visited]).tolist()
        assert [len(labels) for _, labels in visited] == sizes
        assert order == epoch_order(rows, params.train, epoch).tolist()
        assert sorted(order) == list(range(rows))
        assert torch.cat([inputs for inputs, _ in visited]).mul(255).round().flatten().tolist() == order


def test_augmentation_is_new_in_every_block_and_epoch(make_params: MakeParams, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batches, "BLOCK_SIZE", 8)
    inputs = []
    for seed, epoch in ((0, 1), (0, 2), (1, 1)):
        changes = {"train.seed": seed, "train.batch_size": 4, "train.augmentation.shift": 2}
        params = make_params(SMALL | changes)
        alike = Samples(samples(1).images.expand(16, -1, -1), torch.zeros(16, dtype=torch.int64))
        inputs += [block.inputs[0] for block in Blocks(untrained(params), alike, params.train).of_epoch(epoch, done=0)]
    assert len(inputs) == 6
    assert len({tuple(each.tolist()) for each in inputs}) == 6


def test_an_epochs_order_is_that_of_the_file_or_depends_on_the_seed_and_the_epoch_alone(
    make_params: MakeParams,
) -> None:
    params = make_params().train
    torch.manual_seed(1)
    expected = epoch_order(50, params, 2)
    torch.manual_seed(2)
    state = torch.get_rng_state()
    others = [epoch_order(50, params, epoch) for epoch in (3, 1)]
    others.append(epoch_order(50, make_params({"train.seed": 2**32 - 1}).train, 2))
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.equal(epoch_order(50, make_params({"train.epochs": 99}).train, 2), expected)
    orders = [torch.arange(50), expected, *others]
    assert all(sorted(order.tolist()) == list(range(50)) for order in orders)
    assert len({tuple(order.tolist()) for order in orders}) == 5
    assert epoch_order(50, make_params({"train.shuffle": False}).train, 2).tolist() == list(range(50))
    assert max(derive_seed(0, epoch) for epoch in range(50)) < 2**63


def test_blocks_are_mixed_in_pools_of_chunks(make_params: MakeParams, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batches, "CHUNK", 5)
    monkeypatch.setattr(batches, "CHUNKS_IN_POOL", 3)
    params = make_params({"train.shuffle": "blocks"}).train
    order = epoch_order(52, params, 1)
    assert sorted(order.tolist()) == list(range(52))
    pools = [set((pool // 5).tolist()) for pool in torch.split(order, 15)]
    assert max(map(len, pools)) <= 4  # three chunks, and where the short one came before, a part of the next
    assert sum(map(len, pools)) <= 14
    assert not torch.equal(order, epoch_order(52, params, 2))
    assert (order[:15].diff().abs() > 1).any()


@pytest.mark.parametrize("changes", [{"data.deskew": True, "data.scaling": "standard"}, CNN, {"train.shards": 2}])
def test_images_in_their_file_train_to_the_same_bits(make_params: MakeParams, changes: dict[str, Any]) -> None:
    """What is read when it is needed is what would have been copied into memory."""
    params, dataset = make_params({**SMALL, "train.shuffle": "blocks", **changes}), synthetic_dataset(150)
    rows, found = np.arange(3, 140), []
    for in_memory in (True, False):
        train = to_samples(dataset, rows, in_memory=in_memory)
        classifier = new_classifier(
            8, DIGITS, scaling_of(train, params.data.scaling), params.model, 0, params.data.deskew
        )
        history = fit(classifier, train, to_samples(dataset, np.arange(3)), params.train, params.optimizers)
        examples = augmented_examples(classifier, train, params.train)["originals"]
        found.append((history, weights_of(classifier).tolist(), examples.tobytes()))
    assert found[0] == found[1]
