"""The reliability diagram: of all predictions with 80 % confidence, 80 % should be correct."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from mnist_pipeline.figures.style import BLUE, GREY, ORANGE, new_figure

FEW = 10
"""Images in a bin below which its accuracy says little, and is drawn faintly."""


def draw_reliability(calibration: Sequence[Mapping[str, float]]) -> Figure:
    """Draw accuracy against confidence, and below it the number of predictions of each bar.

    Args:
        calibration: ``low``, ``high``, ``count``, ``confidence``, ``accuracy`` and the bounds of its interval,
            ``accuracy_low`` and ``accuracy_high``, of each bin.
    """
    figure = new_figure(7, 6)
    above, below = figure.subplots(2, 1, sharex=True, height_ratios=(3, 1))
    table = {name: np.array([each[name] for each in calibration]) for name in calibration[0]}
    table |= {"width": table["high"] - table["low"], "centre": (table["high"] + table["low"]) / 2}
    filled = {name: column[table["count"] > 0] for name, column in table.items()}
    colours = [(BLUE, 1.0 if count >= FEW else 0.3) for count in filled["count"]]
    above.bar(filled["centre"], filled["accuracy"], filled["width"] * 0.92, color=colours)
    below_above = [filled["accuracy"] - filled["accuracy_low"], filled["accuracy_high"] - filled["accuracy"]]
    above.errorbar(
        filled["centre"],
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
    below.bar(table["centre"], table["count"], table["width"] * 0.92, color=GREY)
    below.set(xlabel="confidence", ylabel="test images", yscale="symlog")
    below.set_yticks([0, 10, 100, 1000, 10000], labels=["0", "10", "100", "1,000", "10,000"])
    return figure
