"""Rows held out: of each class in proportion, each row once, and the same ones for the same seed."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from mnist_pipeline.data.split import PipelineError, hold_out


def labels_of(*counts: int) -> NDArray[np.uint8]:
    """Labels in a random order: ``counts[0]`` zeros, ``counts[1]`` ones, and so on."""
    labels = np.repeat(np.arange(len(counts), dtype=np.uint8), counts)
    return np.random.default_rng(0).permutation(labels)


EVEN = labels_of(*[50] * 10)
UNEVEN = labels_of(400, 37, 5, 120, 2, 61)


@pytest.mark.parametrize("labels", [EVEN, UNEVEN], ids=["even", "uneven"])
@pytest.mark.parametrize(
    ("size", "expected"), [(10, 10), (100, 100), (101, 101), (0.1, None), (0.5, None), (0.33, None)]
)
@pytest.mark.parametrize("seed", [0, 1, 2**32 - 1])
def test_classes_are_in_proportion(labels: NDArray[np.uint8], size: float, expected: int | None, seed: int) -> None:
    kept, held_out = stratified_split(labels, size, seed)
    expected = int(np.ceil(size * len(labels))) if expected is None else expected
    assert (len(kept), len(held_out)) == (len(labels) - expected, expected)
    proportion = np.bincount(labels) * expected / len(labels)
    assert np.abs(np.bincount(labels[held_out], minlength=len(proportion)) - proportion).max() <= 1
    assert set(np.concatenate([kept, held_out]).tolist()) == set(range(len(labels)))  # complete, so disjoint, too
    for rows in (kept, held_out):
        assert np.issubdtype(rows.dtype, np.integer)
        assert (np.diff(rows) > 0).all()  # in the order of the file


def test_the_seed_alone_decides() -> None:
    np.random.seed(1)
    kept, held_out = stratified_split(EVEN, 100, 7)
    np.random.seed(2)
    again = stratified_split(EVEN, 100, 7)
    np.testing.assert_array_equal(kept, again[0])
    np.testing.assert_array_equal(held_out, again[1])


def test_another_seed_holds_out_other_rows() -> None:
    rows = {tuple(stratified_split(EVEN, 100, seed)[1].tolist()) for seed in range(5)}
    assert len(rows) == 5


def test_held_out_rows_come_from_the_whole_file() -> None:
    _, held_out = stratified_split(EVEN, 100, 0)
    assert all(len(part) > 10 for part in np.split(held_out, np.searchsorted(held_out, [125, 250, 375])))


def test_the_same_rows_on_every_machine() -> None:
    _, held_out = stratified_split(np.arange(40, dtype=np.uint8) % 4, 8, 0)
    assert held_out.tolist() == [0, 15, 17, 19, 20, 29, 30, 38]


def test_nothing_held_out() -> None:
    kept, held_out = stratified_split(UNEVEN, 0, 0)
    assert kept.tolist() == list(range(len(UNEVEN)))
    assert held_out.shape == (0,)
    assert UNEVEN[held_out].tolist() == []


def test_a_class_of_one_row_is_named() -> None:
    with pytest.raises(PipelineError, match=r"^data.validation_size 4: each class needs .*; label 1 has 1; add rows"):
        stratified_split(labels_of(30, 1), 4, 0)


@pytest.mark.parametrize(
    ("labels", "size"),
    [
        pytest.param(EVEN, 1, id="one row for ten classes"),
        pytest.param(EVEN, 9, id="nine rows for ten classes"),
        pytest.param(EVEN, 0.001, id="a fraction of one row"),
        pytest.param(EVEN, 491, id="nine rows left"),
        pytest.param(EVEN, 500, id="all rows"),
        pytest.param(EVEN, 501, id="more than all rows"),
        pytest.param(EVEN, 60000, id="many more than all rows"),
        pytest.param(EVEN, 0.999, id="all but half a row"),
    ],
)
def test_a_size_that_does_not_fit_is_refused_and_named(labels: NDArray[np.uint8], size: float) -> None:
    with pytest.raises(PipelineError) as caught:
        stratified_split(labels, size, 0)
    start = f"data.validation_size {size} does not fit {len(labels)} rows: "
    assert str(caught.value).startswith(start)
    assert len(str(caught.value)) > len(start)
