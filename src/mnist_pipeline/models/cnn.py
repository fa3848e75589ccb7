"""A small convolutional network for few cores: few channels, early pooling, and a layout that suits oneDNN."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from mnist_pipeline.models.activations import make_activation
from mnist_pipeline.models.linear import Linear
from mnist_pipeline.params.model import CnnParams, ModelParams


class ToImage(nn.Module):
    """Reshape inputs to images: from float32 (n, side²) to (n, 1, side, side), channels last in memory.

    Every later layer keeps that layout, in which oneDNN's convolutions are faster.
    """

    def __init__(self, side: int) -> None:
        super().__init__()
        self.side = side

    def forward(self, inputs: Tensor) -> Tensor:
        """Return the images."""
        return inputs.view(-1, 1, self.side, self.side).to(memory_format=torch.channels_last)  # (n, 1, side, side)


def build_cnn(image_side: int, classes: int, settings: CnnParams, params: ModelParams) -> nn.Sequential:
    """Build convolution, batch norm (Ioffe and Szegedy 2015) and activation for each number of channels; then Linear.

    The last convolution of a group is followed by 2 × 2 max-pooling, before batch norm and activation, which then
    process a quarter of the values. Convolutions are padded to keep the size, and have no bias, which batch norm
    would cancel.
    See ``registry.build_network`` for the arguments.

    Raises:
        PipelineError: the image is too small to be halved once a group.
    """
    settings.check_side(image_side)
    layers: list[nn.Module] = [ToImage(image_side)]
    width, side = 1, image_side
    for group in settings.channels:
        for place, channels in enumerate(group, start=1):
            layers.append(
                nn.Conv2d(width, channels, settings.kernel_size, padding=settings.kernel_size // 2, bias=False)
            )
            if place == len(group):
                layers.append(nn.MaxPool2d(2))
                side //= 2
            layers += [nn.BatchNorm2d(channels), make_activation(params.hidden_activation, params.negative_slope)]
            width = channels
    return nn.Sequential(*layers, nn.Flatten(), Linear(width * side**2, classes))
