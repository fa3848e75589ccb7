"""Activation functions by name."""

from __future__ import annotations

from torch import nn


def make_activation(name: str, negative_slope: float) -> nn.Module:
    """Return the activation of this name; ``negative_slope`` is that of leaky_relu."""
    match name:
        case "sigmoid":
            return nn.Sigmoid()
        case "tanh":
            return nn.Tanh()
        case "relu":
            return nn.ReLU()
        case "leaky_relu":
            return nn.LeakyReLU(negative_slope)
        case "gelu":
            return nn.GELU()
    raise ValueError(f"unknown activation {name!r}")
