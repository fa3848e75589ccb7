"""Which images belong together: of one group of the user's file, identical, or nearly so."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from mnist_pipeline.data.csv import Block
from mnist_pipeline.data.dataset import Dataset
from mnist_pipeline.data.duplicates import Signatures, near_duplicates, signatures


class Relations:
    """Collects the groups of a file while it is read, and then derives what a data set keeps of them."""

    def __init__(self) -> None:
        self._numbers: dict[str, int] = {}
        self._named = np.zeros(0, np.int64)
        self._train: tuple[Dataset, Signatures] | None = None
        self._train_groups: frozenset[str] = frozenset()

    def collect(self, blocks: Iterable[Block]) -> Iterator[Block]:
        """Yield the blocks of a file unchanged and note the group of each row."""
        self._train_groups = frozenset(self._numbers)
        self._numbers = {}
        numbers = []
        for block in blocks:
            numbers += [self._numbers.setdefault(group, len(self._numbers)) for group in block.groups]
            yield block
        self._named = np.array(numbers, np.int64)

    @property
    def shared_groups(self) -> list[str]:
        """The groups that the last file has in common with the one before."""
        return sorted(self._train_groups & self._numbers.keys())

    def groups(self, dataset: Dataset) -> dict[str, NDArray[np.int32]]:
        """Return ``groups`` of a data set: rows of one named group or of nearly identical images, or both by turns."""
        prints = signatures(dataset.images)
        self._train = dataset, prints
        near = near_duplicates(prints)
        pairs = [(near.first, near.second)]
        if len(self._named):
            order = np.argsort(self._named, kind="stable")
            same = self._named[order][1:] == self._named[order][:-1]
            pairs.append((order[:-1][same], order[1:][same]))
        return {"groups": groups_of(len(dataset.labels), pairs)}

    def overlap(self, dataset: Dataset) -> dict[str, NDArray[np.int32]]:
        """Return ``overlap`` of a test set: the row number of a nearly identical training image, or 0."""
        overlap = np.zeros(len(dataset.labels), np.int32)
        if self._train is not None:
            train, prints = self._train
            near = near_duplicates(prints, signatures(dataset.images))
            overlap[near.second[::-1]] = train.rows[near.first[::-1]]  # the first of several
        return {"overlap": overlap}


def groups_of(number: int, pairs: Sequence[tuple[NDArray[np.int64], NDArray[np.int64]]]) -> NDArray[np.int32]:
    """Return the number of each row's group, int32 (number,): rows that pairs connect, directly or through others.

    Groups are numbered in the order of their first rows.
    """
    first, second = (np.concatenate([np.zeros(0, np.int64), *side]) for side in zip(*pairs, strict=True))
    graph = coo_array((np.ones(len(first), bool), (first, second)), shape=(number, number))
    _, labels = connected_components(graph, directed=False)
    _, first_rows, inverse = np.unique(labels, return_index=True, return_inverse=True)
    order = np.argsort(np.argsort(first_rows))
    groups: NDArray[np.int32] = order[inverse].astype(np.int32)
    return groups
