"""A data set of labelled images, in a file that loads without parsing."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from mnist_pipeline.core.arrays import load_arrays, save_blocks
from mnist_pipeline.core.errors import PipelineError

if TYPE_CHECKING:
    from mnist_pipeline.data.csv import Block

EMPTY = np.zeros(0, np.int32)


@dataclass(frozen=True)
class Dataset:
    """Labelled images.

    Attributes:
        images: uint8 of shape (n, side, side), 0 (background) to 255 (ink).
        labels: uint8 of shape (n,), indices into ``classes``.
        classes: the name of each class.
        rows: the number of each image's row in the user's file, int32 (n,); by default 1, 2, ...
        groups: of a training set, the number of each image's group, int32 (n,): images that belong on the same side
            of a split. By default, each image is its own.
        overlap: of a test set, the row number of a training image that is identical or nearly so, or 0, int32 (n,).
    """

    images: NDArray[np.uint8]
    labels: NDArray[np.uint8]
    classes: tuple[str, ...]
    rows: NDArray[np.int32] = field(default_factory=EMPTY.copy)
    groups: NDArray[np.int32] = field(default_factory=EMPTY.copy)
    overlap: NDArray[np.int32] = field(default_factory=EMPTY.copy)

    def __post_init__(self) -> None:
        number = np.arange(len(self.labels), dtype=np.int32)
        for name, default in (("rows", number + 1), ("groups", number), ("overlap", np.zeros_like(number))):
            if not len(getattr(self, name)):
                object.__setattr__(self, name, default)


Derive = Callable[[Dataset], Mapping[str, NDArray[np.int32]]]


def save_dataset(path: Path, blocks: Iterable[Block], classes: tuple[str, ...], derive: Derive = lambda _: {}) -> None:
    """Write a data set block by block, with everything but the images in memory.

    Args:
        path: of the file.
        blocks: the rows.
        classes: the name of each class.
        derive: ``groups`` or ``overlap``, from the rest.

    Raises:
        OSError: the file cannot be written; ``path`` is unchanged.
        PipelineError: the names of the classes are too long, or the numbers of rows do not rise; likewise.
        Exception: whatever ``blocks`` raises; likewise.
    """

    def derived(arrays: Mapping[str, NDArray[Any]]) -> Mapping[str, NDArray[np.int32]]:
        rows = arrays["rows"]
        if len(wrong := np.flatnonzero(np.diff(rows) <= 0)):
            raise PipelineError(f"numbers in the column row must rise: {rows[wrong[0] + 1]} follows {rows[wrong[0]]}")
        return derive(Dataset(arrays["images"], arrays["labels"], classes, rows))

    save_blocks(path, map(_arrays, blocks), {"classes": classes}, derived)


def _arrays(block: Block) -> dict[str, NDArray[Any]]:
    return {"images": block.images, "labels": block.labels, "rows": block.rows}


def load_dataset(path: Path) -> Dataset:
    """Map a data set into memory: pages are read at first use.

    Returns:
        A data set whose arrays can be changed; the file does not change with them.

    Raises:
        PipelineError: the file is missing, damaged, or holds something else.
    """
    what = "a data set that the validate stage wrote"
    file = load_arrays(path, what, ("images", "labels", "rows", "classes"), mapped=True)
    images, labels = file.arrays.pop("images"), file.arrays.pop("labels")
    if len(labels) and labels.max() >= len(file.metadata["classes"]):
        raise PipelineError(
            f"{path}: must be {what}; it has labels of more than its {len(file.metadata['classes'])} classes"
        )
    others = {name: np.array(array) for name, array in file.arrays.items()}  # copies are aligned
    return Dataset(images, labels, tuple(file.metadata["classes"]), **others)
