"""The test samples on which two runs differ."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from mnist_pipeline.experiments.compare import Comparison
from mnist_pipeline.figures.style import draw_images, new_figure

COLUMNS, ROWS = 12, 2  # of images


def draw_changes(comparison: Comparison, images: NDArray[np.uint8]) -> Figure:
    """Draw the first fixed images above the first broken ones, each with its class and both predictions.

    Args:
        comparison: of two runs.
        images: of all test samples, (n, side, side), 0-255.
    """
    before, after = comparison.before.runs[0].predictions, comparison.after.runs[0].predictions
    names = comparison.before.name, comparison.after.name
    figure = new_figure(12, 6.6)
    parts: Any = figure.subfigures(2, 1)
    for part, indices, what in zip(parts, (comparison.fixed, comparison.broken), ("fixed", "broken"), strict=True):
        shown = indices[: COLUMNS * ROWS]
        captions = [f"{before['actual'][i]}: {before['predicted'][i]} → {after['predicted'][i]}" for i in shown]
        if shown:
            draw_images(part, images[shown], captions, COLUMNS)
        some = f", the first {len(shown)}" if len(shown) < len(indices) else ""
        part.suptitle(f"{len(indices)} images {what} by {names[1]}{some} (class: {names[0]} → {names[1]})")
    return figure
