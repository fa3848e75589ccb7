"""Every figure, on usual and on extreme inputs: the numbers and words in it, and the bytes of its file."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from matplotlib.image import imread
from matplotlib.patches import Rectangle
from numpy.typing import NDArray

from mnist_pipeline.figures.confusion import draw_confusion
from mnist_pipeline.figures.loss import draw_loss
from mnist_pipeline.figures.mistakes import draw_mistakes
from mnist_pipeline.figures.record import draw_record
from mnist_pipeline.figures.reliability import draw_reliability
from mnist_pipeline.figures.style import BLUE, GREY, ORANGE, save_figure, save_figures
from mnist_pipeline.figures.training_images import draw_augmentation, draw_preview
from mnist_pipeline.figures.weights import draw_weights

THREE = ("a", "b", "c")
FORTY = tuple(f"a long $name, {place}" for place in range(40))
IMAGES = np.random.default_rng(0).integers(0, 256, (120, 4, 4), np.uint8)
LABELS = np.arange(120) % 3
PROBABILITIES = np.random.default_rng(1).dirichlet(np.ones(3), 120)


def losses(steps: int) -> pd.DataFrame:
    step = 10 * np.arange(1, steps + 1)
    return pd.DataFrame({"step": step, "loss": 30 / step})


def predictions(actual: Sequence[str], predicted: Sequence[str]) -> pd.DataFrame:
    return pd.DataFrame({"actual": [*actual], "predicted": [*predicted]})


def calibration(counts: list[int]) -> pd.DataFrame:
    bins, count = len(counts), np.array(counts)
    low = np.arange(bins) / bins
    confidence = np.where(count > 0, low + 0.6 / bins, np.nan)
    table = {"low": low, "high": low + 1 / bins, "count": count, "confidence": confidence, "accuracy": confidence * 0.9}
    bounds = {"accuracy_low": confidence * 0.8, "accuracy_high": confidence * 0.93}
    return pd.DataFrame(table | bounds)


def first_layer(units: int, *further: NDArray[np.float32]) -> dict[str, NDArray[np.float32]]:
    weights = np.random.default_rng(0).normal(size=(units, 16)).astype(np.float32)
    layers = [np.zeros(units, np.float32), weights, *further]
    return {f"network.{place}.weight": layer for place, layer in enumerate(layers)}


FIGURES: dict[str, Callable[[], Figure]] = {
    "confusion": lambda: draw_confusion(predictions("aaaaabbbc", "aaabbbbca"), THREE),
    "confusion without mistakes": lambda: draw_confusion(predictions("a", "a"), THREE),
    "confusion of 40 classes": lambda: draw_confusion(predictions(FORTY, FORTY[::-1]), FORTY),
    "loss": lambda: draw_loss(losses(400)),
    "loss without steps": lambda: draw_loss(losses(0)),
    "loss of 0": lambda: draw_loss(losses(3) * 0),
    "mistakes": lambda: draw_mistakes(IMAGES, LABELS, LABELS, PROBABILITIES, ("$a", "b$", "_"), 11),
    "no mistakes": lambda: draw_mistakes(IMAGES[:0], LABELS[:0], LABELS[:0], PROBABILITIES[:0], THREE, 20),
    "preview": lambda: draw_preview(IMAGES[:9], LABELS[:9].astype(np.uint8), FORTY[:2]),
    "record": lambda: draw_record(7, IMAGES[0], 2, np.array([0.1, 0.2, 0.7]), THREE),
    "record of 40 classes": lambda: draw_record(7, IMAGES[0], 2, np.full(40, 1 / 40), FORTY),
    "reliability": lambda: draw_reliability(calibration([0, 0, 3, 5, 20, 9000])),
    "reliability of one image in 100 bins": lambda: draw_reliability(calibration([0] * 99 + [1])),
    "weights": lambda: draw_weights(first_layer(13), side=4),
    "a single weight": lambda: draw_weights({"w": np.ones((1, 1), np.float32)}, side=1),
    "weights that are all 0": lambda: draw_weights({"w": np.zeros((2, 16), np.float32)}, side=4),
    "kernels": lambda: draw_weights({"w": np.ones((5, 1, 3, 3), np.float32)}, side=4),
    "no weights of pixels": lambda: draw_weights(first_layer(3), side=9),
    "augmentation": lambda: draw_augmentation(IMAGES[:2], IMAGES[2:8].reshape(2, 3, 4, 4)),
    "no augmentation": lambda: draw_augmentation(IMAGES[:2], np.zeros((2, 0, 4, 4), np.uint8)),
}


@pytest.mark.parametrize("name", FIGURES)
def test_every_figure_has_a_title_and_is_saved_without_a_warning(tmp_path: Path, name: str) -> None:
    """A warning is an error here: an axis without extent, a title that finds no room, a letter without a shape."""
    figure, path = FIGURES[name](), tmp_path / "new" / "figure.png"
    assert any([figure.get_suptitle(), *(axes.get_title() for axes in figure.axes)])
    save_figure(path, figure)
    assert b"matplotlib" not in path.read_bytes().lower()  # no version
    assert max(imread(path).shape) <= 2000


@pytest.mark.filterwarnings("ignore:.*multi-threaded:DeprecationWarning")  # pytest is, a stage is not
def test_a_figure_has_the_same_bytes_drawn_again_or_together_with_others(tmp_path: Path) -> None:
    names = ("confusion", "loss", "record", "weights")
    save_figures({tmp_path / f"{name}.png": partial(drawn, name) for name in names})
    for name in names:
        save_figure(tmp_path / "alone", FIGURES[name]())
        assert (tmp_path / f"{name}.png").read_bytes() == (tmp_path / "alone").read_bytes()
    (tmp_path / "file").touch()
    with pytest.raises(OSError, match=f"{tmp_path}/file"):
        save_figures({tmp_path / "file" / "loss.png": partial(drawn, "loss")})


def drawn(name: str) -> Figure:
    return FIGURES[name]()


def shown(axes: Axes) -> Any:
    array = axes.images[0].get_array()
    assert array is not None
    return array.tolist()


def on_sheet(axes: Axes, side: int) -> list[list[Any]]:
    """The images that are drawn side by side with a space of one pixel, in rows; None where there is none."""
    array = axes.images[0].get_array()
    assert array is not None
    values = np.ma.filled(array, np.nan)
    step = side + 1
    assert np.isnan(values[side::step]).all()
    assert np.isnan(values[:, side::step]).all()
    rows = [
        np.split(row[:side], range(step, row.shape[1], step), axis=1)
        for row in np.split(values, range(step, len(values), step))
    ]
    return [[None if np.isnan(each[0, 0]) else each[:, :side].tolist() for each in row] for row in rows]


def bars(axes: Axes) -> list[Rectangle]:
    return [patch for patch in axes.patches if isinstance(patch, Rectangle)]


def test_confusion_shows_every_count_and_colours_mistakes_alone() -> None:
    axes = FIGURES["confusion"]().axes[0]
    counts = {tuple(map(round, text.get_position())): text.get_text() for text in axes.texts}
    expected = {(0, 0): "3", (1, 0): "2", (1, 1): "2", (2, 1): "1", (0, 2): "1"}  # (predicted, actual)
    assert counts == {(x, y): expected.get((x, y), "·") for x in range(3) for y in range(3)}
    assert [cell.get_xy() for cell in bars(axes)] == [(-0.5, -0.5), (0.5, 0.5), (1.5, 1.5)]
    assert shown(axes) == [[0, 2, 0], [0, 0, 1], [1, 0, 0]]
    assert axes.images[0].get_clim()[0] == 0
    assert axes.get_title().startswith("9 test images, 4 ")
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("predicted", "actual")
    for axis in (axes.xaxis, axes.yaxis):
        assert [label.get_text() for label in axis.get_ticklabels()] == list(THREE)


@pytest.mark.parametrize(("classes", "rotation"), [(THREE, 0), (FORTY, 90)], ids=["three", "forty long names"])
def test_names_of_classes_do_not_overlap(classes: tuple[str, ...], rotation: int) -> None:
    figure = draw_confusion(predictions(classes, classes[::-1]), classes)
    figure.canvas.draw()
    for labels in (figure.axes[0].get_xticklabels(), figure.axes[0].get_yticklabels()):
        boxes = [label.get_window_extent() for label in labels]
        assert len(boxes) == len(classes)
        assert not any(one.overlaps(other) for one, other in pairwise(boxes))
    assert {text.get_rotation() for text in figure.axes[0].get_xticklabels()} == {rotation}


def test_loss_shows_every_step_the_first_ones_too() -> None:
    steps = losses(50)
    (axes,) = draw_loss(steps).axes
    assert np.array_equal(axes.get_lines()[0].get_xydata(), steps)
    assert axes.get_ylim()[0] < steps["loss"].min() < steps["loss"].max() < axes.get_ylim()[1]
    assert (axes.get_xlabel(), axes.get_yscale()) == ("step", "log")


def test_long_names_above_images_do_not_overlap() -> None:
    names = [f"rhododendron-number-{place}" for place in range(3)]
    figure = draw_mistakes(IMAGES[:10], np.arange(10), LABELS[:10], PROBABILITIES[:10], names, 10)
    figure.draw_without_rendering()  # which lays it out
    boxes = [axes.title.get_window_extent() for axes in figure.axes]
    assert not any(one.overlaps(other) for one, other in pairwise(boxes))


def test_mistakes_are_captioned_and_in_order() -> None:
    probabilities = np.array([[0.1, 0.8765, 0.0235], [0.6, 0.1, 0.3], [0.1, 0.1, 0.8]])
    figure = draw_mistakes(IMAGES[:3], np.array([7, 1042, 3]), np.array([0, 2, 1]), probabilities, THREE, 2)
    drawn = [axes for axes in figure.axes if axes.images]
    assert [shown(axes) for axes in drawn] == IMAGES[:2].tolist()
    captions = [axes.get_title() for axes in drawn]
    for caption, words in zip(captions, (("a", "b", "87.6%", "row 7"), ("c", "a", "60.0%", "row 1042")), strict=True):
        assert [caption.index(word) for word in words] == sorted(caption.index(word) for word in words)
    assert figure.get_suptitle().startswith("The 2 most confident of 3 mistakes")
    assert FIGURES["no mistakes"]().get_suptitle() == "No mistakes on the test set"


def test_preview_shows_the_first_images_of_each_class_also_of_one_without_images() -> None:
    labels = np.array([0] * 20 + [2] * 5, np.uint8)
    figure = draw_preview(IMAGES[:25], labels, THREE)
    (axes,) = figure.axes
    assert [text.get_text() for text in axes.texts] == list(THREE)
    rows = on_sheet(axes, side=4)
    assert [[image for image in row if image is not None] for row in rows] == [
        IMAGES[:14].tolist(),
        [],
        IMAGES[20:25].tolist(),
    ]
    assert not axes.axison
    assert figure.get_suptitle().startswith("The first 14 training images of each ")


def test_preview_of_many_classes_shows_the_first_16() -> None:
    figure = draw_preview(IMAGES[:80], (np.arange(80) % 40).astype(np.uint8), FORTY)
    assert [text.get_text() for axes in figure.axes for text in axes.texts] == list(FORTY[:16])
    assert "16 of 40" in figure.get_suptitle()


@pytest.mark.parametrize(
    ("probabilities", "colours", "numbers", "words"),
    [
        ([0.0, 0.005, 0.995], [GREY, GREY, BLUE], ["0.01", "0.99"], ("c", "correct")),
        ([0.7, 0.2, 0.1], [ORANGE, GREY, BLUE], ["0.70", "0.20", "0.10"], ("a", "wrong")),
    ],
)
def test_record_shows_the_label_the_prediction_and_a_bar_for_each_class(
    probabilities: list[float], colours: list[str], numbers: list[str], words: tuple[str, str]
) -> None:
    left, right = draw_record(7, IMAGES[0], 2, np.array(probabilities), THREE).axes
    assert shown(left) == IMAGES[0].tolist()
    assert left.get_title().split() == ["test", "row", "7", "label", "c"]
    assert right.get_title().replace(",", "").split()[-2:] == list(words)
    assert [bar.get_height() for bar in bars(right)] == probabilities
    assert [to_hex(bar.get_facecolor()).upper() for bar in bars(right)] == colours
    assert [text.get_text() for text in right.texts] == numbers
    assert (right.get_xlabel(), right.get_ylabel()) == ("class", "probability")


def test_record_of_very_many_classes_shows_the_most_likely() -> None:
    probabilities, likely = np.full(40, 0.001), [2, 5, 8, 11, 12, 13, 20, 21, 30, 39]
    probabilities[likely] = np.linspace(0.05, 0.15, 10)
    right = draw_record(0, IMAGES[0], 21, probabilities, FORTY).axes[1]
    assert "10" in right.get_xlabel()
    assert "of 40 classes" in right.get_xlabel()
    assert [text.get_text() for text in right.get_xticklabels()] == [FORTY[label] for label in likely]
    assert [bar.get_height() for bar in bars(right)] == probabilities[likely].tolist()
    assert to_hex(bars(right)[7].get_facecolor()).upper() == BLUE


def test_reliability_has_a_bar_where_predictions_are_and_the_number_of_them_below() -> None:
    table = calibration([0, 5, 0, 20])
    figure = draw_reliability(table)
    above, below = figure.axes
    filled = table[table["count"] > 0]
    assert [bar.get_height() for bar in bars(above)] == pytest.approx(filled["accuracy"].tolist())
    assert [bar.get_x() + bar.get_width() / 2 for bar in bars(above)] == pytest.approx([0.375, 0.875])
    assert [bar.get_height() for bar in bars(below)] == [0, 5, 0, 20]
    (confidences,) = (line for line in above.get_lines() if line.get_label() == "mean confidence")
    assert np.array_equal(confidences.get_xdata(), filled["confidence"])
    (intervals,) = (each for each in above.collections if isinstance(each, LineCollection))
    ends = np.stack([segment[:, 1] for segment in intervals.get_segments()], axis=1)
    np.testing.assert_allclose(ends, [filled["accuracy_low"], filled["accuracy_high"]])
    assert (above.get_ylabel(), below.get_ylabel(), below.get_xlabel()) == ("accuracy", "test images", "confidence")
    assert len(figure.legends) == 1


def test_weights_are_those_of_the_strongest_units_of_the_first_layer_on_one_symmetric_scale() -> None:
    """And not of the second, although it has as many inputs as there are pixels."""
    arrays = first_layer(60, np.ones((7, 16), np.float32))
    weights = arrays["network.1.weight"]
    figure = draw_weights(arrays, side=4)
    (image,) = figure.axes[0].images
    strongest = weights[np.argsort(-(weights.astype(np.float64) ** 2).sum(axis=1))[:48]]
    rows = np.asarray(image.get_array()).reshape(-1)
    in_rows = strongest.reshape(4, 12, 4, 4).swapaxes(1, 2)
    assert rows[~np.isnan(rows)].tolist() == in_rows.ravel().tolist()
    assert "48 of 60 units" in figure.get_suptitle()
    low, high = image.get_clim()
    assert low == -high
    assert "5 of 5 kernels" in FIGURES["kernels"]().get_suptitle()
    assert not FIGURES["no weights of pixels"]().axes


def test_augmentation_shows_each_image_and_its_versions_in_a_row() -> None:
    figure = FIGURES["augmentation"]()
    versions = IMAGES[2:8].reshape(2, 3, 4, 4)
    (axes,) = figure.axes
    assert on_sheet(axes, side=4) == [[image.tolist() for image in (IMAGES[row], *versions[row])] for row in range(2)]
    assert [text.get_text() for text in axes.texts] == ["original"]
    assert "augmented versions" in figure.get_suptitle()
    alone = FIGURES["no augmentation"]()
    assert on_sheet(alone.axes[0], side=4) == [IMAGES[:2].tolist()]
    assert "not augmented" in alone.get_suptitle()
