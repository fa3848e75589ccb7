"""A grid of digits, each with a line of text above."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure, SubFigure
from numpy.typing import NDArray


def draw_digit(axes: Axes, image: NDArray[np.uint8]) -> None:
    """One image as ink on paper, every pixel a sharp square, no axes."""
    axes.imshow(image, cmap="Blues", interpolation="none", vmin=0, vmax=255)
    axes.set_axis_off()


def draw_digits(figure: Figure | SubFigure, images: NDArray[np.uint8], captions: Sequence[str], columns: int) -> None:
    """Fill a figure with images, uint8 (n, side, side), row by row."""
    rows = -(-len(images) // columns)
    grid = figure.subplots(rows, columns, squeeze=False).reshape(-1)
    for axes, image, caption in zip(grid, images, captions, strict=False):
        draw_digit(axes, image)
        axes.set_title(caption, fontsize=9, pad=3)
    for axes in grid[len(images) :]:
        axes.set_axis_off()
