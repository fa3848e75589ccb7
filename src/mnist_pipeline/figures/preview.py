"""The first images of each class."""

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
