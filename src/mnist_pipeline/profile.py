"""Facts about a split, gathered block by block: balance, duplicates, empty images, constant pixels, mean and sd."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from mnist_pipeline.csvs import Block
from mnist_pipeline.moments import mean_and_sd

DIGEST_BYTES = 16  # 128 bits: two different images share one with a chance of about 1e-29 in 100,000


class Profile:
    """Gathers the facts of one split. Takes 17 bytes of memory a row, whatever the size of the images."""

    def __init__(self, classes: tuple[str, ...], image_side: int) -> None:
        self.classes = classes
        self._class_counts = np.zeros(len(classes), np.int64)
        self._pixel_counts = np.zeros(256, np.int64)
        self._empty = 0
        self._lowest = np.full(image_side**2, 255, np.uint8)
        self._highest = np.zeros(image_side**2, np.uint8)
        self._digests = bytearray()

    def watch(self, blocks: Iterable[Block], name: str, rows: int | None = None) -> Iterator[Block]:
        """Give the blocks unchanged, adding each to the facts; on a terminal, a bar shows how far it is.

        Args:
            blocks: of the split.
            name: of the split, for the bar.
            rows: how many there will be; None: that is not known.
        """
        with tqdm(desc=f"{name} rows", total=rows, unit="row", unit_scale=True, leave=False, disable=None) as bar:
            for block in blocks:
                self.add(block)
                bar.update(len(block.labels))
                yield block

    def add(self, block: Block) -> None:
        """Add some rows to the facts."""
        pixels = block.images.reshape(len(block.images), -1)
        self._class_counts += np.bincount(block.labels, minlength=len(self.classes))
        self._pixel_counts += np.bincount(pixels.reshape(-1), minlength=256)
        self._empty += int((pixels.max(axis=1) == 0).sum())
        np.minimum(self._lowest, pixels.min(axis=0), out=self._lowest)
        np.maximum(self._highest, pixels.max(axis=0), out=self._highest)
        for image in np.ascontiguousarray(pixels):
            self._digests += hashlib.blake2b(image.data, digest_size=DIGEST_BYTES).digest()

    @property
    def class_counts(self) -> list[int]:
        """The number of rows of each class."""
        return [int(count) for count in self._class_counts]

    def facts(self) -> dict[str, Any]:
        """The facts, for a JSON file: counts, and the mean and sd of all pixels (0-255), exactly computed."""
        rows = int(self._class_counts.sum())
        mean, sd = mean_and_sd(self._pixel_counts)
        return {
            "rows": rows,
            "duplicate_images": rows - len(np.unique(self._images())),
            "empty_images": self._empty,
            "constant_pixels": int((self._lowest == self._highest).sum()),
            "pixel_mean": mean,
            "pixel_sd": sd,
            "class_counts": dict(zip(self.classes, self.class_counts, strict=True)),
        }

    def duplicates_of(self, other: Profile) -> int:
        """How many rows have an image that ``other`` has, too."""
        return int(np.isin(self._images(), other._images()).sum())

    def _images(self) -> NDArray[np.bytes_]:
        return np.frombuffer(self._digests, f"S{DIGEST_BYTES}")
