"""What augmentation makes of training images."""

from __future__ import annotations

from matplotlib.figure import Figure

from mnist_pipeline.examples import Examples
from mnist_pipeline.figures.digits import draw_digit
from mnist_pipeline.figures.style import new_figure


def draw_augmentation(examples: Examples) -> Figure:
    """Each image on the left as it is, then its distorted versions; one row of images where nothing is distorted."""
    variants = examples.distorted.shape[1]
    if variants == 0:
        figure = new_figure(0.8 * len(examples.originals), 1.6)
        row = figure.subplots(1, len(examples.originals), squeeze=False)[0]
        for axes, image in zip(row, examples.originals, strict=True):
            draw_digit(axes, image)
        figure.suptitle("Training images, not augmented")
        return figure
    figure = new_figure(0.8 * (variants + 1), 0.8 * len(examples.originals) + 0.6)
    grid = figure.subplots(len(examples.originals), variants + 1, squeeze=False)
    for axes, original, distorted in zip(grid, examples.originals, examples.distorted, strict=True):
        for place, image in enumerate([original, *distorted]):
            draw_digit(axes[place], image)
    grid[0][0].set_title("original", fontsize=9)
    figure.suptitle("Training images, and augmented versions of each")
    return figure
