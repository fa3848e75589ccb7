"""Loss functions by name."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812 -- its customary name

Loss = Callable[[Tensor, Tensor], Tensor]
"""From outputs (n, classes) and labels (n,) to the mean loss, a scalar."""


def make_loss(name: str) -> Loss:
    """Return the loss of this name: cross_entropy over logits, or mse or bce against one-hot targets.

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
    """Return the mean, or NaN where an output is NaN.

    torch's own refuses NaN on a CPU and ends the process on a GPU. Nothing here makes the host wait for a GPU.
    """
    invalid = outputs.isnan()
    loss = F.binary_cross_entropy(outputs.masked_fill(invalid, 0.5), _one_hot(outputs, labels))
    return torch.where(invalid.any(), math.nan, loss)


def _one_hot(outputs: Tensor, labels: Tensor) -> Tensor:
    # Not F.one_hot, which on a CPU first looks for the smallest and the largest label.
    return torch.zeros_like(outputs).scatter_(1, labels[:, None], 1.0)  # (n, classes)
