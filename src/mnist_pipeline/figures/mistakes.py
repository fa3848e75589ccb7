"""The most confident mistakes of the classifier."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from mnist_pipeline.figures.style import new_gallery


def draw_mistakes(
    images: NDArray[np.uint8],
    rows: NDArray[np.int64],
    labels: NDArray[np.int64],
    probabilities: NDArray[np.float64],
    classes: Sequence[str],
    number: int,
) -> Figure:
    """Draw the first ``number`` mistakes, each with its label, the prediction, the confidence and the row.

    Args:
        images: of all mistakes, (n, side, side).
        rows: their numbers in the user's file, (n,).
        labels: indices into ``classes``, (n,).
        probabilities: (n, classes).
        classes: the name of each class.
        number: how many to draw.
    """
    captions = [
        f"{classes[actual]} → {classes[given.argmax()]}\n{given.max():.1%}\nrow {row}"
        for row, actual, given in zip(rows[:number], labels[:number], probabilities[:number], strict=True)
    ]
    title = f"The {len(captions)} most confident of {len(images)} mistakes: label → prediction, confidence, row"
    return new_gallery(images[:number], captions, title if captions else "No mistakes on the test set")
