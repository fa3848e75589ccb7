"""Temperature scaling (Guo et al. 2017): divide logits by a number, fitted on the validation set."""

from __future__ import annotations

import math

import torch
from scipy.optimize import minimize_scalar
from torch import Tensor
from torch.nn import functional as F  # noqa: N812 -- its customary name

LARGEST_LOGARITHM = 4.0  # temperatures of 1/55 to 55
DECIMALS = 4  # more would be noise of the fit


def fit_temperature(outputs: Tensor, labels: Tensor) -> float:
    """Return the temperature with the least mean log loss.

    Args:
        outputs: logits, float32 (n, classes).
        labels: int64 (n,).
    """
    logits = outputs.to("cpu", torch.float64)

    def log_loss(logarithm: float) -> float:
        return F.cross_entropy(logits / math.exp(logarithm), labels).item()

    bounds = (-LARGEST_LOGARITHM, LARGEST_LOGARITHM)
    return round(math.exp(minimize_scalar(log_loss, bounds=bounds, method="bounded").x), DECIMALS)
