"""Every architecture by name. To add one: a function like these, a section of ModelParams with its settings, a line."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor, nn

from mnist_pipeline.core.errors import PipelineError
from mnist_pipeline.models.activations import make_activation
from mnist_pipeline.models.cnn import build_cnn
from mnist_pipeline.models.mlp import build_mlp
from mnist_pipeline.params.model import ModelParams

ARCHITECTURES: dict[str, Callable[[int, int, Any, ModelParams], nn.Sequential]] = {
    "cnn": build_cnn,
    "mlp": build_mlp,
}


class Ensemble(nn.Module):
    """The mean of the outputs of several networks (Hansen and Salamon 1990)."""

    def __init__(self, members: Iterable[nn.Module]) -> None:
        super().__init__()
        self.members = nn.ModuleList(members)

    def forward(self, inputs: Tensor) -> Tensor:
        """Return outputs, float32 (n, classes), for inputs, float32 (n, image_side²)."""
        total: Tensor = sum(member(inputs) for member in self.members)
        return total / len(self.members)


def build_network(image_side: int, classes: int, params: ModelParams) -> nn.Sequential:
    """Build the network of ``params.architecture``, with the output activation; as many as there are members.

    Weights are PyTorch's default initialisation, drawn from torch's global generator.

    Args:
        image_side: height and width of an image, in pixels.
        classes: the number of outputs.
        params: the architecture, with its settings in a section of its own, and what all architectures share.

    Returns:
        A network from float32 (n, image_side²) to float32 (n, classes).

    Raises:
        PipelineError: it cannot be built for such images; the message says why.
    """
    if params.members > 1:
        single = params.model_copy(update={"members": 1})
        return nn.Sequential(Ensemble(build_network(image_side, classes, single) for _ in range(params.members)))
    try:
        network = ARCHITECTURES[params.architecture](image_side, classes, params.settings, params)
    except ValueError as error:
        raise PipelineError(str(error)) from None
    if params.output_activation != "none":
        network.append(make_activation(params.output_activation, params.negative_slope))
    return network


def count_macs(network: nn.Module, inputs: int) -> int:
    """Count the multiply-accumulate operations (MACs) of linear layers and convolutions for one image.

    Args:
        network: from float32 (n, inputs).
        inputs: of one image.
    """
    macs = 0

    def add(layer: nn.Linear | nn.Conv2d, _: Any, outputs: Tensor) -> None:
        nonlocal macs
        macs += layer.weight[0].numel() * outputs.numel()

    layers = [layer for layer in network.modules() if isinstance(layer, nn.Linear | nn.Conv2d)]
    hooks = [layer.register_forward_hook(add) for layer in layers]
    training = network.training
    with torch.no_grad():
        network.eval()(torch.zeros(1, inputs, device=next(network.parameters()).device))
    network.train(training)
    for hook in hooks:
        hook.remove()
    return macs
