"""Stratified splits: of each class in proportion, each row once, and the same rows for the same seed."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from sklearn.model_selection import train_test_split

from mnist_pipeline.core.errors import PipelineError
from mnist_pipeline.data.split import stratified_split


def labels_of(*counts: int) -> NDArray[np.uint8]:
    """Labels in a random order: ``counts[0]`` zeros, ``counts[1]`` ones, and so on."""
    labels = np.repeat(np.arange(len(counts), dtype=np.uint8), counts)
    return np.random.default_rng(0).permutation(labels)


EVEN = labels_of(*[50] * 10)
UNEVEN = labels_of(400, 37, 5, 120, 2, 61)


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
    with pytest.raises(
        PipelineError,
        match=rf"^custom\.test_fraction {size} must leave at least one row of each .* of 500 rows",
    ):
        stratified_split(EVEN, size, 0, setting="custom.test_fraction")


@settings(deadline=None, database=None)
@given(
    st.lists(st.integers(2, 60), min_size=2, max_size=12),
    st.floats(0.001, 0.999),
    st.booleans(),
    st.integers(0, 99) | st.just(2**32 - 1),
)
def test_without_groups_the_rows_are_those_of_scikit_learn(
    counts: list[int], share: float, as_number: bool, seed: int
) -> None:
    labels = 3 * labels_of(*counts)  # classes without a row, too
    number = min(max(math.ceil(share * len(labels)), len(counts)), len(labels) - len(counts))
    size = number if as_number or number != math.ceil(share * len(labels)) else share
    expected = train_test_split(np.arange(len(labels)), test_size=size, random_state=seed, stratify=labels)
    alone = np.random.default_rng(0).permutation(len(labels)).astype(np.int32)
    for groups in (None, alone):
        for found, rows in zip(stratified_split(labels, size, seed, groups), expected, strict=True):
            assert found.tolist() == sorted(rows)


def random_groups(labels: NDArray[np.uint8], largest: int, share: float, seed: int) -> NDArray[np.int32]:
    """Groups of 2 to ``largest`` rows, whatever their classes, for a share of the rows."""
    random = np.random.default_rng(seed)
    groups = np.arange(len(labels), dtype=np.int32)
    rows = random.permutation(len(labels))[: int(share * len(labels))]
    while len(rows) >= 2:
        size = int(random.integers(2, largest + 1))
        groups[rows[:size]], rows = groups[rows[0]], rows[size:]
    return groups


@settings(deadline=None, max_examples=20, database=None)
@given(st.integers(2, 9), st.sampled_from([0.1, 0.5, 0.9]), st.sampled_from([0.1, 0.3, 0.5]), st.integers(0, 99))
def test_groups_stay_whole_and_classes_keep_their_shares(largest: int, share: float, size: float, seed: int) -> None:
    groups = random_groups(EVEN, largest, share, seed)
    first, second = stratified_split(EVEN, size, seed, groups)
    assert sorted([*first, *second]) == list(range(len(EVEN)))
    assert not set(groups[first]) & set(groups[second])
    differences = np.bincount(EVEN[second], minlength=10) - size * 50
    assert np.abs(differences).max() <= largest + 1
    if share < 0.9:  # enough single rows to make up for the groups
        assert np.abs(differences).max() <= 1


def test_the_seed_decides_where_groups_go() -> None:
    groups = (np.arange(len(EVEN)) // 5).astype(np.int32)
    parts = [set(groups[stratified_split(EVEN, 100, seed, groups)[1]].tolist()) for seed in (0, 1, 0)]
    assert parts[0] == parts[2] != parts[1]


def test_groups_of_a_class_of_their_own_are_shared_out() -> None:
    """As if each class had five writers."""
    labels = np.repeat(np.arange(4, dtype=np.uint8), 25)
    groups = np.repeat(np.arange(20, dtype=np.int32), 5)
    _, second = stratified_split(labels, 0.2, 3, groups)
    assert np.bincount(labels[second]).tolist() == [5, 5, 5, 5]


def test_groups_that_are_too_large_to_be_split_are_named() -> None:
    labels, together = np.arange(40, dtype=np.uint8) % 2, np.zeros(40, np.int32)
    with pytest.raises(PipelineError, match=r"^data\.validation_size 0\.5: the groups are too large to be split: "):
        stratified_split(labels, 0.5, 0, together)
