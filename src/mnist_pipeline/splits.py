"""A split of the data set, and the file it is kept in: written in a stream, loaded without parsing.

The file is in the safetensors format (https://huggingface.co/docs/safetensors): a length, a JSON header, the
bytes of each array. Any safetensors library reads it.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from mnist_pipeline.files import replacing

if TYPE_CHECKING:
    from mnist_pipeline.csvs import Block

HEADER_BYTES = 1 << 16  # reserved, since the number of rows is known only at the end; the format allows padding


class SplitError(ValueError):
    """A file holds no split."""


@dataclass(frozen=True)
class Split:
    """Labelled images.

    Attributes:
        images: uint8 of shape (n, side, side), 0 (background) to 255 (ink).
        labels: uint8 of shape (n,), indices into ``classes``.
        classes: the name of each class.
    """

    images: NDArray[np.uint8]
    labels: NDArray[np.uint8]
    classes: tuple[str, ...]


def save_split(path: Path, blocks: Iterable[Block], image_side: int, classes: tuple[str, ...]) -> None:
    """Write a split block by block, holding only the labels in memory.

    Raises:
        OSError: the file cannot be written; what was there before is still there.
        SplitError: the names of the classes are too long, likewise.
        Exception: whatever ``blocks`` raises, likewise.
    """
    labels = bytearray()
    with replacing(path) as temporary, temporary.open("wb") as file:
        file.write(bytes(HEADER_BYTES))
        for block in blocks:
            file.write(np.ascontiguousarray(block.images).data)
            labels += block.labels.tobytes()
        file.write(labels)
        rows = len(labels)
        pixels = rows * image_side**2
        header = {
            "__metadata__": {"classes": json.dumps(classes)},
            "images": {"dtype": "U8", "shape": [rows, image_side, image_side], "data_offsets": [0, pixels]},
            "labels": {"dtype": "U8", "shape": [rows], "data_offsets": [pixels, pixels + rows]},
        }
        text = json.dumps(header).encode("utf-8").ljust(HEADER_BYTES - 8)
        if len(text) > HEADER_BYTES - 8:
            raise SplitError(f"{path}: the names of all classes must take less than {HEADER_BYTES} bytes")
        file.seek(0)
        file.write((HEADER_BYTES - 8).to_bytes(8, "little") + text)


def load_split(path: Path) -> Split:
    """Map a split into memory: nothing is parsed, and pages are read when they are first used.

    Returns:
        A split whose arrays may be changed; the file stays as it is.

    Raises:
        SplitError: the file is missing or holds no split.
    """
    try:
        size = path.stat().st_size
        with path.open("rb") as file:
            start = 8 + int.from_bytes(file.read(8), "little")
            if start > size:
                raise ValueError("it has no safetensors header")
            header = json.loads(file.read(start - 8))
        if start + header["labels"]["data_offsets"][1] != size:
            raise ValueError("it is truncated")
        images, labels = (
            np.memmap(
                path,
                np.uint8,
                mode="c",
                offset=start + header[name]["data_offsets"][0],
                shape=tuple(header[name]["shape"]),
            )
            for name in ("images", "labels")
        )
        classes = tuple(json.loads(header["__metadata__"]["classes"]))
    except (OSError, KeyError, TypeError, ValueError) as error:
        raise SplitError(f"{path}: must be a split that the validate stage wrote; {error}") from None
    return Split(np.asarray(images), np.asarray(labels), classes)
