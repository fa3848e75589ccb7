"""Deskewing: against exact arithmetic, and what it does to slanted strokes."""

from __future__ import annotations

from fractions import Fraction
from math import floor

import numpy as np
import pytest
import torch

from mnist_pipeline.models.deskew import STEPS, deskewed

SIDE = 20


def stroke(slant: float, shift: float = 0.0) -> torch.Tensor:
    """A smooth stroke from top to bottom that moves so many columns for each row."""
    image = np.zeros((SIDE, SIDE))
    for row in range(3, SIDE - 3):
        middle = (SIDE - 1) / 2 + shift + slant * (row - (SIDE - 1) / 2)
        image[row] = 255 * np.exp(-((np.arange(SIDE) - middle) ** 2) / 2)
    return torch.from_numpy(image.round().astype(np.uint8))


def deskewed_exactly(image: list[list[int]]) -> list[list[int]]:
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
def test_deskewing_equals_exact_arithmetic(side: int) -> None:
    random = np.random.default_rng(side)
    images = random.integers(0, 256, (60, side, side)) * (random.random((60, side, side)) < 0.3)
    found = deskewed(torch.from_numpy(images.astype(np.uint8)))
    assert found.tolist() == [deskewed_exactly(image) for image in images.tolist()]


@pytest.mark.parametrize(("slant", "shift"), [(-0.6, 0), (-0.2, 1.5), (0.3, 0), (0.7, 0), (0, 4.25)])
def test_a_slanted_stroke_comes_out_upright_in_the_middle(slant: float, shift: float) -> None:
    before, after = stroke(slant, shift), deskewed(stroke(slant, shift)[None])[0]
    rows = after[3:-3].double()
    centres = (rows * torch.arange(SIDE)).sum(dim=1) / rows.sum(dim=1)
    assert centres.tolist() == pytest.approx([(SIDE - 1) / 2] * len(rows), abs=0.05)
    assert after.sum().item() == pytest.approx(before.sum().item(), rel=0.01)


def test_a_slant_is_corrected_by_at_most_45_degrees() -> None:
    image = torch.zeros(SIDE, SIDE, dtype=torch.uint8)
    image[9, 2:8] = image[10, 12:18] = 200  # 10 columns a row
    (found,) = deskewed(image[None])
    starts = [int(torch.nonzero(found[row])[0]) for row in (9, 10)]
    assert starts[1] - starts[0] == 9
