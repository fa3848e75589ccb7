"""The loss of single batches."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullFormatter

from mnist_pipeline.figures.style import BLUE, new_figure


def draw_loss(steps: Sequence[Mapping[str, float]]) -> Figure:
    """Draw the loss of single batches, on a logarithmic scale: the first are a hundred times the last.

    Args:
        steps: each with its ``step`` and ``loss``; a loss of 0 is not drawn.
    """
    figure = new_figure(7, 4)
    axes = figure.subplots()
    steps = [each for each in steps if each["loss"] > 0]
    places, losses = ([each[name] for each in steps] for name in ("step", "loss"))
    alpha = min(1.0, max(0.1, 300 / max(len(steps), 1)))
    axes.plot(places, losses, ".", color=BLUE, alpha=alpha, markersize=5, markeredgewidth=0)
    axes.set(title="Loss of single batches", xlabel="step", ylabel="loss")
    axes.set_yscale("log")
    axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.yaxis.set_major_formatter("{x:g}")
    axes.yaxis.set_minor_formatter(NullFormatter())
    return figure
