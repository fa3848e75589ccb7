"""The most confident mistakes of the classifier."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from mnist_pipeline.figures.style import draw_images, new_figure

COLUMNS = 10


def draw_mistakes(
    images: NDArray[np.uint8],
    labels: NDArray[np.int64],
    probabilities: NDArray[np.float64],
    classes: Sequence[str],
    number: int,
) -> Figure:
    """Draw the first ``number`` mistakes, each with its label, the prediction and the confidence.

    Args:
        images: of all mistakes, (n, side, side).
        labels: indices into ``classes``, (n,).
        probabilities: (n, classes).
        classes: the name of each class.
        number: how many to draw.
    """
    captions = [
        f"{classes[actual]} → {classes[given.argmax()]}\n{given.max():.1%}"
        for actual, given in zip(labels[:number], probabilities[:number], strict=True)
    ]
    rows = -(-max(len(captions), 1) // COLUMNS)
    figure = new_figure(10, 0.45 + 1.3 * rows)
    if captions:
        draw_images(figure, images[:number], captions, COLUMNS)
        title = f"The {len(captions)} most confident of {len(images)} mistakes (label → prediction, confidence)"
    else:
        title = "No mistakes on the test set"
    figure.suptitle(title)
    return figure
