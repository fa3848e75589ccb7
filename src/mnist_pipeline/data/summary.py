"""A summary of a data set, collected block by block: class balance, duplicates, empty images, pixel statistics."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from mnist_pipeline.core.statistics import mean_and_std
from mnist_pipeline.data.csv import Block

DIGEST_BYTES = 16  # 128 bits: two different images share one with a chance of about 1e-29 in 100,000


class Summary:
    """Collects the statistics of one data set in 17 bytes of memory a row, whatever the size of the images."""

    def __init__(self, classes: tuple[str, ...], image_side: int) -> None:
        self.classes = classes
        self._class_counts = np.zeros(len(classes), np.int64)
        self._pixel_counts = np.zeros(256, np.int64)
        self._empty = 0
        self._lowest = np.full(image_side**2, 255, np.uint8)
        self._highest = np.zeros(image_side**2, np.uint8)
        self._digests = bytearray()

    def collect(self, blocks: Iterable[Block], name: str, rows: int | None = None) -> Iterator[Block]:
        """Yield the blocks unchanged and add each to the summary; on a terminal, show a progress bar.

        Args:
            blocks: of the data set.
            name: of the data set, for the bar.
            rows: how many there will be; None if unknown.
        """
        with tqdm(desc=f"{name} rows", total=rows, unit="row", unit_scale=True, leave=False, disable=None) as bar:
            for block in blocks:
                self.add(block)
                bar.update(len(block.labels))
                yield block

    def add(self, block: Block) -> None:
        """Add some rows."""
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
        """Count the rows of each class."""
        return [int(count) for count in self._class_counts]

    def as_dict(self) -> dict[str, Any]:
        """Return counts, and the exact mean and standard deviation of all pixels (0-255), for a JSON file."""
        rows = int(self._class_counts.sum())
        mean, std = mean_and_std(self._pixel_counts)
        return {
            "rows": rows,
            "duplicate_images": rows - len(np.unique(self._images())),
            "empty_images": self._empty,
            "constant_pixels": int((self._lowest == self._highest).sum()),
            "pixel_mean": mean,
            "pixel_sd": std,
            "class_counts": dict(zip(self.classes, self.class_counts, strict=True)),
        }

    def duplicates_of(self, other: Summary) -> int:
        """Count the rows whose image occurs in ``other``, too."""
        return int(np.isin(self._images(), other._images()).sum())

    def _images(self) -> NDArray[np.bytes_]:
        return np.frombuffer(self._digests, f"S{DIGEST_BYTES}")
