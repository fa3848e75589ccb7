"""What the first layer looks for: each hidden unit's weights, laid out as the image it reads."""

from __future__ import annotations

import numpy as np
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure

from mnist_pipeline.figures.style import new_figure
from mnist_pipeline.modelfile import ModelFile

ROWS, COLUMNS = 4, 12


def draw_weights(model: ModelFile) -> Figure:
    """The units of the first layer whose weights are largest (root mean square), one small picture each."""
    side = model.description["image_side"]
    weights = next(array for array in model.tensors.values() if array.ndim == 2 and array.shape[1] == side**2)
    strength = np.sqrt((weights.astype(np.float64) ** 2).mean(axis=1))
    chosen = weights[np.argsort(-strength, kind="stable")[: ROWS * COLUMNS]]
    limit = float(np.quantile(np.abs(chosen), 0.995))
    colours = ScalarMappable(Normalize(-limit, limit), cmap="PuOr")
    figure = new_figure(10, 3.4)
    grid = figure.subplots(ROWS, COLUMNS).reshape(-1)
    for axes in grid:
        axes.set_axis_off()
    for axes, unit in zip(grid, chosen, strict=False):
        axes.imshow(unit.reshape(side, side), cmap=colours.cmap, norm=colours.norm, interpolation="none")
    figure.colorbar(colours, ax=list(grid), label="weight", shrink=0.8)
    figure.suptitle(f"Weights from the pixels to {len(chosen)} of {len(weights)} first-layer units")
    return figure
