"""Training images: the first of each class, and augmented versions of some."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from mnist_pipeline.figures.style import draw_image, new_figure

PER_CLASS = 14
MOST_CLASSES = 16


def draw_preview(images: NDArray[np.uint8], labels: NDArray[np.uint8], classes: Sequence[str]) -> Figure:
    """Draw the first images of each class, a row for each of the first 16 classes.

    Args:
        images: (n, side, side).
        labels: indices into ``classes``, (n,).
        classes: the name of each class.
    """
    every, classes = classes, classes[:MOST_CLASSES]
    figure = new_figure(8, 0.2 + 0.56 * len(classes))
    grid = figure.subplots(len(classes), PER_CLASS, squeeze=False)
    for label, name in enumerate(classes):
        chosen = np.flatnonzero(labels == label)[:PER_CLASS]
        for place, axes in enumerate(grid[label]):
            if place < len(chosen):
                draw_image(axes, images[chosen[place]])
            else:
                axes.set_axis_off()
        grid[label][0].text(-0.35, 0.5, name, transform=grid[label][0].transAxes, ha="right", va="center", fontsize=14)
    of_all = "each class" if len(classes) == len(every) else f"{len(classes)} of {len(every)} classes"
    figure.suptitle(f"The first {PER_CLASS} training images of {of_all}")
    return figure


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
