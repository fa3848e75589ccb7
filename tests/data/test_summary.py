"""Facts about a split are those that a plain look at the whole array gives."""

from __future__ import annotations

import io
import math
import statistics
import sys
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from mnist_pipeline.data.csv import Block
from mnist_pipeline.core.statistics import mean_and_std
from mnist_pipeline.data.summary import Profile
from tests.conftest import synthetic_dataset

CLASSES = ("zero", "one", "two", "three")
SIDE = 4
ROWS = 60


def planted(seed: int = 0) -> Block:
    """Random images, of which some are equal, some empty, and some pixels constant; no row of the last class."""
    random = np.random.default_rng(seed)
    images = random.integers(0, 256, (ROWS, SIDE, SIDE), np.uint8)
    images[:, 0, 0] = 0
    images[:, 3, 3] = 7
    images[20] = images[3]
    images[55] = images[3]
    images[41] = images[40]
    images[[10, 30, 59]] = 0
    images[:, 1, 2] = 0
    images[11, 1, 2] = 1  # all but constant
    images[45] = 0
    images[45, 2, 0] = 1  # all but empty
    return Block(random.integers(0, 3, ROWS, np.uint8), images)


def profile_of(block: Block, rows: int = ROWS) -> Profile:
    profile = Summary(CLASSES, block.images.shape[1])
    for start in range(0, len(block.labels), rows):
        profile.add(Block(block.labels[start : start + rows], block.images[start : start + rows]))
    return profile


def plain_facts(block: Block) -> dict[str, Any]:
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


@pytest.mark.parametrize("rows", [1, 7, 20, 59, 60])
@pytest.mark.parametrize("seed", [0, 1])
def test_facts_are_those_of_the_whole_array(rows: int, seed: int) -> None:
    block = planted(seed)
    facts = profile_of(block, rows).facts()
    assert facts == plain_facts(block)
    assert list(facts) == list(plain_facts(block))


def test_what_was_planted_is_found() -> None:
    facts = profile_of(planted(), 7).facts()
    assert facts["rows"] == ROWS
    assert facts["empty_images"] == 3
    assert facts["duplicate_images"] == 2 + 1 + 2  # of image 3, of image 40, of the empty one
    assert facts["constant_pixels"] == 1  # (3, 3) is 0 in the empty images
    assert facts["class_counts"]["three"] == 0


@pytest.mark.parametrize("value", [0, 9, 255])
def test_a_split_of_one_value(value: int) -> None:
    block = Block(np.zeros(5, np.uint8), np.full((5, SIDE, SIDE), value, np.uint8))
    facts = profile_of(block, 2).facts()
    assert facts == plain_facts(block)
    assert (facts["pixel_mean"], facts["pixel_sd"]) == (value, 0)
    assert facts["constant_pixels"] == SIDE**2


def test_images_that_differ_in_one_pixel_by_one_are_no_duplicates() -> None:
    images = np.zeros((1 + SIDE**2, SIDE, SIDE), np.uint8)
    images.reshape(1 + SIDE**2, -1)[1:][np.diag_indices(SIDE**2)] = 1
    assert profile_of(Block(np.zeros(1 + SIDE**2, np.uint8), images)).facts()["duplicate_images"] == 0


def test_equal_images_of_different_classes_are_duplicates() -> None:
    block = Block(np.array([0, 1], np.uint8), np.ones((2, SIDE, SIDE), np.uint8))
    assert profile_of(block).facts()["duplicate_images"] == 1


def test_views_are_counted_as_what_they_show() -> None:
    wide = np.random.default_rng(0).integers(0, 256, (ROWS, SIDE, 2 * SIDE), np.uint8)
    block = Block(np.zeros(ROWS, np.uint8), wide[:, :, ::2])
    assert profile_of(block, 7).facts() == plain_facts(block)


def test_watching_gives_the_blocks_unchanged_and_counts_them() -> None:
    block = planted()
    halves = [Block(block.labels[:25], block.images[:25]), Block(block.labels[25:], block.images[25:])]
    profile = Summary(CLASSES, SIDE)
    watched = profile.watch(halves, "train")
    assert next(watched) is halves[0]
    assert sum(profile.class_counts) == 25
    assert next(watched) is halves[1]
    assert list(watched) == []
    assert profile.facts() == plain_facts(block)
    assert planted().images.tobytes() == block.images.tobytes()


def test_facts_may_be_asked_for_in_between() -> None:
    block = planted()
    profile = profile_of(Block(block.labels[:25], block.images[:25]))
    assert profile.facts()["rows"] == 25
    profile.add(Block(block.labels[25:], block.images[25:]))
    assert profile.facts() == plain_facts(block)


def test_class_counts_are_in_the_order_of_the_classes() -> None:
    counts = profile_of(planted(), 7).class_counts
    assert counts == np.bincount(planted().labels, minlength=4).tolist()
    assert all(type(count) is int for count in counts)


def test_duplicates_of_counts_rows_whose_image_is_in_the_other() -> None:
    one, other = planted(0), planted(1)
    other.images[5] = one.images[3]  # which is in ``one`` three times
    other.images[6] = one.images[3]
    other.images[7] = one.images[12]
    # Two of the same image, one more, the three empty ones, and the one that is all but empty.
    assert profile_of(other, 7).duplicates_of(profile_of(one, 20)) == 2 + 1 + 3 + 1
    # The three rows of image 3, image 12, and the same four.
    assert profile_of(one, 7).duplicates_of(profile_of(other, 20)) == 3 + 1 + 3 + 1
    assert profile_of(one).duplicates_of(profile_of(one)) == ROWS


def test_splits_with_nothing_in_common_have_no_duplicates() -> None:
    images = np.random.default_rng(0).integers(0, 256, (ROWS, SIDE, SIDE), np.uint8)
    one = profile_of(Block(np.zeros(ROWS, np.uint8), images))
    assert one.duplicates_of(profile_of(Block(np.zeros(ROWS, np.uint8), images ^ np.uint8(1)))) == 0


@given(st.lists(st.integers(0, 40), min_size=1, max_size=12).filter(any))
@settings(max_examples=100, deadline=None, database=None)
def test_mean_and_std_of_any_counts(counts: list[int]) -> None:
    values = [value for value, count in enumerate(counts) for _ in range(count)]
    mean, sd = mean_and_std(np.array(counts))
    assert mean == statistics.fmean(values)
    assert sd == pytest.approx(statistics.pstdev(values), rel=1e-14, abs=0)


def test_mean_and_std_are_exact_where_floats_would_not_be() -> None:
    counts: NDArray[np.int64] = np.zeros(256, np.int64)
    counts[[254, 255]] = [10**15, 10**15]
    assert mean_and_std(counts) == (254.5, 0.5)
    counts[[254, 255]] = [10**15, 1]
    mean, sd = mean_and_std(counts)
    assert mean == 254
    assert math.isclose(sd, 10**-7.5, rel_tol=1e-9)


def test_a_bar_shows_on_a_terminal_and_nowhere_else(monkeypatch: pytest.MonkeyPatch) -> None:
    split = synthetic_dataset(40)
    for terminal in (True, False):
        screen = io.StringIO()
        monkeypatch.setattr(screen, "isatty", lambda terminal=terminal: terminal)
        monkeypatch.setattr(sys, "stderr", screen)
        list(Summary(split.classes, 8).watch([Block(split.labels, split.images)], "train", 40))
        assert ("train rows" in screen.getvalue()) == terminal
        assert bool(screen.getvalue()) == terminal
