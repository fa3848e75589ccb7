"""The confusion matrix."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from mnist_pipeline.figures.style import BLUE, name_ticks, new_figure

MOST_NUMBERS = 20
LARGEST = 18.0  # inches


def draw_confusion(predictions: pd.DataFrame, classes: Sequence[str]) -> Figure:
    """Draw the confusion matrix. The colour shows mistakes alone: beside the correct ones they would all look white.

    Args:
        predictions: columns ``actual`` and ``predicted``, names of classes.
        classes: all names, in order.
    """
    table = pd.crosstab(predictions["actual"], predictions["predicted"])
    counts = table.reindex(index=list(classes), columns=list(classes), fill_value=0).to_numpy()
    mistakes = np.where(np.eye(len(classes), dtype=bool), 0, counts)
    growth = max(0.0, 0.14 * (len(classes) - MOST_NUMBERS))
    figure = new_figure(min(7.5 + growth, LARGEST), min(6.6 + growth, LARGEST))
    axes = figure.subplots()
    image = axes.imshow(mistakes, cmap="Oranges", vmin=0, vmax=max(1, mistakes.max() * 1.3))
    axes.set(
        title=f"{counts.sum():,} test images, {mistakes.sum():,} misclassified",
        xlabel="predicted",
        ylabel="actual",
    )
    inches = figure.get_figheight() - 1.4
    name_ticks(axes.xaxis, classes, inches)
    name_ticks(axes.yaxis, classes, inches)
    axes.grid(visible=False)
    figure.colorbar(image, ax=axes, label="mistakes", shrink=0.8)
    if len(classes) <= MOST_NUMBERS:
        for (row, column), count in np.ndenumerate(counts):
            right = row == column
            if right:
                axes.add_patch(_cell(column, row))
            axes.text(
                column,
                row,
                str(count) if count else "·",
                ha="center",
                va="center",
                color="white" if right else "black" if count else "#AAAAAA",
                fontsize=10,
            )
    return figure


def _cell(column: int, row: int) -> Rectangle:
    return Rectangle((column - 0.5, row - 0.5), 1, 1, color=BLUE)
