"""Training images and augmented versions of each."""

from __future__ import annotations

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from mnist_pipeline.figures.style import draw_image, new_figure


def draw_augmentation(originals: NDArray[np.uint8], augmented: NDArray[np.uint8]) -> Figure:
    """Draw each image and its augmented versions in a row.

    Args:
        originals: (n, side, side).
        augmented: (n, variants, side, side); without variants, the images alone are drawn.
    """
    variants = augmented.shape[1]
    if variants == 0:
        figure = new_figure(0.8 * len(originals), 1.6)
        row = figure.subplots(1, len(originals), squeeze=False)[0]
        for axes, image in zip(row, originals, strict=True):
            draw_image(axes, image)
        figure.suptitle("Training images, not augmented")
        return figure
    figure = new_figure(0.8 * (variants + 1), 0.8 * len(originals) + 0.6)
    grid = figure.subplots(len(originals), variants + 1, squeeze=False)
    for axes, original, versions in zip(grid, originals, augmented, strict=True):
        for place, image in enumerate([original, *versions]):
            draw_image(axes[place], image)
    grid[0][0].set_title("original", fontsize=9)
    figure.suptitle("Training images, and augmented versions of each")
    return figure
