"""The convolutional network: its layers, its size, that it learns, and that it comes back from its file."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F  # noqa: N812 -- its customary name

from mnist_pipeline.models.classifier import UNIT, load_classifier, new_classifier, predict, save_classifier
from mnist_pipeline.models.registry import ARCHITECTURES, PipelineError, build_network, multiply_adds
from mnist_pipeline.params.schema import ModelParams, Params, PipelineError, architectures
from mnist_pipeline.training.loop import fit, samples_of
from tests.conftest import synthetic_dataset

MakeParams = Callable[..., Params]
CLASSES = tuple("0123456789")


def cnn(make_params: MakeParams, channels: list[list[int]], **changes: Any) -> ModelParams:
    settings = {"channels": channels, "kernel_size": 3} | changes
    return make_params({"model.architecture": "cnn", "model.cnn": settings}).model


def test_the_layers_are_those_of_its_description(make_params: MakeParams) -> None:
    network = build_network(28, 10, cnn(make_params, [[4], [6, 8]], kernel_size=5))
    assert [type(layer).__name__ for layer in network] == [
        "Picture",
        *("Conv2d", "MaxPool2d", "BatchNorm2d", "LeakyReLU"),
        *("Conv2d", "BatchNorm2d", "LeakyReLU"),
        *("Conv2d", "MaxPool2d", "BatchNorm2d", "LeakyReLU"),
        *("Flatten", "Linear"),
    ]
    shapes = [tuple(layer.weight.shape) for layer in network if isinstance(layer, nn.Conv2d | nn.Linear)]
    assert shapes == [(4, 1, 5, 5), (6, 4, 5, 5), (8, 6, 5, 5), (10, 8 * 7 * 7)]


def test_outputs_are_those_of_plain_pytorch(make_params: MakeParams) -> None:
    network = build_network(9, 3, cnn(make_params, [[4], [5]])).eval()
    weights = {name: tensor for name, tensor in network.state_dict().items() if "num_batches" not in name}
    for tensor in weights.values():  # batch norm starts with zeros and ones
        tensor.add_(0.3 * torch.rand(tensor.shape, generator=torch.Generator().manual_seed(0)))
    first, gain1, shift1, mean1, var1, second, gain2, shift2, mean2, var2, last, bias = weights.values()
    inputs = torch.rand(20, 81, generator=torch.Generator().manual_seed(1))
    hidden = F.max_pool2d(F.conv2d(inputs.view(-1, 1, 9, 9), first, padding=1), 2)
    hidden = F.leaky_relu(F.batch_norm(hidden, mean1, var1, gain1, shift1), 0.02)
    hidden = F.max_pool2d(F.conv2d(hidden, second, padding=1), 2)
    hidden = F.leaky_relu(F.batch_norm(hidden, mean2, var2, gain2, shift2), 0.02)
    expected = hidden.flatten(1) @ last.T + bias
    with torch.no_grad():
        torch.testing.assert_close(network(inputs), expected)
        torch.testing.assert_close(network(inputs[:1]), expected[:1])


def test_multiply_adds_are_counted(make_params: MakeParams) -> None:
    network = build_network(28, 10, cnn(make_params, [[16], [32], [64]]))
    convolutions = 28**2 * 9 * 16 + 14**2 * 9 * 16 * 32 + 7**2 * 9 * 32 * 64
    assert count_macs(network, 784) == convolutions + 64 * 3 * 3 * 10
    assert network.training
    assert count_macs(build_network(28, 10, make_params().model), 784) == 784 * 200 + 200 * 10


@pytest.mark.parametrize(("side", "groups"), [(1, 1), (7, 3), (8, 4)])
def test_too_many_groups_for_the_image_are_refused(make_params: MakeParams, side: int, groups: int) -> None:
    with pytest.raises(PipelineError, match=rf"has {groups} groups.*side {side} allows {side.bit_length() - 1}"):
        build_network(side, 10, cnn(make_params, [[2]] * groups))


def test_it_learns_and_comes_back_from_its_file(make_params: MakeParams, tmp_path: Path) -> None:
    params = make_params({"train.epochs": 3, "train.batch_size": 32})
    classifier = new_classifier(8, CLASSES, UNIT, cnn(make_params, [[6], [8]]), seed=0)
    samples = to_samples(synthetic_dataset(400), np.arange(400))
    history = fit(classifier, samples, samples, params.train, params.optimizers)
    assert history.epochs[-1].validation_accuracy == 1.0
    save_classifier(tmp_path / "m.safetensors", classifier)
    again = load_classifier(tmp_path / "m.safetensors")
    assert torch.equal(predict(again, samples.images), predict(classifier, samples.images))
    assert again.params.mlp is None


def test_every_architecture_of_params_can_be_built(make_params: MakeParams) -> None:
    assert set(architectures()) == set(ARCHITECTURES)
    for name in architectures():
        network = build_network(28, 7, make_params({"model.architecture": name}).model)
        assert network(torch.zeros(3, 784)).shape == (3, 7)


@pytest.mark.parametrize("name", ["cnn", "mlp"])
def test_an_output_activation_comes_last(make_params: MakeParams, name: str) -> None:
    changes = {"model.architecture": name, "model.output_activation": "sigmoid", "model.loss": "bce"}
    outputs = build_network(8, 3, make_params(changes).model)(torch.rand(5, 64))
    assert outputs.min() > 0
    assert outputs.max() < 1


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"model.architecture": "rnn"}, "architecture must be one of mlp, cnn, was 'rnn'"),
        ({"model.architecture": "cnn", "model.cnn": None}, "architecture cnn needs its settings; add model.cnn"),
        ({"model.cnn.kernel_size": 4}, "must be odd"),
        ({"model.cnn.channels": []}, "at least 1 item"),
        ({"model.cnn.channels": [[16], []]}, "at least 1 item"),
        ({"model.cnn.channels": [16, 32]}, "valid tuple"),
    ],
)
def test_nonsense_is_refused(make_params: MakeParams, changes: dict[str, Any], message: str) -> None:
    with pytest.raises((PipelineError, ValueError), match=message):
        make_params(changes)
