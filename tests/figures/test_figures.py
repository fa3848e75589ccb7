"""Every picture, on usual and on extreme inputs, drawn into a file as the stages do it."""

from __future__ import annotations

import io
import subprocess
import sys
import tempfile
from collections.abc import Callable
from functools import cache
from itertools import pairwise
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from matplotlib.axes import Axes
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from matplotlib.image import imread
from matplotlib.patches import Rectangle

from mnist_pipeline.examples import Examples
from mnist_pipeline.figures import preview
from mnist_pipeline.figures.augmentation import draw_augmentation
from mnist_pipeline.figures.confusion import draw_confusion
from mnist_pipeline.figures.loss import draw_loss
from mnist_pipeline.figures.mistakes import draw_mistakes
from mnist_pipeline.figures.preview import draw_preview
from mnist_pipeline.figures.record import draw_record
from mnist_pipeline.figures.reliability import draw_reliability
from mnist_pipeline.figures.style import BLUE, GREY, ORANGE, save_figure
from mnist_pipeline.figures.weights import draw_weights
from mnist_pipeline.modelfile import ModelFile
from mnist_pipeline.evaluation.figure_samples import Showcase, choose
from mnist_pipeline.data.dataset import Split
from tests.conftest import ROOT, synthetic_dataset

DIGITS = tuple("0123456789")
LETTERS = tuple("ABCDEFGHIJKLMNOPQRSTUVWXYZ")
THREE = ("a", "b", "c")


def steps_table(number: int) -> pd.DataFrame:
    steps = np.arange(1, number + 1) * 10
    return pd.DataFrame({"step": steps, "loss": 3 / np.sqrt(steps)})


def history_table(epochs: int, validated: bool = True) -> pd.DataFrame:
    number = np.arange(1, epochs + 1)
    validation = 1.2 / number if validated else np.full(epochs, np.nan)
    return pd.DataFrame({"epoch": number, "train_loss": 1 / number, "validation_loss": validation})


def predictions_table(actual: list[str], predicted: list[str]) -> pd.DataFrame:
    return pd.DataFrame({"actual": actual, "predicted": predicted})


def shifted(classes: tuple[str, ...], by: int, times: int = 2) -> pd.DataFrame:
    """Each class read as the one that many places on."""
    actual = [*classes] * times
    return predictions_table(actual, [classes[(i + by) % len(classes)] for i in range(len(classes))] * times)


def calibration_table(counts: list[int]) -> pd.DataFrame:
    bins = len(counts)
    low, high, count = np.arange(bins) / bins, np.arange(1, bins + 1) / bins, np.array(counts)
    confidence = np.where(count > 0, low + 0.6 / bins, np.nan)
    table = {"low": low, "high": high, "count": count, "confidence": confidence, "accuracy": confidence * 0.9}
    return pd.DataFrame(table)


def without(split: Split, label: int) -> Split:
    kept = split.labels != label
    return Split(split.images[kept], split.labels[kept], split.classes)


def showcase_of(classes: tuple[str, ...], mistakes: int, rows: int = 30, record: int = 0) -> Showcase:
    """Of that many rows, the last are wrong, the very last with the greatest confidence."""
    split = synthetic_dataset(rows, classes=classes)
    labels = split.labels.astype(np.int64)
    answers = labels.copy()
    answers[rows - mistakes :] = (answers[rows - mistakes :] + 1) % len(classes)
    sure = np.linspace(0.6, 1.0, rows)
    probabilities = np.tile(((1 - sure) / (len(classes) - 1))[:, None], len(classes))
    probabilities[np.arange(rows), answers] = sure
    return choose(split.images, labels, probabilities, classes, record)


def model_of(
    units: int,
    side: int = 8,
    *,
    zero: bool = False,
    further: tuple[int, ...] = (),
    side_of_model: int | None = None,
) -> ModelFile:
    """A network with that first layer, and further layers that must not be taken for it."""
    random, tensors, width = np.random.default_rng(0), {}, side**2
    for place, each in enumerate((units, *further)):
        weights = random.normal(size=(each, width)).astype(np.float32)
        tensors[f"network.{3 * place}.bias"] = np.zeros(each, np.float32)
        tensors[f"network.{3 * place}.weight"] = np.zeros_like(weights) if zero else weights
        width = each
    return ModelFile({"image_side": side_of_model or side}, tensors)


def kernels() -> ModelFile:
    """A convolutional network's first layer."""
    return ModelFile({"image_side": 8}, {"network.1.weight": np.ones((16, 1, 5, 5), np.float32)})


def examples(variants: int) -> Examples:
    images = synthetic_dataset(8).images
    return Examples(images, np.repeat(images[:, None], variants, axis=1))


NO_STEPS = pd.DataFrame({"step": [], "loss": []})

CASES: dict[str, tuple[Callable[[], Figure], str]] = {
    "confusion": (lambda: draw_confusion(shifted(DIGITS, 3), DIGITS), "20 test images, 20 of them misread"),
    "confusion-no-mistakes": (lambda: draw_confusion(shifted(THREE, 0), THREE), "6 test images, 0 of them misread"),
    "confusion-one-image": (
        lambda: draw_confusion(predictions_table(["a"], ["c"]), THREE),
        "1 test images, 1 of them misread",
    ),
    "confusion-26-classes": (
        lambda: draw_confusion(shifted(LETTERS, 1), LETTERS),
        "52 test images, 52 of them misread",
    ),
    "loss": (lambda: draw_loss(steps_table(400), history_table(5)), "Loss of single batches"),
    "loss-no-validation": (lambda: draw_loss(steps_table(9), history_table(3, False)), "Mean loss by epoch"),
    "loss-one-epoch": (lambda: draw_loss(steps_table(1), history_table(1)), "Mean loss by epoch"),
    "loss-no-steps": (lambda: draw_loss(NO_STEPS, history_table(1, False)), "Mean loss by epoch"),
    "mistakes": (
        lambda: draw_mistakes(showcase_of(DIGITS, 25), 20),
        "The 20 most confident of 25 mistakes on the test set",
    ),
    "mistakes-none": (lambda: draw_mistakes(showcase_of(THREE, 0), 20), "No mistakes on the test set"),
    "mistakes-one": (lambda: draw_mistakes(showcase_of(THREE, 1), 20), "1 most confident of 1 mistake"),
    "mistakes-all": (
        lambda: draw_mistakes(showcase_of(LETTERS, 30), 11),
        "The 11 most confident of 30 mistakes on the test set",
    ),
    "preview": (
        lambda: draw_preview(synthetic_dataset(70, classes=THREE)),
        "The first 14 training images of each label",
    ),
    "preview-class-without-images": (
        lambda: draw_preview(without(synthetic_dataset(9, classes=THREE), 1)),
        "The first 14",
    ),
    "preview-2-classes-1-pixel": (
        lambda: draw_preview(synthetic_dataset(4, side=1, classes=("no", "yes"))),
        "The first 14 training images",
    ),
    "record": (lambda: draw_record(showcase_of(DIGITS, 3)), ": right"),
    "record-wrong": (lambda: draw_record(showcase_of(THREE, 30)), ": wrong"),
    "record-26-classes": (lambda: draw_record(showcase_of(LETTERS, 1, record=29)), ": wrong"),
    "reliability": (
        lambda: draw_reliability(calibration_table([0, 0, 3, 5, 20, 9000])),
        "Reliability of the confidence on the test set",
    ),
    "reliability-one-image": (lambda: draw_reliability(calibration_table([0, 1])), "Reliability of the confidence"),
    "reliability-100-bins": (lambda: draw_reliability(calibration_table([70000] * 100)), "Reliability of the confid"),
    "weights": (
        lambda: draw_weights(model_of(64, further=(64, 10))),
        "Weights from the pixels to 48 of 64 first-layer units",
    ),
    "weights-one-unit-one-pixel": (lambda: draw_weights(model_of(1, side=1)), "Weights from the pixels to 1 of 1"),
    "weights-kernels": (lambda: draw_weights(kernels()), "Weights from the pixels to 16 of 16 first-layer kernels"),
    "weights-none": (lambda: draw_weights(model_of(3, side=8, side_of_model=9)), "no layer whose weights are pictures"),
    "augmentation": (lambda: draw_augmentation(examples(11)), "Training images, and augmented versions of each"),
    "augmentation-none": (lambda: draw_augmentation(examples(0)), "Training images, not augmented"),
    "weights-all-zero": (lambda: draw_weights(model_of(2, zero=True)), "Weights from the pixels to 2 of 2"),
}
USUAL = [name for name in CASES if "-" not in name]


@cache
def figure_of(name: str) -> Figure:
    """Drawn once: what saves and what looks at it share it."""
    return CASES[name][0]()


@cache
def saved(name: str) -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "picture.png")
        save_figure(path, figure_of(name))
        return path.read_bytes()


@pytest.mark.parametrize("name", CASES)
def test_every_picture_is_a_png_with_a_title(name: str) -> None:
    """A warning is an error here: an axis without extent, a title that finds no room, a letter without a shape."""
    figure, title = figure_of(name), CASES[name][1]
    titles = [figure.get_suptitle(), *(axes.get_title() for axes in figure.axes)]
    assert any(title in each for each in titles), titles
    content = saved(name)
    assert content.startswith(b"\x89PNG\r\n\x1a\n")
    assert b"matplotlib" not in content.lower()  # no version of what drew it
    pixels = imread(io.BytesIO(content))  # fails if it is damaged
    height, width = pixels.shape[:2]
    assert 600 <= width <= 1300
    assert 100 <= height <= 1500
    assert len(np.unique((pixels * 255).astype(np.uint8).reshape(-1, 4).view(np.uint32))) > 10  # something is in it


def test_as_many_mistakes_as_params_allow() -> None:
    figure = draw_mistakes(showcase_of(THREE, 120, rows=120), 100)
    assert "The 100 most confident of 120" in figure.get_suptitle()
    assert len([axes for axes in figure.axes if axes.images]) == 100
    assert figure.get_figheight() < 15


LABELLED = {
    "confusion": [("predicted", "actual")],
    "loss": [("step", "loss"), ("epoch", "loss")],
    "record": [("class", "probability")],
    "reliability": [("", "fraction right"), ("confidence", "test images")],  # one x axis for both
}


@pytest.mark.parametrize("name", LABELLED)
def test_axes_are_labelled(name: str) -> None:
    plots = [axes for axes in figure_of(name).axes if axes.axison and axes.get_label() != "<colorbar>"]
    assert [(axes.get_xlabel(), axes.get_ylabel()) for axes in plots] == LABELLED[name]


@pytest.mark.parametrize("name", ["confusion", "loss", "mistakes"])
def test_the_same_picture_gives_the_same_bytes(tmp_path: Path, name: str) -> None:
    save_figure(tmp_path / "again.png", CASES[name][0]())
    assert (tmp_path / "again.png").read_bytes() == saved(name)


def test_a_fresh_process_gives_the_same_bytes(tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from tests.test_figures import USUAL, saved\n"
        "for name in USUAL[::-1]: Path(sys.argv[1], name).write_bytes(saved(name))"
    )
    subprocess.run([sys.executable, "-c", code, str(tmp_path)], cwd=ROOT, check=True, timeout=120)
    for name in USUAL:
        assert (tmp_path / name).read_bytes() == saved(name), name


def test_confusion_counts_and_colours() -> None:
    predictions = predictions_table([*"aaaaabbbc"], [*"aaabbbbca"])
    axes = draw_confusion(predictions, THREE).axes[0]
    counts = {tuple(map(round, text.get_position())): text.get_text() for text in axes.texts}
    expected = {(0, 0): "3", (1, 0): "2", (1, 1): "2", (2, 1): "1", (0, 2): "1"}  # (predicted, actual)
    assert counts == {(x, y): expected.get((x, y), "·") for x in range(3) for y in range(3)}
    cells = [patch.get_xy() for patch in axes.patches if isinstance(patch, Rectangle)]
    assert cells == [(-0.5, -0.5), (0.5, 0.5), (1.5, 1.5)]
    assert axes.images[0].get_array().tolist() == [[0, 2, 0], [0, 0, 1], [1, 0, 0]]  # type: ignore[union-attr]
    assert [label.get_text() for label in axes.get_xticklabels()] == list(THREE)
    assert [label.get_text() for label in axes.get_yticklabels()] == list(THREE)


@pytest.mark.parametrize(("name", "top"), [("confusion-no-mistakes", 1), ("confusion", 2 * 1.3)])
def test_confusion_colours_start_at_no_mistakes(name: str, top: float) -> None:
    assert figure_of(name).axes[0].images[0].get_clim() == pytest.approx((0, top))


def test_confusion_of_many_classes_has_no_numbers() -> None:
    axes = draw_confusion(shifted(LETTERS, 1), LETTERS).axes[0]
    assert not axes.texts
    assert len(axes.get_xticklabels()) == 26


@pytest.mark.parametrize(("validated", "names"), [(True, ["train", "validation"]), (False, ["train"])])
def test_loss_has_a_line_for_each_loss_there_is(validated: bool, names: list[str]) -> None:
    steps, history = steps_table(50), history_table(3, validated)
    left, right = draw_loss(steps, history).axes
    legend = right.get_legend()
    assert legend is not None
    assert [text.get_text() for text in legend.get_texts()] == names
    for line, name in zip(right.get_lines(), names, strict=True):
        assert np.array_equal(np.asarray(line.get_xdata()), history["epoch"])
        assert np.array_equal(np.asarray(line.get_ydata()), history[f"{name}_loss"])
    assert np.array_equal(np.asarray(left.get_lines()[0].get_ydata()), steps["loss"])
    assert left.get_ylim() == (0, 1)
    assert right.get_ylim()[0] == 0


@pytest.mark.parametrize(("number", "alpha"), [(1, 1.0), (300, 1.0), (1000, 0.3), (18_000, 0.1)])
def test_loss_dots_are_the_fainter_the_more_there_are(number: int, alpha: float) -> None:
    assert draw_loss(steps_table(number), history_table(1)).axes[0].get_lines()[0].get_alpha() == pytest.approx(alpha)


@pytest.mark.parametrize("epochs", [1, 2, 3, 10])
def test_loss_counts_epochs_in_whole_numbers(epochs: int) -> None:
    axes = draw_loss(steps_table(9), history_table(epochs)).axes[1]
    low, high = axes.get_xlim()
    ticks = [tick for tick in axes.get_xticks() if low <= tick <= high]
    assert ticks
    assert set(ticks) <= set(range(epochs + 1))


def shown(axes: Axes) -> list[list[float]]:
    array = axes.images[0].get_array()
    assert array is not None
    result: list[list[float]] = array.tolist()
    return result


def test_mistakes_are_captioned_and_in_order() -> None:
    showcase = showcase_of(THREE, 4, record=2)
    axes = [each for each in draw_mistakes(showcase, 3).axes if each.images]
    split = synthetic_dataset(30, classes=THREE)
    for place, each in enumerate(axes):
        row = 29 - place
        actual, read = THREE[split.labels[row]], THREE[(split.labels[row] + 1) % 3]
        assert each.get_title() == f"{actual}, read {read}\n{np.linspace(0.6, 1.0, 30)[row]:.1%}"
        assert shown(each) == split.images[row].tolist()
    assert len(axes) == 3


def test_preview_shows_the_first_images_of_each_class() -> None:
    split, axes = synthetic_dataset(70, classes=THREE), figure_of("preview").axes
    assert len(axes) == 3 * 14
    for label, name in enumerate(THREE):
        row = axes[14 * label : 14 * (label + 1)]
        assert [text.get_text() for text in row[0].texts] == [name]
        expected = split.images[split.labels == label][:14]
        assert [shown(each) for each in row] == expected.tolist()


def test_preview_of_a_class_without_images_still_names_it() -> None:
    axes = figure_of("preview-class-without-images").axes
    assert [bool(each.images) for each in axes[:14]] == [True] * 3 + [False] * 11
    assert [bool(each.images) for each in axes[14:28]] == [False] * 14
    assert axes[14].texts[0].get_text() == "b"


def test_preview_of_many_classes_shows_the_first_16(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(preview, "PER_CLASS", 2)  # each takes its time
    figure = draw_preview(synthetic_dataset(60, classes=LETTERS))
    assert [text.get_text() for each in figure.axes for text in each.texts] == list(LETTERS[:16])
    assert figure.get_suptitle() == "The first 2 training images of 16 of 26 labels"
    save_figure(tmp_path / "preview.png", figure)


@pytest.mark.parametrize(
    ("mistakes", "colours", "title"),
    [(0, [GREY, GREY, BLUE], "read as c: right"), (30, [ORANGE, GREY, BLUE], "read as a: wrong")],
    ids=["right", "wrong"],
)
def test_record_colours_tell_the_label_from_the_answer(mistakes: int, colours: list[str], title: str) -> None:
    labels = synthetic_dataset(30, classes=THREE).labels
    record = int(np.flatnonzero(labels == 2)[3])
    showcase = showcase_of(THREE, mistakes, record=record)
    left, right = draw_record(showcase).axes
    assert left.get_title() == f"test row {record}: a c"
    assert right.get_title() == title
    bars = [patch for patch in right.patches if isinstance(patch, Rectangle)]
    assert [to_hex(bar.get_facecolor()).upper() for bar in bars] == colours
    assert [bar.get_height() for bar in bars] == showcase.probabilities[0].tolist()
    assert [text.get_text() for text in right.texts] == [f"{each:.2f}" for each in showcase.probabilities[0]]


def test_record_leaves_out_numbers_too_small_to_see() -> None:
    images, labels = np.zeros((1, 8, 8), np.uint8), np.array([0])
    showcase = choose(images, labels, np.array([[0.995, 0.005, 0.0]]), THREE, 0)
    assert [text.get_text() for text in draw_record(showcase).axes[1].texts] == ["0.99", "0.01"]


FORTY = tuple(f"a long name, {place}" for place in range(40))


def test_record_of_very_many_classes_shows_the_likeliest() -> None:
    probabilities = np.full((1, 40), 0.001)
    likeliest = [2, 5, 8, 11, 12, 13, 20, 21, 30, 39]
    probabilities[0, likeliest] = np.linspace(0.05, 0.15, 10)
    showcase = choose(np.zeros((1, 8, 8), np.uint8), np.array([21]), probabilities, FORTY, 0)
    left, right = draw_record(showcase).axes
    assert left.get_title() == "test row 0:\na long name, 21"
    assert right.get_xlabel() == "the 10 likeliest of 40 classes"
    assert [text.get_text() for text in right.get_xticklabels()] == [FORTY[label] for label in likeliest]
    assert {text.get_rotation() for text in right.get_xticklabels()} == {90}
    bars = [patch for patch in right.patches if isinstance(patch, Rectangle)]
    assert [bar.get_height() for bar in bars] == probabilities[0, likeliest].tolist()
    assert [to_hex(bar.get_facecolor()).upper() for bar in bars][7] == BLUE


@pytest.mark.parametrize("classes", [DIGITS, FORTY], ids=["digits", "forty"])
def test_names_of_classes_do_not_overlap(classes: tuple[str, ...]) -> None:
    figure = draw_confusion(shifted(classes, 1), classes)
    figure.canvas.draw()
    for labels in (figure.axes[0].get_xticklabels(), figure.axes[0].get_yticklabels()):
        boxes = [label.get_window_extent() for label in labels]
        assert len(boxes) == len(classes)
        assert not any(one.overlaps(other) for one, other in pairwise(boxes))
    rotations = {text.get_rotation() for text in figure.axes[0].get_xticklabels()}
    assert rotations == ({0} if classes == DIGITS else {90})


def test_reliability_draws_bars_where_predictions_are() -> None:
    table = calibration_table([0, 5, 0, 20])
    figure = draw_reliability(table)
    above, below = figure.axes
    bars = [patch for patch in above.patches if isinstance(patch, Rectangle)]
    filled = table[table["count"] > 0]
    assert [bar.get_height() for bar in bars] == pytest.approx(filled["accuracy"].tolist())
    assert [bar.get_x() + bar.get_width() / 2 for bar in bars] == pytest.approx([0.375, 0.875])
    counts = [patch.get_height() for patch in below.patches if isinstance(patch, Rectangle)]
    assert counts == [0, 5, 0, 20]
    assert len(figure.legends) == 1
    dots = above.get_lines()[0]
    assert np.array_equal(np.asarray(dots.get_xdata()), filled["confidence"])


def test_weights_are_those_of_the_strongest_units_of_the_first_layer() -> None:
    """And not of the second, although it has as many inputs as there are pixels."""
    weights = model_of(64, further=(64, 10)).tensors["network.0.weight"]
    strongest = np.argsort(-(weights.astype(np.float64) ** 2).sum(axis=1))[:48]
    axes = [each for each in figure_of("weights").axes if each.images]
    assert [shown(each) for each in axes] == weights[strongest].reshape(48, 8, 8).tolist()


def test_weights_share_one_symmetric_scale() -> None:
    images = [each.images[0] for each in figure_of("weights").axes if each.images]
    assert len({image.get_clim() for image in images}) == 1
    low, high = images[0].get_clim()
    assert low == -high


def test_a_failed_picture_leaves_the_old_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "picture.png"
    path.write_bytes(b"old")
    monkeypatch.setattr(Figure, "savefig", lambda *_, **__: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        save_figure(path, Figure())
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]
