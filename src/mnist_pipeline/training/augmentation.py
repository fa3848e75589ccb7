"""Augmentation: random rotation, scale, shear, shift, and the elastic deformation of Simard et al. 2003.

Fast enough beside training even a small network, and the same bits on every CPU:

- eight neighbours in a batch share one transformation, so that it is computed once for eight images and resampling is
  a sum over rows of eight adjacent floats. In the next epoch, an image has other neighbours and another transformation;
- the resampling is ``embedding_bag``, four weighted rows a pixel: vectorised, and without the gather instructions on
  which ``grid_sample`` rests;
- smoothing is a matrix product on each side of the field, by the product of ``models/linear.py``.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812 -- its customary name

from mnist_pipeline.models.linear import product
from mnist_pipeline.params.run import AugmentationParams

SHARING = 8
"""How many neighbours share a transformation."""

# More images at once leave the caches of a CPU, and each takes longer.
AT_ONCE = 512


class Augmentation:
    """Augments batches of images.

    Each transformation maps a pixel of the new image to a point of the old one: an affine map about the centre, plus a
    smooth random field. The old image is read there bilinearly, and is background (0) outside.

    Args:
        image_side: height and width of an image, in pixels.
        params: how strong.
        device: where the images are.
    """

    def __init__(self, image_side: int, params: AugmentationParams, device: torch.device) -> None:
        self._side = image_side
        self._params = params
        self._device = device
        from_centre = torch.arange(image_side, dtype=torch.float32, device=device) - (image_side - 1) / 2
        down, right = torch.meshgrid(from_centre, from_centre, indexing="ij")
        self._pixels = torch.stack([down.flatten(), right.flatten(), torch.ones_like(down).flatten()], dim=1)
        # The Gaussian is separable: half of alpha's strength with each of the two products.
        self._kernel = math.sqrt(params.elastic_alpha) * _gaussian(image_side, params.elastic_sigma).to(device)

    def __call__(self, images: Tensor, seed: int) -> Tensor:
        """Return augmented copies, float32 (n, side, side) of 0-255, of images, uint8 (n, side, side).

        ``seed``, 0 to 2⁶³ - 1, determines the transformations.
        """
        generator = torch.Generator(self._device)
        generator.manual_seed(seed)
        at_once = AT_ONCE if self._device.type == "cpu" else len(images)
        return torch.cat([self._transform(chunk, generator) for chunk in torch.split(images, at_once)])

    def _transform(self, images: Tensor, generator: torch.Generator) -> Tensor:
        fields = -(-len(images) // SHARING)
        rows, weights = self._corners(self._points(fields, generator))
        side, padded = self._side, self._side + 2
        whole = F.pad(images, (0, 0, 0, 0, 0, fields * SHARING - len(images)))
        table = torch.zeros(fields, padded, padded, SHARING, device=self._device)
        together = whole.view(fields, SHARING, side**2).transpose(1, 2).contiguous()
        table[:, 1:-1, 1:-1] = together.view(fields, side, side, SHARING)
        resampled = F.embedding_bag(rows, table.view(-1, SHARING), mode="sum", per_sample_weights=weights)
        apart = resampled.view(fields, side**2, SHARING).transpose(1, 2)
        return apart.reshape(-1, side, side)[: len(images)]

    def _points(self, fields: int, generator: torch.Generator) -> Tensor:
        """Return the source of each pixel: float32 (fields, 2, side²), down and right, with a border of 1."""
        params, side = self._params, self._side
        turn, down, right, slant, *shifts = self._uniform((6, fields), generator)
        angle = math.radians(params.rotation) * turn
        cosine, sine = torch.cos(angle), torch.sin(angle)
        down, right = 1 + params.scale * down, 1 + params.scale * right
        move_down, move_right = (params.shift * shift + (side - 1) / 2 + 1 for shift in shifts)
        maps = torch.stack(
            [cosine * down, params.shear * slant - sine * right, move_down, sine * down, cosine * right, move_right],
            dim=1,
        )
        points = product(maps.view(2 * fields, 3), self._pixels)
        if params.elastic_alpha:
            noise = self._uniform((2 * fields * side, side), generator)
            along = product(noise, self._kernel).view(2 * fields, side, side)
            across = product(along.transpose(1, 2).reshape(-1, side), self._kernel)
            points += across.view(2 * fields, side**2)
        return points.clamp_(0, side + 1 - 1e-3).view(fields, 2, side**2)

    def _uniform(self, shape: tuple[int, ...], generator: torch.Generator) -> Tensor:
        """Return random numbers between -1 and 1."""
        return torch.rand(shape, generator=generator, device=self._device).mul_(2).sub_(1)

    def _corners(self, points: Tensor) -> tuple[Tensor, Tensor]:
        """Return the four pixels around each point and their weights: int32 and float32 (fields · side², 4)."""
        padded = self._side + 2
        corner = points.to(torch.int32)  # points are not negative
        part = points - corner
        first = corner[:, 0] * padded + corner[:, 1]
        first += padded**2 * torch.arange(len(points), dtype=torch.int32, device=self._device)[:, None]
        rows = torch.empty((*first.shape, 4), dtype=torch.int32, device=self._device)
        for place, offset in enumerate((0, 1, padded, padded + 1)):
            torch.add(first, offset, out=rows[..., place])
        weights = torch.empty(rows.shape, device=self._device)
        down, right = part[:, 0], part[:, 1]
        both = down * right
        weights[..., 3] = both
        torch.sub(right, both, out=weights[..., 1])
        torch.sub(down, both, out=weights[..., 2])
        torch.sub(1 - down, weights[..., 1], out=weights[..., 0])
        return rows.view(-1, 4), weights.view(-1, 4)


def _gaussian(size: int, sigma: float) -> Tensor:
    """Return a matrix that smooths ``size`` values by a Gaussian of this standard deviation, with 0 beyond the ends."""
    place = torch.arange(size, dtype=torch.float64)
    distance = place[:, None] - place[None]
    return (torch.exp(-(distance**2) / (2 * sigma**2)) / (sigma * math.sqrt(2 * math.pi))).to(torch.float32)
