"""Identical and nearly identical images, found without comparing every pair.

Two images are near-duplicates if their pixels differ by at most ``DISTANCE`` of their norm once one is moved, by whole
pixels, over the other: the same image shifted, compressed with loss or with a little noise.

Candidates come from locality-sensitive hashing (Indyk and Motwani 1998). An image's key is made of its lowest
frequencies (a discrete cosine transform around its centre of mass, so that a shift changes nothing), quantised. Several
tables with other frequencies and offsets of the grid make it unlikely that near-duplicates differ in every key. Images
that share a key are compared by these frequencies, and then by their pixels. Sums are of whole numbers, and exact, so
that every machine finds the same pairs.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mnist_pipeline.core.numerics import threads

DISTANCE = 0.12
"""Largest difference of near-duplicates: norm of the difference over the geometric mean of the norms."""

FREQUENCIES = 7  # in each direction
COARSE_DISTANCE = 0.06  # of the lowest frequencies, where most of what differs by compression or noise does not show
TABLES, KEY_FREQUENCIES, KEY_COEFFICIENTS = 12, 5, 10
NOISE_TO_WIDTH = 14.0  # width of a cell of the grid over the deviation of a coefficient at ``DISTANCE``
STEPS = 64  # positions of the centre of mass in a pixel
AMPLITUDE = 1 << 12  # of the integer cosines
WINDOW = 16  # images of one key that each is compared with, so that the work stays linear
BLOCK = 1024  # images at once, for each thread
PAIRS = 1 << 16  # compared by their frequencies at once, for each thread
HASH_FACTOR = np.uint64(0x9E3779B97F4A7C15)  # Knuth's multiplicative hash: 2^64 over the golden ratio


@dataclass(frozen=True)
class Signatures:
    """What images are found by.

    Attributes:
        images: uint8 (n, side, side).
        coefficients: the lowest frequencies over the norm, float32 (n, frequencies²).
        backgrounds: grey level of each image's border, uint8 (n,).
        squares: sum of the squared differences from the background, float64 (n,).
        keys: uint64 (tables, n).
        centres: of mass, in 1/64 pixels, int64 (n, 2): row, column.
    """

    images: NDArray[np.uint8]
    coefficients: NDArray[np.float32]
    backgrounds: NDArray[np.uint8]
    squares: NDArray[np.float64]
    keys: NDArray[np.uint64]
    centres: NDArray[np.int64]


@dataclass(frozen=True)
class Pairs:
    """Near-duplicates, each pair once.

    Attributes:
        first: rows, int64 (p,).
        second: rows, int64 (p,).
        distances: 0 (identical up to a shift) to ``DISTANCE``, float64 (p,).
    """

    first: NDArray[np.int64]
    second: NDArray[np.int64]
    distances: NDArray[np.float64]


def signatures(images: NDArray[np.uint8]) -> Signatures:
    """Compute the signatures of images, uint8 (n, side, side), block by block."""
    number, side = images.shape[:2]
    table = _cosines(side)
    random = np.random.default_rng(0)
    lowest = [v * FREQUENCIES + h for v in range(KEY_FREQUENCIES) for h in range(KEY_FREQUENCIES)]
    chosen = [random.permutation(lowest)[:KEY_COEFFICIENTS] for _ in range(TABLES)]
    offsets = random.random((TABLES, KEY_COEFFICIENTS))
    width = NOISE_TO_WIDTH * DISTANCE / side
    found = Signatures(
        images=images,
        coefficients=np.zeros((number, FREQUENCIES**2), np.float32),
        backgrounds=np.zeros(number, np.uint8),
        squares=np.zeros(number),
        keys=np.zeros((TABLES, number), np.uint64),
        centres=np.zeros((number, 2), np.int64),
    )

    def fill(start: int) -> None:
        rows = slice(start, start + BLOCK)
        found.backgrounds[rows] = _backgrounds(images[rows])
        content = images[rows].astype(np.float64) - found.backgrounds[rows, None, None]
        found.squares[rows] = (content**2).sum(axis=(1, 2))
        found.centres[rows] = _centres(content)
        sums = _sums(content, found.centres[rows], table)
        coefficients = sums / (AMPLITUDE**2 * np.sqrt(np.maximum(found.squares[rows], 1)))[:, None]
        found.coefficients[rows] = coefficients
        for table_number, (columns, offset) in enumerate(zip(chosen, offsets, strict=True)):
            cells = np.floor(coefficients[:, columns] / width + offset).astype(np.int64).view(np.uint64)
            keys = found.keys[table_number, rows]
            for cell in cells.T:  # a hash of the cells; what collides is told apart by its pixels
                keys[:] = (keys ^ cell) * HASH_FACTOR

    threads.in_order(fill, range(0, number, BLOCK))
    return found


def near_duplicates(one: Signatures, other: Signatures | None = None) -> Pairs:
    """Find near-duplicates, identical images included: within one set, or between two.

    Args:
        one: the images.
        other: of the second set, where ``second`` of the result is a row of it.
    """
    parts = (one,) if other is None else (one, other)
    within = None if other is None else len(one.images)
    candidates = _candidates(parts, within)
    blocks = [candidates[start : start + BLOCK] for start in range(0, len(candidates), BLOCK)]
    found = threads.in_order(lambda block: _compared(parts, block), blocks)
    pairs = np.concatenate([pairs for pairs, _ in found] or [np.zeros((0, 2), np.int64)])
    distances = np.concatenate([each for _, each in found] or [np.zeros(0)])
    return Pairs(pairs[:, 0], pairs[:, 1] - (within or 0), distances)


def _backgrounds(images: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The median of the border of each image."""
    border = np.concatenate([images[:, 0], images[:, -1], images[:, 1:-1, 0], images[:, 1:-1, -1]], axis=1)
    middle = border.shape[1] // 2
    backgrounds: NDArray[np.uint8] = np.partition(border, middle, axis=1)[:, middle]
    return backgrounds


def _centres(content: NDArray[np.float64]) -> NDArray[np.int64]:
    """Centres of mass by squared content, which noise hardly moves."""
    squares = content**2
    positions = np.arange(content.shape[1], dtype=np.float64)
    mass = np.maximum(squares.sum(axis=(1, 2)), 1)
    moments = np.stack([squares.sum(axis=2) @ positions, squares.sum(axis=1) @ positions], axis=1)
    centres: NDArray[np.int64] = np.floor(STEPS * moments / mass[:, None] + 0.5).astype(np.int64)
    return centres


def _cosines(side: int) -> NDArray[np.float64]:
    """Cosines as whole numbers, for each position around the centre from -side to side, (positions, frequencies)."""
    places = range(-side * STEPS, side * STEPS + 1)
    scales = [math.sqrt((2 if frequency else 1) / side) for frequency in range(FREQUENCIES)]
    rows = [
        [
            round(AMPLITUDE * scale * math.cos(math.pi * frequency * (place / STEPS / side + 0.5)))
            for frequency, scale in enumerate(scales)
        ]
        for place in places
    ]
    return np.array(rows, np.float64)


def _sums(content: NDArray[np.float64], centres: NDArray[np.int64], table: NDArray[np.float64]) -> NDArray[np.float64]:
    """The lowest frequencies of each image around its centre, times ``AMPLITUDE`` squared, (n, frequencies²)."""
    side = content.shape[1]
    places = STEPS * (np.arange(side) + side)  # of the pixels in the table if the centre is at 0
    vertical, horizontal = (table[places - centres[:, axis, None]] for axis in (0, 1))  # (n, side, frequencies)
    sums: NDArray[np.float64] = vertical.transpose(0, 2, 1) @ content @ horizontal  # exact: whole numbers below 2^53
    return sums.reshape(len(content), -1)


def _candidates(parts: Sequence[Signatures], within: int | None) -> NDArray[np.int64]:
    """Pairs of rows, (p, 2), of one key and similar frequencies; with ``within``, one on each side of this row."""
    one, other, offset = parts[0].coefficients, parts[-1].coefficients, within or 0
    lowest = np.concatenate([part.coefficients[:, 0] for part in parts])
    number = len(lowest)

    def of_table(table: int) -> NDArray[np.int64]:
        found = [np.zeros(0, np.int64)]
        keys = np.concatenate([part.keys[table] for part in parts])
        order = np.lexsort((lowest, keys))  # in the list of a key, similar images are close
        for pairs in _neighbours(order, within):
            same = pairs[:, keys[pairs[0]] == keys[pairs[1]]]
            for start in range(0, same.shape[1], PAIRS):
                first, second = same[:, start : start + PAIRS]
                near = ((one[first] - other[second - offset]) ** 2).sum(axis=1) <= COARSE_DISTANCE**2
                found.append((np.minimum(first, second) * number + np.maximum(first, second))[near])
        return np.concatenate(found)

    packed = np.zeros(0, np.int64)
    for start in range(0, TABLES, threads.number):  # the pairs of all tables at once would be many times as many
        tables = range(start, min(start + threads.number, TABLES))
        packed = np.unique(np.concatenate([packed, *threads.in_order(of_table, tables)]))
    return np.stack([packed // number, packed % number], axis=1)


def _neighbours(order: NDArray[np.int64], within: int | None) -> Iterator[NDArray[np.int64]]:
    """Pairs of rows, (2, p), close in an order; with ``within``, each row from there on with rows before it."""
    if within is None:
        for distance in range(1, WINDOW + 1):
            yield np.stack([order[:-distance], order[distance:]])
        return
    of_first = order < within
    first, second = order[of_first], order[~of_first]
    places = np.cumsum(of_first)[~of_first]  # of each of the second among the first
    for distance in range(-WINDOW // 2, WINDOW // 2):
        there = places + distance
        inside = (there >= 0) & (there < len(first))
        yield np.stack([first[there[inside]], second[inside]])


def _compared(parts: Sequence[Signatures], pairs: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """The pairs that are near-duplicates, and their distances."""
    (one, centres, norms), (other, other_centres, other_norms) = (_rows(parts, pairs[:, side]) for side in (0, 1))
    shifts = np.floor((centres - other_centres) / STEPS + 0.5).astype(np.int64)
    differences = (one - _moved(other, shifts)).reshape(len(pairs), -1).astype(np.float64)
    squares = (differences**2).sum(axis=1)
    limits = norms * other_norms
    near = squares <= DISTANCE**2 * limits
    return pairs[near], np.sqrt(squares[near] / np.maximum(limits[near], 1))


def _rows(
    parts: Sequence[Signatures], rows: NDArray[np.int64]
) -> tuple[NDArray[np.int16], NDArray[np.int64], NDArray[np.float64]]:
    """Content, centres and norms of rows, counted through all parts."""
    side = parts[0].images.shape[1]
    content = np.zeros((len(rows), side, side), np.int16)
    centres, norms = np.zeros((len(rows), 2), np.int64), np.zeros(len(rows))
    start = 0
    for part in parts:
        here = np.flatnonzero((rows >= start) & (rows < start + len(part.images)))
        there = rows[here] - start
        content[here] = part.images[there].astype(np.int16) - part.backgrounds[there, None, None]
        centres[here], norms[here] = part.centres[there], np.sqrt(part.squares[there])
        start += len(part.images)
    return content, centres, norms


def _moved(content: NDArray[np.int16], shifts: NDArray[np.int64]) -> NDArray[np.int16]:
    """Contents moved by whole pixels, down and to the right; what leaves is lost."""
    side = content.shape[1]
    moved = content.copy()
    for shift in np.unique(shifts[shifts.any(axis=1)], axis=0):
        rows = np.flatnonzero((shifts == shift).all(axis=1))
        (to_y, from_y), (to_x, from_x) = (
            (slice(max(by, 0), side + min(by, 0)), slice(max(-by, 0), side - max(by, 0))) for by in shift
        )
        part = np.zeros((len(rows), side, side), np.int16)
        part[:, to_y, to_x] = content[rows, from_y, from_x]
        moved[rows] = part
    return moved
