"""Optimizers against PyTorch's own, and schedules against their formulas."""

from __future__ import annotations

import copy
import math
from typing import Any

import pytest
import torch
from torch import nn
from torch.optim import SGD, Adam, AdamW

from mnist_pipeline.training.optimizers import make_optimizer, make_schedule
from tests.training.runs import MakeParams

SGD_NESTEROV = {"learning_rate": 0.03, "momentum": 0.8, "nesterov": True, "weight_decay": 0.01}
ADAM = {"learning_rate": 0.004, "beta1": 0.7, "beta2": 0.95, "epsilon": 1e-6, "weight_decay": 0.2}
TORCH_ADAM: dict[str, Any] = {"lr": 0.004, "betas": (0.7, 0.95), "eps": 1e-6, "weight_decay": 0.2}

OPTIMIZERS: dict[str, tuple[str, dict[str, Any], type[Any], dict[str, Any]]] = {
    "sgd": ("sgd", SGD_NESTEROV, SGD, {"lr": 0.03, "momentum": 0.8, "nesterov": True, "weight_decay": 0.01}),
    "adam": ("adam", ADAM, Adam, TORCH_ADAM),
    "adamw": ("adamw", ADAM, AdamW, TORCH_ADAM),
}


@pytest.mark.parametrize(("name", "settings", "kind", "options"), OPTIMIZERS.values(), ids=OPTIMIZERS)
def test_an_optimizer_steps_like_pytorchs_own_with_its_settings(
    make_params: MakeParams,
    name: str,
    settings: dict[str, Any],
    kind: type[Any],
    options: dict[str, Any],
) -> None:
    params = make_params({f"optimizers.{name}": settings}).optimizers
    start = torch.linspace(-1, 1, 40)
    ours, theirs = ([nn.Parameter(start[:25].clone()), nn.Parameter(start[25:].clone())] for _ in range(2))
    optimizer, expected = make_optimizer(name, params, ours), kind(theirs, fused=False, foreach=False, **options)
    assert isinstance(optimizer, kind)
    assert optimizer.param_groups[0]["fused"]
    for step in range(3):  # momentum and the moments show from the second step on
        for one, other in zip(ours, theirs, strict=True):
            one.grad = torch.sin(torch.arange(len(one)) + step)
            other.grad = one.grad.clone()
        optimizer.step()
        expected.step()
        torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-6)
        optimizer.load_state_dict(copy.deepcopy(optimizer.state_dict()))
        optimizer.zero_grad()
        assert [each.grad for each in ours] == [None, None]
    assert not torch.allclose(ours[0], start[:25])
    assert ours[0].is_leaf  # a step is no part of the next gradient


def rates_of(make_params: MakeParams, schedule: str, steps: int) -> list[float]:
    """The learning rate of each step, and the one after the last; the momentum must stay as it is."""
    params = make_params({"optimizers.sgd": {**SGD_NESTEROV, "learning_rate": 0.4}}).optimizers
    optimizer = make_optimizer("sgd", params, [nn.Parameter(torch.zeros(1))])
    scheduler = make_schedule(schedule, optimizer, steps)
    rates = [optimizer.param_groups[0]["lr"]]
    for _ in range(steps):
        optimizer.step()
        scheduler.step()
        rates.append(optimizer.param_groups[0]["lr"])
        assert optimizer.param_groups[0]["momentum"] == 0.8
    return rates


def cosine(start: float, end: float, part: float) -> float:
    return end + (start - end) * (1 + math.cos(math.pi * part)) / 2


SCHEDULES = {
    "constant": [0.4] * 101,
    "cosine": [cosine(0.4, 0, step / 100) for step in range(101)],
    "one_cycle": [
        *(cosine(0.4 / 25, 0.4, step / 29) for step in range(30)),
        *(cosine(0.4, 0.4 / 25 / 1e4, step / 70) for step in range(1, 71)),
    ],
}


@pytest.mark.parametrize("schedule", SCHEDULES)
def test_a_schedule_gives_the_rates_of_its_formula(make_params: MakeParams, schedule: str) -> None:
    expected = SCHEDULES[schedule]
    assert rates_of(make_params, schedule, 100)[: len(expected)] == pytest.approx(expected, abs=1e-12)
    for steps in (1, 2, 4):
        assert all(0 < rate <= 0.4 for rate in rates_of(make_params, schedule, steps)[:-1])
