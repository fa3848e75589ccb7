"""The fully connected network of the tutorial, with any number of hidden layers."""

from __future__ import annotations

from torch import nn

from mnist_pipeline.models.linear import Linear
from mnist_pipeline.params import ModelParams


def build_mlp(inputs: int, outputs: int, params: ModelParams) -> nn.Sequential:
    """Linear, activation and, if asked for, LayerNorm for each hidden layer; then Linear and the output activation.

    LayerNorm comes after the activation, as in the tutorial. Weights are PyTorch's default initialisation, drawn
    from torch's global generator.

    Args:
        inputs: the number of inputs.
        outputs: the number of outputs, one a class.
        params: the layers.

    Returns:
        A network from float32 (n, inputs) to float32 (n, outputs).
    """
    layers: list[nn.Module] = []
    width = inputs
    for units in params.hidden_units:
        layers += [Linear(width, units), _activation(params.hidden_activation, params.negative_slope)]
        if params.layer_norm:
            layers.append(nn.LayerNorm(units))
        width = units
    layers.append(Linear(width, outputs))
    if params.output_activation != "none":
        layers.append(_activation(params.output_activation, params.negative_slope))
    return nn.Sequential(*layers)


def _activation(name: str, negative_slope: float) -> nn.Module:
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
