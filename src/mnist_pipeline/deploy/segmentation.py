"""Find the digits of a picture: which connected parts of the ink belong to one digit, and their reading order."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from mnist_pipeline.core.errors import PipelineError

MOST_DIGITS = 40  # in one picture
LEAST_HEIGHT = 8  # pixels of a picture that is shrunk to 400, if there are several digits
DIGIT_HEIGHT = 0.5  # of the highest part: a lower part is no digit of its own, but a stroke of one
SAME_COLUMNS = 0.5  # of the narrower part's width: parts that share more are strokes of one digit, if they are near
NEAR = 0.2  # of the highest part's height: the largest gap between strokes of one digit


class Box(NamedTuple):
    """The rows and columns of a connected part, in pixels."""

    rows: slice
    columns: slice

    @property
    def height(self) -> int:
        """Return the number of rows."""
        return _length(self.rows)


class Digit(NamedTuple):
    """The box of a digit's highest part, and the labels of all its parts."""

    box: Box
    parts: list[int]


def digits_of(ink: NDArray[np.bool_]) -> list[list[NDArray[np.bool_]]]:
    """Return a mask, (height, width), for each digit: line by line from the top, each from left to right.

    Parts half as high as the highest are digits, if they stand side by side or far below each other. A lower part, such
    as the bar of a 5, belongs to the nearest digit; among several digits it must be near one, or it counts as dust.
    Digits that touch are one part and are not separated.

    Args:
        ink: where there is ink, (height, width); at least one pixel.

    Raises:
        PipelineError: such parts are too many or too small.
    """
    labels, _ = ndimage.label(ink, structure=np.ones((3, 3)))
    boxes = {label: Box(*box) for label, box in enumerate(ndimage.find_objects(labels), 1)}
    highest = max(box.height for box in boxes.values())
    high = [label for label, box in boxes.items() if box.height >= DIGIT_HEIGHT * highest]
    problem = (
        f"it has {len(high)} parts of similar height ({highest} pixels), as noise or a page of text has; at most "
        f"{MOST_DIGITS} digits of at least {LEAST_HEIGHT} pixels are read"
    )
    if len(high) > MOST_DIGITS:
        raise PipelineError(problem)
    digits: list[Digit] = []
    for label in sorted(high, key=lambda each: -boxes[each].height):
        of = next((digit for digit in digits if _strokes_of_one(boxes[label], digit.box, NEAR * highest)), None)
        if of:
            of.parts.append(label)
        else:
            digits.append(Digit(boxes[label], [label]))
    if len(digits) == 1:
        return [[ink]]
    if highest < LEAST_HEIGHT:
        raise PipelineError(problem)
    for label in boxes.keys() - high:
        distances = [_distance(boxes[label], digit.box) for digit in digits]
        if min(distances) <= NEAR * highest:
            digits[distances.index(min(distances))].parts.append(label)
    return [[np.isin(labels, digit.parts) for digit in line] for line in _lines(digits)]


def _strokes_of_one(one: Box, other: Box, near: float) -> bool:
    narrower = min(_length(one.columns), _length(other.columns))
    return _gap(one.rows, other.rows) <= near and -_gap(one.columns, other.columns) > SAME_COLUMNS * narrower


def _lines(digits: list[Digit]) -> list[list[Digit]]:
    """Digits that share half of their rows with the one to the left are in its line, which may rise or fall."""
    lines: list[list[Digit]] = []
    for digit in sorted(digits, key=lambda each: each.box.columns.start):
        for line in lines:
            last = line[-1].box
            if -_gap(digit.box.rows, last.rows) >= 0.5 * min(digit.box.height, last.height):
                line.append(digit)
                break
        else:
            lines.append([digit])
    return sorted(lines, key=lambda line: line[0].box.rows.start)


def _length(part: slice) -> int:
    return int(part.stop - part.start)


def _gap(one: slice, other: slice) -> int:
    """The pixels between two ranges; below 0, as many are shared."""
    return int(max(one.start, other.start) - min(one.stop, other.stop))


def _distance(one: Box, other: Box) -> float:
    return float(np.hypot(max(_gap(one.rows, other.rows), 0), max(_gap(one.columns, other.columns), 0)))
