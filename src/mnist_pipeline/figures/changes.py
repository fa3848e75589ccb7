"""The digits on which two runs differ: those that the second gets right, and those that it gets wrong."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from mnist_pipeline.compare import Comparison
from mnist_pipeline.figures.digits import draw_digits
from mnist_pipeline.figures.style import new_figure

COLUMNS = 12
ROWS = 2


def draw_changes(comparison: Comparison, images: NDArray[np.uint8]) -> Figure:
    """The first fixed digits above the first broken ones, each with its class and both answers.

    Args:
        comparison: of two runs.
        images: of all test samples, (n, side, side), 0-255.
    """
    before, after = comparison.before, comparison.after
    figure = new_figure(12, 6.6)
    parts: Any = figure.subfigures(2, 1)
    for part, indices, what in zip(parts, (comparison.fixed, comparison.broken), ("fixed", "broken"), strict=True):
        shown = indices[: COLUMNS * ROWS]
        captions = [
            f"{before.samples[i].actual}: {before.samples[i].predicted} → {after.samples[i].predicted}" for i in shown
        ]
        if shown:
            draw_digits(part, images[shown], captions, COLUMNS)
        some = f", the first {len(shown)}" if len(shown) < len(indices) else ""
        part.suptitle(f"{len(indices)} digits {what} by {after.name}{some} (class: answer of {before.name} → its own)")
    return figure
