"""One test image and the predicted probability of each class."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from mnist_pipeline.figures.style import BLUE, GREY, ORANGE, draw_image, name_ticks, new_figure

MOST_CLASSES, MOST_LIKELY = 26, 10


def draw_record(
    row: int, image: NDArray[np.uint8], actual: int, probabilities: NDArray[np.float64], classes: Sequence[str]
) -> Figure:
    """Draw a test image, and a bar for each class.

    Args:
        row: its number in the user's file.
        image: (side, side).
        actual: its label, an index into ``classes``.
        probabilities: (classes,).
        classes: the name of each class.
    """
    answer = int(probabilities.argmax())
    letters = min(30, max(map(len, classes)))
    figure = new_figure(9, 3.4 + 0.08 * max(0, letters - 3))  # names that stand upright take room
    left, right = figure.subplots(1, 2, width_ratios=(1, 2.4))
    draw_image(left, image)
    left.set_title(f"test row {row}\nlabel {classes[actual]}")
    shown = np.arange(len(classes))
    if len(classes) > MOST_CLASSES:
        shown = np.sort(np.argsort(-probabilities, kind="stable")[:MOST_LIKELY])
    colours = [BLUE if i == actual else ORANGE if i == answer else GREY for i in shown]
    places = np.arange(len(shown))
    right.bar(places, probabilities[shown], color=colours)
    right.set(
        title=f"predicted {classes[answer]}, {'correct' if answer == actual else 'wrong'}",
        xlabel="class" if len(shown) == len(classes) else f"the {MOST_LIKELY} most likely of {len(classes)} classes",
        ylabel="probability",
        ylim=(0, 1.08),
    )
    name_ticks(right.xaxis, [classes[label] for label in shown.tolist()], inches=5.2)
    for place, probability in zip(places, probabilities[shown], strict=True):
        if probability >= 0.005:
            right.text(place, probability + 0.01, f"{probability:.2f}", ha="center", va="bottom", fontsize=9)
    return figure
