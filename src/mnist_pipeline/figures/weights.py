"""The weights of the first layer, each unit's as an image."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from mnist_pipeline.figures.style import new_figure, side_by_side

ROWS, COLUMNS = 4, 12


def draw_weights(weights: Mapping[str, NDArray[np.float32]], side: int) -> Figure:
    """Draw the units or kernels of the first layer with the largest weights (root mean square), an image each.

    The first layer is the first array that has an image for each unit, (units, side²), or a kernel for each channel,
    (channels, 1, height, width); for a network without one, a line says so.

    Args:
        weights: of the network, by name.
        side: of an image, in pixels.
    """
    found = [pictures for array in weights.values() if (pictures := _as_pictures(array, side)) is not None]
    if not found:
        figure = new_figure(10, 1)
        figure.suptitle("No layer of this network has weights that can be drawn as images")
        return figure
    pictures = found[0]
    strength = np.sqrt((pictures.astype(np.float64) ** 2).mean(axis=(1, 2)))
    chosen = pictures[np.argsort(-strength, kind="stable")[: ROWS * COLUMNS]]
    limit = float(np.quantile(np.abs(chosen), 0.995))
    figure = new_figure(10, 0.6 + 0.7 * -(-len(chosen) // COLUMNS))
    axes = figure.subplots()
    axes.set_axis_off()
    columns = min(len(chosen), COLUMNS)
    missing = np.full((-len(chosen) % columns, *chosen.shape[1:]), np.nan, np.float32)
    rows = np.concatenate([chosen, missing]).reshape(-1, columns, *chosen.shape[1:])
    image = axes.imshow(side_by_side(rows), cmap="PuOr", vmin=-limit, vmax=limit, interpolation="none")
    figure.colorbar(image, label="weight", shrink=0.8)
    kind = "units" if pictures.shape[1] == side else "kernels"
    figure.suptitle(f"First-layer weights of {len(chosen)} of {len(pictures)} {kind}")
    return figure


def _as_pictures(weights: NDArray[np.float32], side: int) -> NDArray[np.float32] | None:
    """(n, height, width), if these are weights of the pixels."""
    if weights.ndim == 2 and weights.shape[1] == side**2:
        return weights.reshape(-1, side, side)
    if weights.ndim == 4 and weights.shape[1] == 1:
        return weights[:, 0]
    return None
