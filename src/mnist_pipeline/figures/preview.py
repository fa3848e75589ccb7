"""A look at the data before using it: the first images of each class."""

from __future__ import annotations

import numpy as np
from matplotlib.figure import Figure

from mnist_pipeline.figures.digits import draw_digit
from mnist_pipeline.figures.style import new_figure
from mnist_pipeline.splits import Split

PER_CLASS = 14
MOST_CLASSES = 16


def draw_preview(split: Split) -> Figure:
    """The first images of each class, a row for each class (of the first 16, if there are more)."""
    classes = split.classes[:MOST_CLASSES]
    figure = new_figure(8, 0.2 + 0.56 * len(classes))
    grid = figure.subplots(len(classes), PER_CLASS, squeeze=False)
    for label, name in enumerate(classes):
        chosen = np.flatnonzero(split.labels == label)[:PER_CLASS]
        for place, axes in enumerate(grid[label]):
            if place < len(chosen):
                draw_digit(axes, split.images[chosen[place]])
            else:
                axes.set_axis_off()
        grid[label][0].text(-0.35, 0.5, name, transform=grid[label][0].transAxes, ha="right", va="center", fontsize=14)
    of_all = "each label" if len(classes) == len(split.classes) else f"{len(classes)} of {len(split.classes)} labels"
    figure.suptitle(f"The first {PER_CLASS} training images of {of_all}")
    return figure
