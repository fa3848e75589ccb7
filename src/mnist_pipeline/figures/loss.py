"""The loss of single batches."""

from __future__ import annotations

import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullFormatter

from mnist_pipeline.figures.style import BLUE, new_figure


def draw_loss(steps: pd.DataFrame) -> Figure:
    """Draw the loss of single batches, on a logarithmic scale: the first are a hundred times the last.

    Args:
        steps: columns ``step`` and ``loss``; a loss of 0 is not drawn.
    """
    figure = new_figure(7, 4)
    axes = figure.subplots()
    steps = steps[steps["loss"] > 0]
    alpha = min(1.0, max(0.1, 300 / max(len(steps), 1)))
    axes.plot(steps["step"], steps["loss"], ".", color=BLUE, alpha=alpha, markersize=5, markeredgewidth=0)
    axes.set(title="Loss of single batches", xlabel="step", ylabel="loss")
    axes.set_yscale("log")
    axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.yaxis.set_major_formatter("{x:g}")
    axes.yaxis.set_minor_formatter(NullFormatter())
    return figure
