"""The network: which layers in which order, and what weights it starts with."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn

from mnist_pipeline.models.linear import SMALLEST_BATCH, Linear
from mnist_pipeline.models.registry import build_network
from mnist_pipeline.params.schema import Params

MakeParams = Callable[..., Params]
Layer = tuple[Any, ...]


def described(network: nn.Module) -> list[Layer]:
    """Each module as the name of its type with all that decides what it computes."""
    layers: list[Layer] = []
    for module in network.children():
        match module:
            case nn.Linear():
                layers.append(("Linear", module.in_features, module.out_features, module.bias is not None))
            case nn.LeakyReLU():
                layers.append(("LeakyReLU", module.negative_slope))
            case nn.LayerNorm():
                layers.append(("LayerNorm", module.normalized_shape, module.eps, module.elementwise_affine))
            case nn.GELU():
                layers.append(("GELU", module.approximate))
            case _:
                layers.append((type(module).__name__,))
    return layers


HIDDEN, OUTPUT = ("Linear", 784, 200, True), ("Linear", 200, 10, True)
SIGMOID, LEAKY = ("Sigmoid",), ("LeakyReLU", 0.02)
NORM = ("LayerNorm", (200,), 1e-5, True)


def variant(hidden: str, layer_norm: bool, output: str, loss: str, optimizer: str) -> dict[str, Any]:
    """A step of the tutorial, with its loop and its optimizers' settings."""
    return {
        "model.mlp.hidden_units": [200],
        "model.hidden_activation": hidden,
        "model.negative_slope": 0.02,
        "model.mlp.layer_norm": layer_norm,
        "model.output_activation": output,
        "model.loss": loss,
        "model.optimizer": optimizer,
        "optimizers.sgd": {"learning_rate": 0.01, "momentum": 0.0, "nesterov": False, "weight_decay": 0.0},
        "optimizers.adam": {
            "learning_rate": 0.001,
            "beta1": 0.9,
            "beta2": 0.999,
            "epsilon": 1e-8,
            "weight_decay": 0.0,
        },
        "data.validation_size": 0,
        "data.scaling": "unit",
        "train.epochs": 3,
        "train.batch_size": 1,
        "train.shuffle": False,
        "train.schedule": "constant",
    }


TUTORIAL: list[tuple[str, dict[str, Any], list[Layer]]] = [
    ("start", variant("sigmoid", False, "sigmoid", "mse", "sgd"), [HIDDEN, SIGMOID, OUTPUT, SIGMOID]),
    ("1-loss", variant("sigmoid", False, "sigmoid", "bce", "sgd"), [HIDDEN, SIGMOID, OUTPUT, SIGMOID]),
    ("2-activation", variant("leaky_relu", False, "leaky_relu", "mse", "sgd"), [HIDDEN, LEAKY, OUTPUT, LEAKY]),
    ("3-optimizer", variant("leaky_relu", False, "leaky_relu", "mse", "adam"), [HIDDEN, LEAKY, OUTPUT, LEAKY]),
    ("3b-mse", variant("leaky_relu", False, "sigmoid", "mse", "adam"), [HIDDEN, LEAKY, OUTPUT, SIGMOID]),
    ("3b-bce", variant("leaky_relu", False, "sigmoid", "bce", "adam"), [HIDDEN, LEAKY, OUTPUT, SIGMOID]),
    ("4-norm", variant("leaky_relu", True, "leaky_relu", "mse", "sgd"), [HIDDEN, LEAKY, NORM, OUTPUT, LEAKY]),
    ("5-sgd", variant("leaky_relu", True, "sigmoid", "bce", "sgd"), [HIDDEN, LEAKY, NORM, OUTPUT, SIGMOID]),
    ("5-adam", variant("leaky_relu", True, "sigmoid", "bce", "adam"), [HIDDEN, LEAKY, NORM, OUTPUT, SIGMOID]),
    ("untold", variant("sigmoid", False, "sigmoid", "mse", "adam"), [HIDDEN, SIGMOID, OUTPUT, SIGMOID]),
]


@pytest.mark.parametrize(
    ("changes", "layers"), [(changes, layers) for _, changes, layers in TUTORIAL], ids=[name for name, _, _ in TUTORIAL]
)
def test_every_step_of_the_tutorial_has_its_layers_in_its_order(
    make_params: MakeParams, changes: dict[str, Any], layers: list[Layer]
) -> None:
    assert described(build_network(28, 10, make_params(changes).model)) == layers


@pytest.mark.parametrize(
    ("name", "layer"),
    [
        ("sigmoid", ("Sigmoid",)),
        ("tanh", ("Tanh",)),
        ("relu", ("ReLU",)),
        ("leaky_relu", ("LeakyReLU", 0.3)),
        ("gelu", ("GELU", "none")),
    ],
)
def test_hidden_activation_by_name(make_params: MakeParams, name: str, layer: Layer) -> None:
    params = make_params({"model.hidden_activation": name, "model.negative_slope": 0.3}).model
    assert described(build_network(2, 2, params))[1] == layer


@pytest.mark.parametrize(
    ("output", "layers"), [("none", []), ("sigmoid", [("Sigmoid",)]), ("leaky_relu", [("LeakyReLU", 0.3)])]
)
def test_output_activation_by_name(make_params: MakeParams, output: str, layers: list[Layer]) -> None:
    changes = {"model.output_activation": output, "model.loss": "mse", "model.negative_slope": 0.3}
    assert described(build_network(2, 2, make_params({"model.mlp.hidden_units": [], **changes}).model))[1:] == layers


@pytest.mark.parametrize(
    ("units", "layers"),
    [
        ([], [("Linear", 9, 3, True)]),
        (
            [5],
            [
                ("Linear", 9, 5, True),
                ("ReLU",),
                ("LayerNorm", (5,), 1e-5, True),
                ("Linear", 5, 3, True),
            ],
        ),
        (
            [5, 4],
            [
                ("Linear", 9, 5, True),
                ("ReLU",),
                ("LayerNorm", (5,), 1e-5, True),
                ("Linear", 5, 4, True),
                ("ReLU",),
                ("LayerNorm", (4,), 1e-5, True),
                ("Linear", 4, 3, True),
            ],
        ),
    ],
    ids=["none", "one", "two"],
)
def test_any_number_of_hidden_layers(make_params: MakeParams, units: list[int], layers: list[Layer]) -> None:
    params = make_params({"model.mlp.hidden_units": units, "model.hidden_activation": "relu"}).model
    network = build_network(3, 3, params)
    assert described(network) == layers
    outputs = network(torch.zeros(7, 9))
    assert outputs.shape == (7, 3)
    assert outputs.dtype == torch.float32


def test_weights_are_pytorchs_own_defaults(make_params: MakeParams) -> None:
    params = make_params({"model.mlp.hidden_units": [6, 5], "model.mlp.layer_norm": True}).model
    torch.manual_seed(3)
    network = build_network(3, 4, params)
    after = torch.rand(1)
    torch.manual_seed(3)
    expected = nn.Sequential(
        nn.Linear(9, 6),
        nn.LeakyReLU(0.02),
        nn.LayerNorm(6),
        nn.Linear(6, 5),
        nn.LeakyReLU(0.02),
        nn.LayerNorm(5),
        nn.Linear(5, 4),
    )
    ours, theirs = network.state_dict(), expected.state_dict()
    assert list(ours) == list(theirs)
    for name, tensor in theirs.items():
        assert torch.equal(ours[name], tensor), name
    assert torch.equal(after, torch.rand(1))  # and nothing else was drawn


def test_layer_norm_sees_what_the_activation_gives(make_params: MakeParams) -> None:
    params = make_params({"model.mlp.hidden_units": [6], "model.hidden_activation": "relu"}).model
    network = build_network(2, 2, params)
    hidden = network[:3](torch.rand(5, 4) + 0.5).detach()
    assert torch.allclose(hidden.mean(dim=1), torch.zeros(5), atol=1e-6)  # a relu after it would lift the mean
    assert hidden.min() < 0


def test_in_mixed_numerics_a_linear_layer_gives_float32() -> None:
    layer, inputs = Linear(64, 10), torch.rand(SMALLEST_BATCH, 64)
    with torch.autocast("cpu", torch.bfloat16):
        outputs = layer(inputs.to(torch.bfloat16))
    assert outputs.dtype == torch.float32
    assert torch.equal(outputs, layer(inputs.to(torch.bfloat16).to(torch.float32)))
