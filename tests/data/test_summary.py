"""The summary of a data set is what a plain look at all of its images gives."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from mnist_pipeline.data.csv import Block
from mnist_pipeline.data.summary import Summary
from tests.conftest import make_block

CLASSES = ("zero", "one", "two", "three")
SIDE = 4
ROWS = 60


def planted(seed: int = 0) -> Block:
    """Random images, of which some are equal, some empty, and some pixels constant; no row of the last class."""
    random = np.random.default_rng(seed)
    images = random.integers(0, 256, (ROWS, SIDE, SIDE), np.uint8)
    images[:, 0, 0] = 0
    images[:, 3, 3] = 7
    images[[20, 55]] = images[3]
    images[41] = images[40]
    images[[10, 30, 59]] = 0
    images[:, 1, 2] = 0
    images[11, 1, 2] = 1  # all but constant
    images[45] = 0
    images[45, 2, 0] = 1  # all but empty
    return make_block(random.integers(0, 3, ROWS, np.uint8), images)


def summary_of(block: Block, rows: int = ROWS) -> Summary:
    summary = Summary(CLASSES, SIDE)
    for start in range(0, len(block.labels), rows):
        summary.add(make_block(block.labels[start : start + rows], block.images[start : start + rows]))
    return summary


def of_images(images: Any) -> Block:
    return make_block(np.zeros(len(images), np.uint8), np.asarray(images, np.uint8))


def expected_of(block: Block) -> dict[str, Any]:
    pixels = block.images.reshape(len(block.images), -1)
    return {
        "rows": len(pixels),
        "duplicate_images": len(pixels) - len(np.unique(pixels, axis=0)),
        "empty_images": sum(not image.any() for image in pixels),
        "constant_pixels": sum(len(set(pixel)) == 1 for pixel in pixels.T.tolist()),
        "pixel_mean": pytest.approx(pixels.mean(), rel=1e-12),
        "pixel_sd": pytest.approx(pixels.std(), rel=1e-12),
        "class_counts": {name: int((block.labels == label).sum()) for label, name in enumerate(CLASSES)},
    }


@pytest.mark.parametrize("rows", [1, 7, 59, 60])
@pytest.mark.parametrize("seed", [0, 1])
def test_the_summary_does_not_depend_on_the_blocks(rows: int, seed: int) -> None:
    found = summary_of(planted(seed), rows).as_dict()
    assert found == expected_of(planted(seed))
    assert list(found) == list(expected_of(planted(seed)))


def test_images_that_differ_in_one_pixel_by_one_are_no_duplicates() -> None:
    images = np.concatenate([np.zeros((1, SIDE**2)), np.eye(SIDE**2)]).reshape(-1, SIDE, SIDE)
    assert summary_of(of_images(images)).as_dict()["duplicate_images"] == 0


def test_collecting_yields_the_blocks_unchanged_and_adds_them() -> None:
    block = planted()
    halves = [make_block(block.labels[:25], block.images[:25]), make_block(block.labels[25:], block.images[25:])]
    summary = Summary(CLASSES, SIDE)
    collected = summary.collect(halves, "train")
    assert next(collected) is halves[0]
    assert summary.as_dict() == expected_of(halves[0])
    assert next(collected) is halves[1]
    assert list(collected) == []
    assert summary.as_dict() == expected_of(block)
    assert block.images.tobytes() == planted().images.tobytes()


def test_duplicates_of_counts_the_rows_whose_image_is_in_the_other() -> None:
    one, other = planted(0), planted(1)
    other.images[[5, 6]] = one.images[3]  # which is in ``one`` three times
    other.images[7] = one.images[12]
    # Two of the same image, one more, the three empty ones, and the one that is all but empty.
    assert summary_of(other, 7).duplicates_of(summary_of(one, 20)) == 2 + 1 + 3 + 1
    # The three rows of image 3, image 12, and the same four.
    assert summary_of(one, 7).duplicates_of(summary_of(other, 20)) == 3 + 1 + 3 + 1
    assert summary_of(one).duplicates_of(summary_of(of_images(one.images ^ 1))) == 0
