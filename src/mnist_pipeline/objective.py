"""What training minimises, and how: losses, optimizers and schedules from params."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Iterable

import torch
import torch._dynamo  # making the first optimizer imports it, in most of a second: that is start-up, not training
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812 -- its customary name
from torch.optim import Optimizer
from torch.optim.lr_scheduler import CosineAnnealingLR, LRScheduler, OneCycleLR

from mnist_pipeline.params import OptimizersParams, TrainParams

Loss = Callable[[Tensor, Tensor], Tensor]
"""From outputs (n, classes) and labels (n,) to the mean loss, a scalar."""


def make_loss(name: str) -> Loss:
    """The loss of this name: cross_entropy over logits, or mse or bce against one-hot targets.

    The mean of mse and bce is over outputs and samples alike, as in the tutorial.
    """
    match name:
        case "cross_entropy":
            return F.cross_entropy
        case "mse":
            return lambda outputs, labels: F.mse_loss(outputs, _one_hot(outputs, labels))
        case "bce":
            return _binary_cross_entropy
    raise ValueError(f"unknown loss {name!r}")


def _binary_cross_entropy(outputs: Tensor, labels: Tensor) -> Tensor:
    """The mean, or NaN where an output is NaN: torch's own refuses NaN on a CPU, and on a GPU ends the process."""
    if outputs.device.type != "cpu":
        return _binary_cross_entropy_without_sync(outputs, labels)
    return outputs.mean() if outputs.isnan().any() else F.binary_cross_entropy(outputs, _one_hot(outputs, labels))


def _binary_cross_entropy_without_sync(outputs: Tensor, labels: Tensor) -> Tensor:
    """The same without asking whether there is NaN: the host would wait for a GPU. On a CPU, asking is quicker."""
    missing = outputs.isnan()
    loss = F.binary_cross_entropy(outputs.masked_fill(missing, 0.5), _one_hot(outputs, labels))
    return torch.where(missing.any(), math.nan, loss)


def _one_hot(outputs: Tensor, labels: Tensor) -> Tensor:
    # Not F.one_hot, which on a CPU first asks for the smallest and the largest label.
    return torch.zeros_like(outputs).scatter_(1, labels[:, None], 1.0)


def make_optimizer(name: str, params: OptimizersParams, parameters: Iterable[nn.Parameter]) -> Optimizer:
    """The optimizer of this name with its own settings.

    All are PyTorch's fused ones: one pass over the parameters, and the same bits on every CPU, which the others'
    vectorised square root does not give.
    """
    match name:
        case "sgd":
            return torch.optim.SGD(
                parameters,
                lr=params.sgd.learning_rate,
                momentum=params.sgd.momentum,
                nesterov=params.sgd.nesterov,
                weight_decay=params.sgd.weight_decay,
                fused=True,
            )
        case "adam" | "adamw":
            settings = params.adam if name == "adam" else params.adamw
            return (torch.optim.Adam if name == "adam" else torch.optim.AdamW)(
                parameters,
                lr=settings.learning_rate,
                betas=(settings.beta1, settings.beta2),
                eps=settings.epsilon,
                weight_decay=settings.weight_decay,
                fused=True,
            )
    raise ValueError(f"unknown optimizer {name!r}")


def make_step(optimizer: Optimizer) -> Callable[[], None]:
    """The optimizer's own step, to the same bits, without what PyTorch wraps around it.

    The hooks for profilers, compilers and differentiable optimizers take longer than the arithmetic of a small batch.
    A schedule counts the calls of the wrapped one, so that this is for training without a schedule.
    """
    bare = inspect.unwrap(type(optimizer).step)

    def step() -> None:
        with torch.no_grad():
            bare(optimizer)

    return step


def make_schedule(params: TrainParams, optimizer: Optimizer, steps: int) -> LRScheduler | None:
    """The learning rate over ``steps`` steps; None: it stays as it is.

    cosine falls from the learning rate to 0 (Loshchilov and Hutter 2017). one_cycle rises to it over the first
    30 % and falls to almost 0 (Smith and Topin 2018); it leaves the momentum alone.
    """
    match params.schedule:
        case "constant":
            return None
        case "cosine":
            return CosineAnnealingLR(optimizer, T_max=steps)
        case "one_cycle":
            peak = optimizer.param_groups[0]["lr"]
            return OneCycleLR(optimizer, max_lr=peak, total_steps=steps, cycle_momentum=False)
