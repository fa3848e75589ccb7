"""Training images: the first of each class, and augmented versions of some."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from mnist_pipeline.figures.style import draw_sheet, gap_of, new_figure

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
    sheet = np.full((len(classes), PER_CLASS, *images.shape[1:]), np.nan, np.float32)
    for label in range(len(classes)):
        chosen = np.flatnonzero(labels == label)[:PER_CLASS]
        sheet[label, : len(chosen)] = images[chosen]
    draw_sheet(figure.subplots(), sheet, classes)
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
        draw_sheet(figure.subplots(), originals[None].astype(np.float32))
        figure.suptitle("Training images, not augmented")
        return figure
    figure = new_figure(0.8 * (variants + 1), 0.8 * len(originals) + 0.6)
    axes = figure.subplots()
    draw_sheet(axes, np.concatenate([originals[:, None], augmented], axis=1, dtype=np.float32))
    side = originals.shape[1]
    axes.text(side / 2, -gap_of(side), "original", ha="center", va="bottom", fontsize=9)
    figure.suptitle("Training images, and augmented versions of each")
    return figure
