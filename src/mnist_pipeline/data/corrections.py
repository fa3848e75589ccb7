"""Corrections of a data set: rows to drop, and labels to change, in a CSV that a person edits."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mnist_pipeline.core.errors import PipelineError
from mnist_pipeline.core.files import read_csv
from mnist_pipeline.data.csv import Block
from mnist_pipeline.data.dataset import Dataset

COLUMNS = {"file": str, "row": int, "action": str, "given": str, "label": str, "reason": str}
"""Of the CSV: "train" or "test", the number of the row, "drop" or "relabel", its label now, the new label, why."""

DROP, RELABEL = "drop", "relabel"


@dataclass(frozen=True)
class Correction:
    """What to do with one row.

    Attributes:
        place: where it says so, for errors.
        given: the label that the row must have now, an index.
        label: the new one, an index; None: drop the row.
    """

    place: str
    given: int
    label: int | None


def read_corrections(path: Path, classes: Sequence[str]) -> dict[str, dict[int, Correction]]:
    """Read corrections.

    Args:
        path: of the CSV.
        classes: the name of each class.

    Returns:
        For "train" and "test", the correction of each row by its number.

    Raises:
        PipelineError: the file is missing or not such a table, or a row of it is wrong; the message names each.
    """
    table = read_csv(path, COLUMNS)
    indices = {name: index for index, name in enumerate(classes)}
    found: dict[str, dict[int, Correction]] = {"train": {}, "test": {}}
    problems = []
    for line, row in enumerate(table.to_dict("records"), start=2):
        place = f"{path}, line {line}"
        rules = (
            ("file", row["file"] in found, "train or test"),
            ("action", row["action"] in (DROP, RELABEL), f"{DROP} or {RELABEL}"),
            ("given", row["given"] in indices, f"one of {', '.join(classes)}"),
            ("label", row["action"] != RELABEL or row["label"] in indices, f"one of {', '.join(classes)}"),
            ("row", row["row"] not in found.get(row["file"], {}), "a row that has no correction above"),
        )
        broken = [f"{place}: {name} must be {rule}, was {row[name]!r}" for name, holds, rule in rules if not holds]
        problems += broken
        if not broken:
            label = indices[row["label"]] if row["action"] == RELABEL else None
            found[row["file"]][row["row"]] = Correction(place, indices[row["given"]], label)
    if problems:
        raise PipelineError("\n".join(problems))
    return found


class Corrected:
    """Blocks of rows with corrections applied.

    Attributes:
        dropped: rows so far.
        relabelled: rows so far.
    """

    def __init__(self, corrections: dict[int, Correction], classes: Sequence[str]) -> None:
        self.dropped = self.relabelled = 0
        self._corrections, self._classes = corrections, classes

    def apply(self, blocks: Iterable[Block]) -> Iterator[Block]:
        """Yield the blocks with each correction applied.

        Raises:
            PipelineError: a row has another label than the correction says, or does not exist.
        """
        left = set(self._corrections)
        for block in blocks:
            here = np.flatnonzero(np.isin(block.rows, list(left)))
            left -= set(block.rows[here].tolist())
            corrected = self._corrected(block, here) if len(here) else block
            if len(corrected.labels):
                yield corrected
        if left:
            first = min(left)
            raise PipelineError(f"{self._corrections[first].place}: row must be a row of the file, was {first}")

    def _corrected(self, block: Block, places: NDArray[np.int64]) -> Block:
        labels, kept = block.labels.copy(), np.ones(len(block.labels), bool)
        for place in places:
            correction = self._corrections[int(block.rows[place])]
            _check_given(correction, int(labels[place]), self._classes)
            if correction.label is None:
                kept[place], self.dropped = False, self.dropped + 1
            else:
                labels[place], self.relabelled = correction.label, self.relabelled + 1
        return Block(labels, block.images, block.rows, block.groups).part(kept)


def corrected_labels(dataset: Dataset, corrections: dict[int, Correction]) -> NDArray[np.int64]:
    """Return the labels of a data set, int64 (n,), with corrections applied; -1 for rows to drop.

    Rows that are not there are passed over, and so are those that have their new label already: both happen where
    ``validate`` applied the same corrections.

    Raises:
        PipelineError: a row has neither the label that the correction gives nor the new one.
    """
    labels = dataset.labels.astype(np.int64)
    for place in np.flatnonzero(np.isin(dataset.rows, list(corrections))):
        correction = corrections[int(dataset.rows[place])]
        if labels[place] != correction.label:
            _check_given(correction, int(labels[place]), dataset.classes)
        labels[place] = -1 if correction.label is None else correction.label
    return labels


def _check_given(correction: Correction, label: int, classes: Sequence[str]) -> None:
    if label != correction.given:
        raise PipelineError(
            f"{correction.place}: given must be the label of that row, {classes[label]!r}, was "
            f"{classes[correction.given]!r}; are the corrections for this version of the file?"
        )
