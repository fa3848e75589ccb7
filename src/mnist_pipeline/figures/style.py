"""One look for all pictures: colours that colour-blind people can tell apart, and files with stable bytes."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib.axis import Axis, XAxis
from matplotlib.figure import Figure

from mnist_pipeline.files import replacing

# Okabe and Ito's palette (2008): distinguishable with every common form of colour blindness.
BLUE, ORANGE, GREEN, GREY = "#0072B2", "#D55E00", "#009E73", "#8A8A8A"
DOTS_PER_INCH = 110

STYLE: Any = {  # the stubs want each key to be a literal
    "axes.axisbelow": True,
    "axes.grid": True,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.titlesize": 12,
    "figure.titlesize": 14,
    "font.size": 11,
    "grid.color": "#E3E3E3",
    "legend.frameon": False,
    "text.parse_math": False,  # a $ in the name of a class is a dollar
}


def new_figure(width: float, height: float) -> Figure:
    """An empty figure of this size in inches; from then on, all that is drawn in this process has the look."""
    mpl.rcParams.update(STYLE)  # axes take their look when they are made, which is after this
    return Figure(figsize=(width, height), layout="constrained")


def name_ticks(axis: Axis, names: Sequence[str], inches: float) -> None:
    """Names along an axis of about this length: upright if they do not fit side by side, smaller if there are many."""
    size = min(11.0, 72 * inches / len(names))  # points
    upright = isinstance(axis, XAxis) and 0.65 * size / 72 * sum(len(name) + 1 for name in names) > inches
    axis.set_ticks(range(len(names)), names, fontsize=size, rotation=90 if upright else 0)


def save_figure(path: Path, figure: Figure) -> None:
    """Write a PNG; its bytes depend on the picture alone: no date, no version in it."""
    with replacing(path) as temporary:
        figure.savefig(temporary, format="png", dpi=DOTS_PER_INCH, metadata={"Software": None})
