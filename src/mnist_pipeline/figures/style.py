"""The style of all figures: colours that colour-blind people can tell apart, and files with stable bytes."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from multiprocessing import get_context
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.axis import Axis, XAxis
from matplotlib.figure import Figure, SubFigure
from numpy.typing import NDArray

from mnist_pipeline.core.errors import PipelineError
from mnist_pipeline.core.files import atomic_write

# Okabe and Ito's palette (2008): distinguishable with every common form of colour blindness.
BLUE, ORANGE, GREEN, GREY = "#0072B2", "#D55E00", "#009E73", "#8A8A8A"
DOTS_PER_INCH = 110
GALLERY_COLUMNS, LONGEST_LINE = 10, 15  # images in a row; characters above one of them

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
    """Return an empty figure of this size in inches, and apply the style to all that is drawn in this process."""
    mpl.rcParams.update(STYLE)  # axes take their look when they are made, which is after this
    return Figure(figsize=(width, height), layout="constrained")


def name_ticks(axis: Axis, names: Sequence[str], inches: float) -> None:
    """Name the ticks of an axis of about this length: rotated if they do not fit side by side, smaller if many."""
    size = min(11.0, 72 * inches / len(names))  # points
    upright = isinstance(axis, XAxis) and 0.65 * size / 72 * sum(len(name) + 1 for name in names) > inches
    axis.set_ticks(range(len(names)), names, fontsize=size, rotation=90 if upright else 0)


def save_figure(path: Path, figure: Figure) -> None:
    """Write a PNG atomically; its bytes depend on the figure alone: it holds no date and no version."""
    with atomic_write(path) as temporary:
        figure.savefig(temporary, format="png", dpi=DOTS_PER_INCH, metadata={"Software": None})


Drawings = Sequence[tuple[Path, Callable[[], Figure]]]


def save_figures(figures: Mapping[Path, Callable[[], Figure]]) -> None:
    """Draw figures and write them; every other in a second process.

    Raises:
        PipelineError: that process was killed.
    """
    context = get_context("fork" if sys.platform == "linux" else None)  # a copy need not import everything again
    receiver, sender = context.Pipe(duplex=False)
    drawings = list(figures.items())
    other = context.Process(target=_save_some, args=(drawings[1::2], sender))
    other.start()
    sender.close()
    for path, draw in drawings[::2]:
        save_figure(path, draw())
    try:
        error = receiver.recv()
    except EOFError:
        raise PipelineError("a process was killed, perhaps because memory ran out; run dvc repro again") from None
    other.join()
    if error is not None:
        raise error


def _save_some(drawings: Drawings, answer: Connection) -> None:
    """Save figures, and send what stopped it, or None. Nothing waits for a process that was killed."""
    try:
        for path, draw in drawings:
            save_figure(path, draw())
        answer.send(None)
    except Exception as error:
        answer.send(error)
    except KeyboardInterrupt as stop:
        answer.send(stop)


def draw_image(axes: Axes, image: NDArray[np.uint8]) -> None:
    """Draw one image as ink on paper, every pixel a sharp square, without axes."""
    axes.imshow(image, cmap="Blues", interpolation="none", vmin=0, vmax=255)
    axes.set_axis_off()


def draw_sheet(axes: Axes, images: NDArray[np.float32], names: Sequence[str] = ()) -> None:
    """Draw images, (rows, columns, side, side), of 0-255, likewise, and a name before each row; NaN: no image.

    On one pair of axes, which takes a tenth of the time of one for each image.
    """
    axes.imshow(side_by_side(images), cmap="Blues", interpolation="none", vmin=0, vmax=255)
    axes.set_axis_off()
    side = images.shape[2]
    for row, name in enumerate(names):
        middle = row * (side + gap_of(side)) + side / 2
        axes.text(-2 * gap_of(side), middle, name, ha="right", va="center", fontsize=14)


def side_by_side(pictures: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return one array with all pictures, (rows, columns, height, width), and NaN between them."""
    height, width = pictures.shape[2:]
    margins = ((0, 0), (0, 0), (0, gap_of(height)), (0, gap_of(width)))
    spaced = np.pad(pictures, margins, constant_values=np.nan).transpose(0, 2, 1, 3)
    return spaced.reshape(spaced.shape[0] * spaced.shape[1], -1)[: -gap_of(height), : -gap_of(width)]


def gap_of(side: int) -> int:
    """Return the space between pictures of so many pixels."""
    return -(-side // 9)


def new_gallery(images: NDArray[np.uint8], captions: Sequence[str], title: str) -> Figure:
    """Return a figure of images, uint8 (n, side, side), in rows of ten, each with a caption above.

    Long captions are broken before an arrow, and written smaller.
    """
    longest = max((len(line) for caption in captions for line in caption.splitlines()), default=0)
    long = longest > LONGEST_LINE
    captions = [caption.replace(" → ", "\n→ ") for caption in captions] if long else captions
    widest = max((len(line) for caption in captions for line in caption.splitlines()), default=1)
    size = max(5.0, min(7.0, 105 / widest)) if long else 9.0  # points, for a column of 1.1 inches
    lines = max((caption.count("\n") + 1 for caption in captions), default=0)
    rows = -(-len(images) // GALLERY_COLUMNS)
    figure = new_figure(11, 0.5 + (1.1 + 0.16 * lines) * rows)
    figure.suptitle(title)
    if len(images):
        draw_images(figure, images, captions, GALLERY_COLUMNS, size)
    return figure


def draw_images(
    figure: Figure | SubFigure, images: NDArray[np.uint8], captions: Sequence[str], columns: int, size: float = 9
) -> None:
    """Fill a figure with images, uint8 (n, side, side), row by row, each with a caption of this size above."""
    rows = -(-len(images) // columns)
    grid = figure.subplots(rows, columns, squeeze=False).reshape(-1)
    for axes, image, caption in zip(grid, images, captions, strict=False):
        draw_image(axes, image)
        axes.set_title(caption, fontsize=size, pad=3)
    for axes in grid[len(images) :]:
        axes.set_axis_off()
