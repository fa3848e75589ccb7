"""The networks of every architecture: those of plain PyTorch layers, with the same initial weights."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from mnist_pipeline.core.errors import PipelineError
from mnist_pipeline.models.activations import make_activation
from mnist_pipeline.models.linear import SMALLEST_BATCH, Linear
from mnist_pipeline.models.registry import ARCHITECTURES, build_network, count_macs
from mnist_pipeline.params.model import architectures
from tests.training.runs import MakeParams

SIDE, CLASSES = 9, 3


def mlp(hidden: list[int], activation: str, layer_norm: bool, output: str = "none") -> dict[str, Any]:
    return {
        "model.architecture": "mlp",
        "model.mlp": {"hidden_units": hidden, "layer_norm": layer_norm},
        "model.hidden_activation": activation,
        "model.negative_slope": 0.3,
        "model.output_activation": output,
        "model.loss": "cross_entropy" if output == "none" else "mse",
    }


def cnn(channels: list[list[int]], kernel_size: int = 3) -> dict[str, Any]:
    return {"model.architecture": "cnn", "model.cnn": {"channels": channels, "kernel_size": kernel_size}}


def convolution(inputs: int, outputs: int, size: int) -> nn.Conv2d:
    return nn.Conv2d(inputs, outputs, size, padding=size // 2, bias=False)


SAME_AS: dict[str, tuple[dict[str, Any], Callable[[], list[nn.Module]]]] = {
    "no hidden layer": (mlp([], "relu", layer_norm=True), lambda: [nn.Linear(81, 3)]),
    "the tutorial's end": (
        mlp([5], "leaky_relu", layer_norm=True, output="leaky_relu"),
        lambda: [nn.Linear(81, 5), nn.LeakyReLU(0.3), nn.LayerNorm(5), nn.Linear(5, 3), nn.LeakyReLU(0.3)],
    ),
    "two hidden layers": (
        mlp([6, 5], "sigmoid", layer_norm=False, output="sigmoid"),
        lambda: [nn.Linear(81, 6), nn.Sigmoid(), nn.Linear(6, 5), nn.Sigmoid(), nn.Linear(5, 3), nn.Sigmoid()],
    ),
    "cnn": (
        {**mlp([], "gelu", layer_norm=False, output="sigmoid"), **cnn([[4], [6, 8, 2]], kernel_size=5)},
        lambda: [
            nn.Unflatten(1, (1, SIDE, SIDE)),
            *(convolution(1, 4, 5), nn.MaxPool2d(2), nn.BatchNorm2d(4), nn.GELU()),
            *(convolution(4, 6, 5), nn.BatchNorm2d(6), nn.GELU()),
            *(convolution(6, 8, 5), nn.BatchNorm2d(8), nn.GELU()),
            *(convolution(8, 2, 5), nn.MaxPool2d(2), nn.BatchNorm2d(2), nn.GELU()),
            *(nn.Flatten(), nn.Linear(2 * 2 * 2, 3), nn.Sigmoid()),
        ],
    ),
}


@pytest.mark.parametrize(("changes", "layers"), SAME_AS.values(), ids=SAME_AS)
def test_a_network_computes_what_plain_pytorch_layers_compute(
    make_params: MakeParams, changes: dict[str, Any], layers: Callable[[], list[nn.Module]]
) -> None:
    torch.manual_seed(3)
    network, after = build_network(SIDE, CLASSES, make_params(changes).model), torch.rand(1)
    torch.manual_seed(3)
    expected = nn.Sequential(*layers())
    assert torch.equal(after, torch.rand(1))  # initialisation draws nothing else
    assert list(network.state_dict()) == list(expected.state_dict())
    for name, weight in expected.state_dict().items():
        assert torch.equal(network.state_dict()[name], weight), name
    inputs = torch.rand(40, SIDE**2)
    torch.testing.assert_close(network(inputs), expected(inputs))  # batch norm learns its statistics
    network.eval()
    expected.eval()
    for number in (1, 40):
        outputs = network(inputs[:number])
        assert outputs.dtype == torch.float32
        torch.testing.assert_close(outputs, expected(inputs[:number]))


@pytest.mark.parametrize(
    ("name", "activation"),
    [
        ("sigmoid", nn.Sigmoid()),
        ("tanh", nn.Tanh()),
        ("relu", nn.ReLU()),
        ("leaky_relu", nn.LeakyReLU(0.3)),
        ("gelu", nn.GELU()),
    ],
)
def test_an_activation_is_pytorchs_of_this_name(name: str, activation: nn.Module) -> None:
    values = torch.linspace(-3, 3, 50)
    assert torch.equal(make_activation(name, negative_slope=0.3)(values), activation(values))


@pytest.mark.parametrize("rows", [1, SMALLEST_BATCH - 1, SMALLEST_BATCH, 50])
def test_a_linear_layer_has_the_outputs_and_gradients_of_pytorchs_own(rows: int) -> None:
    ours, theirs = Linear(20, 7), nn.Linear(20, 7)
    theirs.load_state_dict(ours.state_dict())
    first, second = (torch.linspace(-1, 1, rows * 20).view(rows, 20).requires_grad_() for _ in range(2))
    torch.testing.assert_close(ours(first), theirs(second))
    for layer, inputs in ((ours, first), (theirs, second)):
        layer(inputs).square().sum().backward()
    for found, expected in ((first, second), (ours.weight, theirs.weight), (ours.bias, theirs.bias)):
        torch.testing.assert_close(found.grad, expected.grad)


def test_a_linear_layer_gives_float32_in_mixed_precision() -> None:
    layer, inputs = Linear(64, 10), torch.rand(SMALLEST_BATCH, 64).to(torch.bfloat16)
    with torch.autocast("cpu", torch.bfloat16):
        outputs = layer(inputs)
    assert outputs.dtype == torch.float32
    assert torch.equal(outputs, layer(inputs.to(torch.float32)))


CONVOLUTIONS = nn.Conv2d(1, 6, 5, stride=2), nn.Conv2d(6, 4, 3, groups=2, padding=1, dilation=2)


def test_macs_are_those_that_pytorch_counts_for_one_image(make_params: MakeParams) -> None:
    head = nn.Unflatten(1, (1, 28, 28))
    networks = [
        build_network(28, 10, make_params(each).model) for each in (cnn([[16], [32]]), mlp([200], "relu", True))
    ]
    for network in (*networks, nn.Sequential(head, *CONVOLUTIONS, nn.Flatten(2), nn.Linear(100, 3), nn.Flatten())):
        found = count_macs(network, 784)
        assert network.training
        assert not any(layer.num_batches_tracked for layer in network if isinstance(layer, nn.BatchNorm2d))
        with FlopCounterMode(display=False) as counter, torch.no_grad():
            network.eval()(torch.zeros(1, 784))
        assert found == counter.get_total_flops() // 2 > 0


@pytest.mark.parametrize(("side", "groups", "allowed"), [(1, 1, 0), (7, 3, 2), (8, 4, 3)])
def test_a_cnn_that_halves_the_image_too_often_is_refused(
    make_params: MakeParams, side: int, groups: int, allowed: int
) -> None:
    with pytest.raises(PipelineError, match=rf"has {groups} groups.*side {side} allows {allowed}$"):
        build_network(side, 10, make_params(cnn([[2]] * groups)).model)
    if allowed:
        build_network(side, 10, make_params(cnn([[2]] * allowed)).model)


def test_every_architecture_that_has_settings_can_be_built() -> None:
    assert set(architectures()) == set(ARCHITECTURES)
