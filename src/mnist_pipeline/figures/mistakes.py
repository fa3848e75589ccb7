"""The digits that the classifier misread with the greatest confidence."""

from __future__ import annotations

from matplotlib.figure import Figure

from mnist_pipeline.figures.digits import draw_digits
from mnist_pipeline.figures.style import new_figure
from mnist_pipeline.showcase import Showcase

COLUMNS = 10


def draw_mistakes(showcase: Showcase, number: int) -> Figure:
    """The first ``number`` mistakes of a showcase, each with its label, the answer and the confidence."""
    chosen = slice(1, 1 + number)  # the first row is the record, not a mistake
    classes = showcase.classes
    labels, probabilities = showcase.labels[chosen], showcase.probabilities[chosen]
    captions = [
        f"{classes[actual]}, read {classes[given.argmax()]}\n{given.max():.1%}"
        for actual, given in zip(labels, probabilities, strict=True)
    ]
    rows = -(-max(len(captions), 1) // COLUMNS)
    figure = new_figure(10, 0.45 + 1.3 * rows)
    if captions:
        draw_digits(figure, showcase.images[chosen], captions, COLUMNS)
        title = f"The {len(captions)} most confident of {len(showcase.rows) - 1} mistakes on the test set"
    else:
        title = "No mistakes on the test set"
    figure.suptitle(f"{title}")
    return figure
