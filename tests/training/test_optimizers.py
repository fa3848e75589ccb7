"""Losses, optimizers and schedules against hand-computed numbers and PyTorch's own."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn
from torch.optim import SGD, Adam, AdamW, Optimizer

from mnist_pipeline.training.optimizers import (
    _binary_cross_entropy_without_sync,
    make_loss,
    make_optimizer,
    make_schedule,
    make_step,
)
from mnist_pipeline.params.schema import OptimizersParams, Params, TrainParams

MakeParams = Callable[..., Params]


@pytest.mark.parametrize(
    ("name", "outputs", "labels", "expected"),
    [
        ("mse", [[0.5, 0.0, 1.0], [0.0, 0.0, 0.0]], [2, 0], (0.25 + 1) / 6),
        ("mse", [[-1.0, 3.0]], [1], (1 + 4) / 2),
        ("bce", [[0.5, 0.25]], [0], -(math.log(0.5) + math.log(0.75)) / 2),
        ("bce", [[0.5, 0.25], [0.1, 0.1]], [1, 0], -(math.log(0.5 * 0.25) + math.log(0.1 * 0.9)) / 4),
        ("bce", [[0.0, 1.0]], [0], 100.0),  # torch cuts the logarithm off at -100
        ("cross_entropy", [[math.log(2), 0.0, 0.0]], [0], math.log(2)),
        ("cross_entropy", [[math.log(2), 0.0, 0.0], [5.0, 5.0, 5.0]], [1, 2], (math.log(4) + math.log(3)) / 2),
    ],
    ids=["mse", "mse-far", "bce", "bce-two", "bce-certain", "cross-entropy", "cross-entropy-two"],
)
def test_loss_by_hand(name: str, outputs: list[list[float]], labels: list[int], expected: float) -> None:
    assert make_loss(name)(torch.tensor(outputs), torch.tensor(labels)).item() == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize(
    ("name", "reference"), [("mse", nn.MSELoss()), ("bce", nn.BCELoss()), ("cross_entropy", nn.CrossEntropyLoss())]
)
def test_loss_and_its_gradient_are_those_of_torchs_own_class(name: str, reference: nn.Module) -> None:
    generator = torch.Generator().manual_seed(1)
    labels = torch.randint(0, 5, (16,), generator=generator)
    one_hot = torch.zeros(16, 5)
    one_hot[torch.arange(16), labels] = 1.0
    outputs = torch.rand(16, 5, generator=generator).requires_grad_()
    copied = outputs.detach().clone().requires_grad_()
    loss = make_loss(name)(outputs, labels)
    expected = reference(copied, labels if name == "cross_entropy" else one_hot)
    loss.backward()  # type: ignore[no-untyped-call]
    expected.backward()
    assert torch.equal(loss, expected)
    assert copied.grad is not None
    assert outputs.grad is not None
    assert torch.equal(outputs.grad, copied.grad)
    assert bool((outputs.grad != 0).any())


@pytest.mark.parametrize("name", ["mse", "bce", "cross_entropy"])
def test_loss_of_nan_is_nan(name: str) -> None:
    outputs = torch.full((2, 3), math.nan, requires_grad=True)
    loss = make_loss(name)(outputs, torch.tensor([0, 1]))
    assert math.isnan(loss.item())
    loss.backward()  # type: ignore[no-untyped-call]


@pytest.mark.parametrize("missing", [False, True])
def test_bce_without_synchronisation_is_the_same(missing: bool) -> None:
    outputs = torch.rand(16, 5, generator=torch.Generator().manual_seed(1))
    outputs[3, 2] = math.nan if missing else 0.25
    labels = torch.arange(16) % 5
    one, other = (outputs.clone().requires_grad_() for _ in range(2))
    expected = make_loss("bce")(one, labels)
    found = _binary_cross_entropy_without_sync(other, labels)
    assert torch.equal(expected.isnan(), torch.tensor(missing))
    torch.testing.assert_close(found, expected, rtol=0, atol=0, equal_nan=True)
    found.backward()  # type: ignore[no-untyped-call]
    if not missing:
        expected.backward()  # type: ignore[no-untyped-call]
        assert one.grad is not None
        assert other.grad is not None
        assert torch.equal(one.grad, other.grad)


def test_unknown_names_are_refused(make_params: MakeParams) -> None:
    with pytest.raises(ValueError, match="unknown loss 'hinge'"):
        make_loss("hinge")
    with pytest.raises(ValueError, match="unknown optimizer 'lion'"):
        make_optimizer("lion", make_params().optimizers, [nn.Parameter(torch.zeros(1))])


def optimizers_params(make_params: MakeParams, name: str, settings: dict[str, Any]) -> OptimizersParams:
    return make_params({f"optimizers.{name}.{key}": value for key, value in settings.items()}).optimizers


SGD_PLAIN = {"learning_rate": 0.03, "momentum": 0.0, "nesterov": False, "weight_decay": 0.0}
SGD_HEAVY = {"learning_rate": 0.03, "momentum": 0.8, "nesterov": False, "weight_decay": 0.01}
SGD_NESTEROV = {"learning_rate": 0.03, "momentum": 0.8, "nesterov": True, "weight_decay": 0.01}
ADAM = {"learning_rate": 0.004, "beta1": 0.7, "beta2": 0.95, "epsilon": 1e-6, "weight_decay": 0.0}
ADAM_DECAY = {"learning_rate": 0.004, "beta1": 0.7, "beta2": 0.95, "epsilon": 1e-6, "weight_decay": 0.2}

OPTIMIZERS: list[tuple[str, str, dict[str, Any], type[Optimizer]]] = [
    ("sgd", "sgd", SGD_PLAIN, SGD),
    ("sgd-momentum", "sgd", SGD_HEAVY, SGD),
    ("sgd-nesterov", "sgd", SGD_NESTEROV, SGD),
    ("adam", "adam", ADAM, Adam),
    ("adam-decay", "adam", ADAM_DECAY, Adam),
    ("adamw", "adamw", ADAM_DECAY, AdamW),
]
EACH_OPTIMIZER = pytest.mark.parametrize(
    ("name", "settings", "kind"), [each[1:] for each in OPTIMIZERS], ids=[each[0] for each in OPTIMIZERS]
)


def torchs_names(name: str, settings: dict[str, Any]) -> dict[str, Any]:
    """The settings as torch names them."""
    given = dict(settings)
    result: dict[str, Any] = {"lr": given.pop("learning_rate")}
    if name != "sgd":
        result |= {"betas": (given.pop("beta1"), given.pop("beta2")), "eps": given.pop("epsilon")}
    return result | given


@EACH_OPTIMIZER
def test_optimizer_has_exactly_its_settings(
    make_params: MakeParams, name: str, settings: dict[str, Any], kind: type[Optimizer]
) -> None:
    parameters = [nn.Parameter(torch.zeros(3)), nn.Parameter(torch.zeros(2, 2))]
    optimizer = make_optimizer(name, optimizers_params(make_params, name, settings), parameters)
    assert type(optimizer) is kind
    expected = kind(parameters, fused=True, **torchs_names(name, settings))  # type: ignore[call-arg]
    assert len(optimizer.param_groups) == 1
    group = optimizer.param_groups[0]
    assert [id(parameter) for parameter in group["params"]] == [id(parameter) for parameter in parameters]
    assert {key: value for key, value in group.items() if key != "params"} == {
        key: value for key, value in expected.param_groups[0].items() if key != "params"
    }


@EACH_OPTIMIZER
def test_fused_steps_are_those_of_the_unfused_optimizer(
    make_params: MakeParams, name: str, settings: dict[str, Any], kind: type[Optimizer]
) -> None:
    generator = torch.Generator().manual_seed(2)
    start = torch.randn(40, generator=generator)
    ours, theirs = nn.Parameter(start.clone()), nn.Parameter(start.clone())
    fused = make_optimizer(name, optimizers_params(make_params, name, settings), [ours])
    plain = kind([theirs], fused=False, foreach=False, **torchs_names(name, settings))  # type: ignore[call-arg]
    for _ in range(3):  # momentum and the moments show from the second step on
        before = ours.detach().clone()
        gradient = torch.randn(40, generator=generator)
        ours.grad, theirs.grad = gradient.clone(), gradient.clone()
        fused.step()
        plain.step()
        assert not torch.equal(ours, before)
        torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-6)


def test_each_optimizer_reads_its_own_section(make_params: MakeParams) -> None:
    changes = {"optimizers.sgd.learning_rate": 0.1, "optimizers.adam.learning_rate": 0.2}
    params = make_params({**changes, "optimizers.adamw.learning_rate": 0.3}).optimizers
    rates = {
        name: make_optimizer(name, params, [nn.Parameter(torch.zeros(1))]).param_groups[0]["lr"]
        for name in ("sgd", "adam", "adamw")
    }
    assert rates == {"sgd": 0.1, "adam": 0.2, "adamw": 0.3}


def rates_of(make_params: MakeParams, schedule: str, steps: int, learning_rate: float = 0.4) -> list[float]:
    """The learning rate of each step, and the one after the last; the momentum must stay as it is."""
    params: TrainParams = make_params({"train.schedule": schedule}).train
    settings = {**SGD_NESTEROV, "learning_rate": learning_rate}
    optimizer = make_optimizer("sgd", optimizers_params(make_params, "sgd", settings), [nn.Parameter(torch.zeros(1))])
    scheduler = make_schedule(params, optimizer, steps)
    rates = [optimizer.param_groups[0]["lr"]]
    for _ in range(steps):
        optimizer.step()
        if scheduler is not None:
            scheduler.step()
        rates.append(optimizer.param_groups[0]["lr"])
        assert optimizer.param_groups[0]["momentum"] == 0.8
    return rates


def test_constant_schedule(make_params: MakeParams) -> None:
    assert rates_of(make_params, "constant", 20) == [0.4] * 21


def test_cosine_schedule(make_params: MakeParams) -> None:
    expected = [0.4 * (1 + math.cos(math.pi * step / 20)) / 2 for step in range(21)]
    assert rates_of(make_params, "cosine", 20) == pytest.approx(expected, abs=1e-12)


def test_one_cycle_schedule(make_params: MakeParams) -> None:
    def between(start: float, end: float, part: float) -> float:
        return end + (start - end) * (1 + math.cos(math.pi * part)) / 2

    steps, peak = 100, 29  # 30 % of the steps, counted from 0
    first, last = 0.4 / 25, 0.4 / 25 / 1e4
    expected = [
        between(first, 0.4, step / peak) if step <= peak else between(0.4, last, (step - peak) / (steps - 1 - peak))
        for step in range(steps)
    ]
    rates = rates_of(make_params, "one_cycle", steps)[:-1]
    assert rates == pytest.approx(expected, abs=1e-12)
    assert rates[0] == pytest.approx(0.4 / 25)
    assert max(rates) == rates[peak] == pytest.approx(0.4)
    assert 0 < rates[-1] < 1e-5


@pytest.mark.parametrize("schedule", ["constant", "cosine", "one_cycle"])
@pytest.mark.parametrize("steps", [1, 2, 3, 4, 10])
def test_schedules_of_few_steps(make_params: MakeParams, schedule: str, steps: int) -> None:
    rates = rates_of(make_params, schedule, steps)[:-1]
    assert len(rates) == steps
    assert all(0 < rate <= 0.4 for rate in rates)


@pytest.mark.parametrize("name", ["sgd", "adam", "adamw"])
def test_the_bare_step_is_the_optimizers_own(make_params: Callable[..., Params], name: str) -> None:
    optimizers = make_params().optimizers
    inputs, results = torch.rand(8, 5, generator=torch.Generator().manual_seed(1)), []
    for bare in (False, True):
        torch.manual_seed(0)
        layer = nn.Linear(5, 3)
        optimizer = make_optimizer(name, optimizers, layer.parameters())
        step = make_step(optimizer) if bare else optimizer.step
        for _ in range(5):
            optimizer.zero_grad()
            layer(inputs).square().sum().backward()
            step()
        results.append(layer.weight.detach().clone())
    assert torch.equal(*results)
