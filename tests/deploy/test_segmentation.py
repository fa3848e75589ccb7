"""The digits of a picture are found in reading order, and the strokes of one stay together."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image, ImageDraw

from mnist_pipeline.core.errors import PipelineError
from mnist_pipeline.deploy.photo import preprocess, preprocess_digits
from tests.deploy.drawn import STYLES, grey_levels, photographed, written


def on_paper(*strokes: tuple[int, int, int, int]) -> Image.Image:
    """Rectangles of ink: left, top, right, bottom."""
    picture = Image.new("L", (200, 200), 255)
    for stroke in strokes:
        ImageDraw.Draw(picture).rectangle(stroke, fill=0)
    return picture


@pytest.mark.parametrize("text", ["307", "11", "12 58"])
def test_each_digit_is_preprocessed_as_if_it_stood_alone(text: str) -> None:
    lines = preprocess_digits(grey_levels(written(text)), 28)
    assert [len(line) for line in lines] == [len(word) for word in text.split()]
    for digit, image in zip(text.replace(" ", ""), (image for line in lines for image in line), strict=True):
        alone = preprocess(grey_levels(written(digit)), 28)
        assert np.abs(image.astype(int) - alone).mean() < 3


def test_digits_are_found_in_a_photo_of_a_rising_line_with_dust() -> None:
    picture = photographed(written("4190").rotate(4, fillcolor="white", expand=True))
    ImageDraw.Draw(picture).ellipse((10, 10, 22, 22), fill="black")
    assert [len(line) for line in preprocess_digits(grey_levels(picture), 28)] == [4]


@pytest.mark.parametrize("style", ["felt pen, slanted", "tiny"])
def test_a_single_digit_is_preprocessed_as_without_segmentation(style: str) -> None:
    levels = grey_levels(STYLES[style]("5"))
    assert np.array_equal(preprocess_digits(levels, 28), preprocess(levels, 28)[None, None])


@pytest.mark.parametrize(
    ("picture", "digits"),
    [
        (on_paper((60, 80, 80, 160), (60, 60, 140, 66)), 1),
        (on_paper((90, 60, 100, 160), (96, 40, 104, 46)), 1),
        (on_paper((90, 30, 100, 90), (90, 96, 100, 160)), 1),
        (on_paper((60, 60, 70, 160), (90, 60, 100, 160)), 2),
        (on_paper((90, 10, 100, 80), (90, 120, 100, 190)), 2),
    ],
    ids=["the bar of a 5", "a dot above", "a broken 1", "two strokes side by side", "one far below the other"],
)
def test_strokes_belong_to_one_digit_if_they_are_near_one_above_the_other(picture: Image.Image, digits: int) -> None:
    assert sum(len(line) for line in preprocess_digits(grey_levels(picture), 28)) == digits


@pytest.mark.parametrize("share", [0.001, 0.02, 0.05])
def test_specks_everywhere_are_refused(share: float) -> None:
    specks = np.random.default_rng(0).random((200, 200)) < share
    with pytest.raises(PipelineError, match=r"parts of similar height \(\d+ pixels\), as noise"):
        preprocess_digits(np.where(specks, 0, 255).astype(np.uint8), 28)
