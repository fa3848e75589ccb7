"""Deskewing: moments, against exact arithmetic; what it does to slanted strokes; the classifier that does it."""

from __future__ import annotations

from fractions import Fraction
from math import floor

import numpy as np
import pytest
import torch

from mnist_pipeline.models.deskew import STEPS, deskewed

SIDE = 20


def stroke(slant: float, side: int = SIDE, shift: float = 0.0) -> torch.Tensor:
    """A smooth stroke from top to bottom that moves so many columns for each row."""
    image = np.zeros((side, side))
    for row in range(3, side - 3):
        middle = (side - 1) / 2 + shift + slant * (row - (side - 1) / 2)
        image[row] = 255 * np.exp(-((np.arange(side) - middle) ** 2) / 2)
    return torch.from_numpy(image.round().astype(np.uint8))


def covariance(image: torch.Tensor) -> float:
    """Of row and column, over the variance of the rows: the slant."""
    rows, columns = np.mgrid[: len(image), : len(image)]
    ink = image.numpy().astype(float)
    mean_row, mean_column = (ink * rows).sum() / ink.sum(), (ink * columns).sum() / ink.sum()
    away = rows - mean_row
    return float((ink * away * (columns - mean_column)).sum() / (ink * away**2).sum())


def naive(image: list[list[int]]) -> list[list[int]]:
    """The same in exact fractions, pixel by pixel."""
    side = len(image)
    cells = [(row, column, image[row][column]) for row in range(side) for column in range(side)]
    mass = sum(ink for _, _, ink in cells)
    if not mass:
        return image
    row_mean = Fraction(sum(row * ink for row, _, ink in cells), mass)
    column_mean = Fraction(sum(column * ink for _, column, ink in cells), mass)
    spread = sum((row - row_mean) ** 2 * ink for row, _, ink in cells)
    together = sum((row - row_mean) * (column - column_mean) * ink for row, column, ink in cells)
    slant = max(Fraction(-1), min(Fraction(1), together / spread)) if spread else Fraction(0)
    result = []
    for row in range(side):
        moved = round(STEPS * (slant * (row - row_mean) + column_mean - Fraction(side - 1, 2)))
        whole, part = divmod(moved, STEPS)
        cell = [image[row][place] if 0 <= place < side else 0 for place in range(whole, whole + side + 1)]
        result.append(
            [floor((cell[c] * (STEPS - part) + cell[c + 1] * part) / STEPS + Fraction(1, 2)) for c in range(side)]
        )
    return result


@pytest.mark.parametrize("side", [1, 2, 5, 12])
def test_it_is_the_same_as_in_exact_arithmetic(side: int) -> None:
    random = np.random.default_rng(side)
    images = random.integers(0, 256, (60, side, side)) * (random.random((60, side, side)) < 0.3)
    found = deskewed(torch.from_numpy(images.astype(np.uint8)))
    assert found.tolist() == [naive(image) for image in images.tolist()]


@pytest.mark.parametrize("slant", [-0.6, -0.2, 0.3, 0.7])
def test_a_slanted_stroke_stands_upright(slant: float) -> None:
    before, after = stroke(slant), deskewed(stroke(slant)[None])[0]
    assert abs(covariance(before)) > 0.15
    assert abs(covariance(after)) < 0.01
    assert after.sum().item() == pytest.approx(before.sum().item(), rel=0.01)


def test_an_upright_stroke_in_the_middle_stays() -> None:
    assert torch.equal(deskewed(stroke(0)[None])[0], stroke(0))


def test_ink_at_one_side_comes_to_the_middle() -> None:
    (found,) = deskewed(stroke(0, shift=4.25)[None])
    centre = (found.sum(0) * torch.arange(SIDE)).sum() / found.sum()
    assert centre.item() == pytest.approx((SIDE - 1) / 2, abs=0.01)


def test_a_steeper_slant_than_45_degrees_is_taken_back_by_45() -> None:
    image = torch.zeros(SIDE, SIDE, dtype=torch.uint8)
    for row in (9, 10):
        image[row, 2 + 10 * (row - 9) : 8 + 10 * (row - 9)] = 200  # two rows far apart: 10 columns a row
    (found,) = deskewed(image[None])
    starts = [int(torch.nonzero(found[row])[0]) for row in (9, 10)]
    assert starts[1] - starts[0] == 9


def test_images_without_ink_or_with_one_row_of_it_are_no_trouble() -> None:
    images = torch.zeros(2, SIDE, SIDE, dtype=torch.uint8)
    images[1, 4, 9:11] = 255
    assert torch.equal(deskewed(images), images)


def test_each_image_is_on_its_own() -> None:
    images = torch.stack([stroke(0.5), stroke(-0.4), stroke(0.1)])
    assert torch.equal(deskewed(images), torch.cat([deskewed(image[None]) for image in images]))
