"""Stratified splits: of each class in proportion, each row once, and the same rows for the same seed."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from mnist_pipeline.core.errors import PipelineError
from mnist_pipeline.data.split import stratified_split


def labels_of(*counts: int) -> NDArray[np.uint8]:
    """Labels in a random order: ``counts[0]`` zeros, ``counts[1]`` ones, and so on."""
    labels = np.repeat(np.arange(len(counts), dtype=np.uint8), counts)
    return np.random.default_rng(0).permutation(labels)


EVEN = labels_of(*[50] * 10)
UNEVEN = labels_of(400, 37, 5, 120, 2, 61)


@pytest.mark.parametrize("labels", [EVEN, UNEVEN], ids=["even", "uneven"])
@pytest.mark.parametrize("size", [10, 101, 0.1, 0.33])
@pytest.mark.parametrize("seed", [0, 2**32 - 1])
def test_each_class_is_split_in_proportion(labels: NDArray[np.uint8], size: float, seed: int) -> None:
    first, second = stratified_split(labels, size, seed)
    expected = int(np.ceil(size * len(labels))) if size < 1 else size
    assert len(second) == expected
    proportion = np.bincount(labels) * expected / len(labels)
    assert np.abs(np.bincount(labels[second], minlength=len(proportion)) - proportion).max() <= 1
    assert sorted([*first, *second]) == list(range(len(labels)))
    for rows in (first, second):
        assert (np.diff(rows) > 0).all()  # in the order of the file


def test_the_seed_decides_which_rows() -> None:
    rows = {tuple(stratified_split(EVEN, 100, seed)[1].tolist()) for seed in (0, 1, 2, 0, 1)}
    assert len(rows) == 3


def test_the_same_rows_are_chosen_on_every_machine() -> None:
    _, second = stratified_split(np.arange(40, dtype=np.uint8) % 4, 8, 0)
    assert second.tolist() == [0, 15, 17, 19, 20, 29, 30, 38]


def test_size_0_leaves_the_second_part_empty() -> None:
    first, second = stratified_split(UNEVEN, 0, 0)
    assert first.tolist() == list(range(len(UNEVEN)))
    assert UNEVEN[second].tolist() == []


def test_a_class_of_one_row_is_named() -> None:
    with pytest.raises(PipelineError, match=r"^data\.validation_size 4: each class needs .*; label 1 has 1; add rows"):
        stratified_split(labels_of(30, 1), 4, 0)


@pytest.mark.parametrize("size", [1, 9, 0.001, 491, 500, 501, 0.999])
def test_a_size_that_leaves_fewer_rows_than_classes_is_refused(size: float) -> None:
    with pytest.raises(PipelineError, match=rf"^custom\.test_fraction {size} does not fit 500 rows: ."):
        stratified_split(EVEN, size, 0, "custom.test_fraction")
