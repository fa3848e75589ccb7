"""Images that do not look like the training images are doubted, with the reason."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageDraw

from mnist_pipeline.core.errors import PipelineError
from mnist_pipeline.data.dataset import save_dataset
from mnist_pipeline.deploy.outliers import descriptors, doubt, training_descriptors
from mnist_pipeline.deploy.photo import preprocess
from tests.conftest import DIGITS, make_block
from tests.deploy.drawn import draw, grey_levels

IMAGES = np.stack([preprocess(grey_levels(draw(digit, size=(100, 100))), 28) for digit in DIGITS])


def shape(kind: str, place: tuple[int, int, int, int]) -> Any:
    picture = Image.new("L", (200, 200))
    getattr(ImageDraw.Draw(picture), kind)(place, fill=255, width=12)
    return preprocess(grey_levels(picture), 28)


def test_digits_like_the_training_images_are_not_doubted() -> None:
    for digit in DIGITS:
        image = preprocess(grey_levels(draw(digit, size=(90, 100))), 28)
        assert doubt(image, 0.9, descriptors(IMAGES)) is None


@pytest.mark.parametrize(
    ("image", "probability", "reason"),
    [
        (shape("ellipse", (40, 40, 160, 160)), 0.99, "its strokes are too thick"),
        (shape("line", (20, 100, 180, 100)), 0.99, "it is wide, as digits that touch are"),
        (IMAGES[3][::-1, ::-1], 0.99, "no training image is similar"),
        (IMAGES[3], 0.3, "no class is likely"),
    ],
)
def test_other_images_are_doubted_with_the_reason(image: Any, probability: float, reason: str) -> None:
    assert doubt(image, probability, descriptors(IMAGES)) == reason


def test_training_images_are_compared_if_they_are_there_and_have_28_pixels(tmp_path: Path) -> None:
    assert training_descriptors(tmp_path / "none") is None
    for images in (IMAGES, IMAGES[:, :8, :8]):
        block = make_block(np.arange(10, dtype=np.uint8), np.ascontiguousarray(images))
        save_dataset(tmp_path / f"{images.shape[1]}", [block], DIGITS)
    assert training_descriptors(tmp_path / "8") is None
    found = training_descriptors(tmp_path / "28")
    assert found is not None
    assert np.linalg.norm(found, axis=1) == pytest.approx(np.ones(10))
    (tmp_path / "28").write_bytes(b"damaged")
    with pytest.raises(PipelineError, match="28: must be a data set"):
        training_descriptors(tmp_path / "28")
