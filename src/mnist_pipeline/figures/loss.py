"""The loss by batch, as the tutorial draws it, and by epoch, training against validation."""

from __future__ import annotations

import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from mnist_pipeline.figures.style import BLUE, ORANGE, new_figure


def draw_loss(steps: pd.DataFrame, history: pd.DataFrame) -> Figure:
    """Draw the loss of single batches beside the mean loss by epoch.

    Args:
        steps: columns ``step`` and ``loss``.
        history: columns ``epoch``, ``train_loss`` and ``validation_loss`` (empty without validation).
    """
    figure = new_figure(10, 4)
    left, right = figure.subplots(1, 2)
    # Faint dots, lines at 0, 0.25 and 0.5, and 0 to 1 on the y axis are the tutorial's; dots above 1 are cut off.
    alpha = min(1.0, max(0.1, 300 / max(len(steps), 1)))
    left.plot(steps["step"], steps["loss"], ".", color=BLUE, alpha=alpha, markersize=4, markeredgewidth=0)
    left.set(
        title="Loss of single batches", xlabel="step", ylabel="loss", ylim=(0, 1.0), yticks=(0, 0.25, 0.5, 0.75, 1)
    )
    for name, colour, marker in (("train", BLUE, "o"), ("validation", ORANGE, "s")):
        series = history[f"{name}_loss"]
        if series.notna().any():
            right.plot(history["epoch"], series, color=colour, marker=marker, markersize=4, label=name)
    right.set(title="Mean loss by epoch", xlabel="epoch", ylabel="loss")
    right.set_ylim(bottom=0)
    right.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    right.legend()
    return figure
