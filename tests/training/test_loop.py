"""The training loop: the weights and losses of a plain loop, the same bits for the same seed, networks that learn."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812 -- its customary name
from torch.optim import SGD, Adam, Optimizer
from torch.optim.lr_scheduler import ConstantLR, LRScheduler, OneCycleLR

from mnist_pipeline.models.deskew import deskewed
from mnist_pipeline.training import batches
from mnist_pipeline.training.batches import Samples
from mnist_pipeline.training.loop import fit
from tests.training.runs import CNN, NOTHING, SMALL, MakeParams, samples, trained, untrained, weights_of

Loss = Callable[[Tensor, Tensor], Tensor]
ONE_BY_ONE = {"train.batch_size": 1, "train.schedule": "constant", "optimizers.adam.learning_rate": 0.001}
NESTEROV = {"learning_rate": 0.2, "momentum": 0.9, "nesterov": True, "weight_decay": 0.0005}
PLAIN_SGD = {"learning_rate": 0.01, "momentum": 0.0, "nesterov": False, "weight_decay": 0.0}
SIGMOIDS = {"model.hidden_activation": "sigmoid", "model.output_activation": "sigmoid"}
LEAKY = nn.LeakyReLU(0.02)

LOOPS: dict[str, tuple[dict[str, Any], list[nn.Module], Loss, Callable[..., Optimizer]]] = {
    "the tutorial's start": (
        ONE_BY_ONE | SIGMOIDS | {"model.mlp.layer_norm": False, "model.loss": "mse", "optimizers.sgd": PLAIN_SGD},
        [nn.Sigmoid(), nn.Linear(12, 10), nn.Sigmoid()],
        F.mse_loss,
        partial(SGD, lr=0.01),
    ),
    "the tutorial's end": (
        ONE_BY_ONE | {"model.output_activation": "sigmoid", "model.loss": "bce", "model.optimizer": "adam"},
        [LEAKY, nn.LayerNorm(12), nn.Linear(12, 10), nn.Sigmoid()],
        F.binary_cross_entropy,
        Adam,
    ),
    **{
        f"batches of {size}": (
            {"train.batch_size": size, "train.schedule": "one_cycle", "optimizers.sgd": NESTEROV},
            [LEAKY, nn.LayerNorm(12), nn.Linear(12, 10)],
            F.cross_entropy,
            partial(SGD, lr=0.2, momentum=0.9, nesterov=True, weight_decay=0.0005),
        )
        for size in (7, 25, 500)
    },
}


@pytest.mark.parametrize(("changes", "layers", "loss_of", "make_optimizer"), LOOPS.values(), ids=LOOPS)
def test_training_gives_the_weights_losses_and_rates_of_a_plain_loop(
    make_params: MakeParams,
    changes: dict[str, Any],
    layers: list[nn.Module],
    loss_of: Loss,
    make_optimizer: Callable[..., Optimizer],
) -> None:
    params, train = make_params(SMALL | {"train.shuffle": False, "train.log_every": 3} | changes), samples(100)
    classifier, history = trained(params, train)

    network = nn.Sequential(nn.Linear(64, 12), *layers)
    network.load_state_dict(untrained(params).network.state_dict())
    optimizer, size = make_optimizer(network.parameters()), params.train.batch_size
    steps = 2 * math.ceil(100 / size)
    schedule: LRScheduler = ConstantLR(optimizer, 1.0)
    if params.train.schedule == "one_cycle":
        schedule = OneCycleLR(optimizer, 0.2, total_steps=steps, cycle_momentum=False)
    inputs, targets = train.images.flatten(1) / 255.0, torch.eye(10)[train.labels]
    losses, rates, means = [], [], []
    for _ in range(2):
        rates.append(optimizer.param_groups[0]["lr"])
        total = 0.0
        for batch, target in zip(torch.split(inputs, size), torch.split(targets, size), strict=True):
            loss = loss_of(network(batch), target)
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            schedule.step()
            losses.append(loss.item())
            total += loss.item() * len(batch)
        means.append(total / 100)

    torch.testing.assert_close(weights_of(classifier), weights_of(network), rtol=0, atol=1e-5)
    logged = list(range(3, steps + 1, 3))
    assert [step.step for step in history.steps] == logged
    assert [step.loss for step in history.steps] == pytest.approx([losses[step - 1] for step in logged], abs=1e-5)
    assert [epoch.epoch for epoch in history.epochs] == [1, 2]
    assert [epoch.train_loss for epoch in history.epochs] == pytest.approx(means, abs=1e-5)
    assert [epoch.learning_rate for epoch in history.epochs] == pytest.approx(rates)
    assert not classifier.training


@pytest.mark.parametrize(
    "changes",
    [{}, {"model.optimizer": "adamw"}, {"model.loss": "bce", "model.output_activation": "sigmoid"}, CNN],
    ids=["default", "adamw", "bce", "cnn"],
)
def test_a_network_learns(make_params: MakeParams, changes: dict[str, Any]) -> None:
    params = make_params({"model.mlp.hidden_units": [30], "train.epochs": 6, "train.batch_size": 32, **changes})
    _, history = trained(params, samples(600), samples(200, seed=1))
    last = history.epochs[-1]
    assert min(last.train_accuracy, last.validation_accuracy or 0) > 0.95
    assert last.train_loss < history.epochs[0].train_loss / 2


@pytest.mark.parametrize("shuffle", [True, False])
def test_the_seed_determines_every_bit(make_params: MakeParams, shuffle: bool) -> None:
    runs = []
    for before, seed in ((1, 7), (2, 7), (2, 8)):
        torch.manual_seed(before)
        params = make_params({**SMALL, "train.shuffle": shuffle, "train.seed": seed})
        classifier, history = trained(params, samples(100), samples(30, seed=1))
        runs.append((weights_of(classifier), history))
    assert torch.equal(runs[0][0], runs[1][0])
    assert runs[0][1] == runs[1][1]
    assert not torch.allclose(runs[0][0], runs[2][0], atol=1e-3)


@pytest.mark.parametrize("size", [1, 8, 50, 10_000])
def test_the_size_of_blocks_changes_nothing(
    make_params: MakeParams, monkeypatch: pytest.MonkeyPatch, size: int
) -> None:
    params = make_params({**SMALL, "train.batch_size": 8, "train.log_every": 3})
    expected, history = trained(params, samples(100), samples(20, seed=1))
    monkeypatch.setattr(batches, "BLOCK_SIZE", size)
    classifier, same = trained(params, samples(100), samples(20, seed=1))
    assert same == history
    assert torch.equal(weights_of(classifier), weights_of(expected))


def test_validation_does_not_change_training(make_params: MakeParams) -> None:
    one, two = (trained(make_params(SMALL | CNN), samples(100), each)[0] for each in (samples(30, seed=1), NOTHING))
    assert torch.equal(weights_of(one), weights_of(two))


@pytest.mark.parametrize("held_out", [80, 0])
def test_training_with_deskewing_is_training_on_deskewed_images(make_params: MakeParams, held_out: int) -> None:
    params = make_params(SMALL | {"train.augmentation.shift": 1})
    train, validation = samples(200), samples(80, seed=9) if held_out else NOTHING
    classifier = untrained(params, deskew=True)
    history = fit(classifier, train, validation, params.train, params.optimizers)
    upright, upright_validation = (Samples(deskewed(each.images), each.labels) for each in (train, validation))
    expected, expected_history = trained(params, upright, upright_validation)
    assert torch.equal(weights_of(classifier), weights_of(expected))
    assert history == expected_history


def test_mixed_precision_computes_in_bfloat16_and_keeps_float32_weights(make_params: MakeParams) -> None:
    params = make_params(CNN | {"train.epochs": 4, "train.batch_size": 32, "optimizers.sgd.learning_rate": 0.1})
    seen: set[tuple[bool, torch.dtype]] = set()
    runs = []
    for mixed in (True, True, False):
        classifier = untrained(params)
        for module in classifier.modules():
            if isinstance(module, nn.Conv2d) and mixed:
                module.register_forward_hook(lambda layer, _, output: seen.add((layer.training, output.dtype)))
        data = samples(600), samples(200, seed=1)
        history = fit(classifier, *data, params.train, params.optimizers, mixed_precision=mixed)
        assert (history.epochs[-1].validation_accuracy or 0) > 0.95
        assert {tensor.dtype for tensor in classifier.state_dict().values()} <= {torch.float32, torch.int64}
        runs.append((weights_of(classifier), history))
    assert seen == {(True, torch.bfloat16), (False, torch.float32)}
    assert torch.equal(runs[0][0], runs[1][0])
    assert runs[0][1] == runs[1][1]
    assert not torch.equal(runs[0][0], runs[2][0])
