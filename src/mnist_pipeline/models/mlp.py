"""The fully connected network of the tutorial, with any number of hidden layers."""

from __future__ import annotations

from torch import nn

from mnist_pipeline.models.activations import make_activation
from mnist_pipeline.models.linear import Linear
from mnist_pipeline.params.model import MlpParams, ModelParams


def build_mlp(image_side: int, classes: int, settings: MlpParams, params: ModelParams) -> nn.Sequential:
    """Build Linear, activation and, if asked for, LayerNorm for each hidden layer; then Linear.

    LayerNorm comes after the activation, as in the tutorial. See ``registry.build_network`` for the arguments.
    """
    layers: list[nn.Module] = []
    width = image_side**2
    for units in settings.hidden_units:
        layers += [Linear(width, units), make_activation(params.hidden_activation, params.negative_slope)]
        if settings.layer_norm:
            layers.append(nn.LayerNorm(units))
        width = units
    layers.append(Linear(width, classes))
    return nn.Sequential(*layers)
