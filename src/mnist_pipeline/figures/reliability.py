"""The reliability diagram: of all predictions with 80 % confidence, 80 % should be correct."""

from __future__ import annotations

import pandas as pd
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from mnist_pipeline.figures.style import BLUE, GREY, ORANGE, new_figure

FEW = 10
"""Images in a bin below which its accuracy says little, and is drawn faintly."""


def draw_reliability(calibration: pd.DataFrame) -> Figure:
    """Draw accuracy against confidence, and below it the number of predictions of each bar.

    Args:
        calibration: columns ``low``, ``high``, ``count``, ``confidence``, ``accuracy`` and the bounds of its interval,
            ``accuracy_low`` and ``accuracy_high``; a row a bin.
    """
    figure = new_figure(7, 6)
    above, below = figure.subplots(2, 1, sharex=True, height_ratios=(3, 1))
    filled = calibration[calibration["count"] > 0]
    width = calibration["high"] - calibration["low"]
    centre = (calibration["high"] + calibration["low"]) / 2
    colours = [(BLUE, 1.0 if count >= FEW else 0.3) for count in filled["count"]]
    above.bar(centre[filled.index], filled["accuracy"], width[filled.index] * 0.92, color=colours)
    below_above = [filled["accuracy"] - filled["accuracy_low"], filled["accuracy_high"] - filled["accuracy"]]
    above.errorbar(
        centre[filled.index],
        filled["accuracy"],
        below_above,
        fmt="none",
        ecolor="black",
        capsize=2,
        label="95 % interval",
    )
    above.plot(filled["confidence"], filled["confidence"], "s", color=ORANGE, label="mean confidence")
    above.plot([0, 1], [0, 1], color=GREY, linestyle="--", label="perfect calibration")
    above.set(title="Reliability diagram, test set", ylabel="accuracy", xlim=(0, 1), ylim=(0, 1.04))
    bars = Patch(color=BLUE, label=f"accuracy (pale: < {FEW} images)")
    figure.legend(handles=[bars, *above.get_legend_handles_labels()[0]], loc="outside lower center", ncols=2)
    below.bar(centre, calibration["count"], width * 0.92, color=GREY)
    below.set(xlabel="confidence", ylabel="test images", yscale="symlog")
    below.set_yticks([0, 10, 100, 1000, 10000], labels=["0", "10", "100", "1,000", "10,000"])
    return figure
