"""A data set of labelled images, in a file that loads without parsing."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from mnist_pipeline.core.arrays import load_arrays, save_blocks

if TYPE_CHECKING:
    from mnist_pipeline.data.csv import Block


@dataclass(frozen=True)
class Dataset:
    """Labelled images.

    Attributes:
        images: uint8 of shape (n, side, side), 0 (background) to 255 (ink).
        labels: uint8 of shape (n,), indices into ``classes``.
        classes: the name of each class.
    """

    images: NDArray[np.uint8]
    labels: NDArray[np.uint8]
    classes: tuple[str, ...]


def save_dataset(path: Path, blocks: Iterable[Block], classes: tuple[str, ...]) -> None:
    """Write a data set block by block, with only the labels in memory.

    Raises:
        OSError: the file cannot be written; ``path`` is unchanged.
        PipelineError: the names of the classes are too long; likewise.
        Exception: whatever ``blocks`` raises; likewise.
    """
    save_blocks(path, ({"images": block.images, "labels": block.labels} for block in blocks), {"classes": classes})


def load_dataset(path: Path) -> Dataset:
    """Map a data set into memory: pages are read at first use.

    Returns:
        A data set whose arrays can be changed; the file does not change with them.

    Raises:
        PipelineError: the file is missing, damaged, or holds something else.
    """
    what = "a data set that the validate stage wrote"
    file = load_arrays(path, what, ("images", "labels", "classes"), mapped=True)
    return Dataset(file.arrays["images"], file.arrays["labels"], tuple(file.metadata["classes"]))
