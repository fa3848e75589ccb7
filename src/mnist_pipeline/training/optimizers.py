"""Optimizers and learning-rate schedules by name."""

from __future__ import annotations

import inspect
from collections.abc import Iterable
from typing import TypeVar

import torch
from torch import nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import ConstantLR, CosineAnnealingLR, LRScheduler, OneCycleLR

from mnist_pipeline.params.model import OptimizersParams

Kind = TypeVar("Kind", bound=Optimizer)


def _eager(kind: type[Kind]) -> type[Kind]:
    """Return PyTorch's optimizer without what wraps its methods.

    That is for torch.compile, whose import takes a second, and for the profiler, a quarter of the time of a step.
    """
    methods = {
        name: inspect.unwrap(getattr(kind, name)) for name in ("add_param_group", "load_state_dict", "state_dict")
    }
    step = torch.no_grad()(inspect.unwrap(kind.step))
    step.hooked = True  # what PyTorch itself notes once it has wrapped it
    return type(kind.__name__, (kind,), {**methods, "step": step, "zero_grad": _zero_grad})


def _zero_grad(optimizer: Optimizer) -> None:
    for group in optimizer.param_groups:
        for parameter in group["params"]:
            parameter.grad = None


SGD, Adam, AdamW = _eager(torch.optim.SGD), _eager(torch.optim.Adam), _eager(torch.optim.AdamW)


def make_optimizer(name: str, params: OptimizersParams, parameters: Iterable[nn.Parameter]) -> Optimizer:
    """Return the optimizer of this name with its own settings.

    All are PyTorch's fused ones: one pass over the parameters, and the same bits on every CPU, which the vectorised
    square root of the others does not give.
    """
    match name:
        case "sgd":
            return SGD(
                parameters,
                lr=params.sgd.learning_rate,
                momentum=params.sgd.momentum,
                nesterov=params.sgd.nesterov,
                weight_decay=params.sgd.weight_decay,
                fused=True,
            )
        case "adam" | "adamw":
            settings = params.adam if name == "adam" else params.adamw
            return (Adam if name == "adam" else AdamW)(
                parameters,
                lr=settings.learning_rate,
                betas=(settings.beta1, settings.beta2),
                eps=settings.epsilon,
                weight_decay=settings.weight_decay,
                fused=True,
            )
    raise ValueError(f"unknown optimizer {name!r}")


def make_schedule(name: str, optimizer: Optimizer, steps: int) -> LRScheduler:
    """Return the schedule of this name of the learning rate over ``steps`` steps.

    cosine falls from the learning rate to 0 (Loshchilov and Hutter 2017). one_cycle rises to it over the first
    30 % and falls to almost 0 (Smith and Topin 2018); it leaves the momentum alone.
    """
    match name:
        case "constant":
            return ConstantLR(optimizer, factor=1.0)
        case "cosine":
            return CosineAnnealingLR(optimizer, T_max=steps)
        case "one_cycle":
            peak = optimizer.param_groups[0]["lr"]
            return OneCycleLR(optimizer, max_lr=peak, total_steps=steps, cycle_momentum=False)
    raise ValueError(f"unknown schedule {name!r}")
