"""A few training images before and after augmentation, so that a picture can show what training saw."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import cast

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load_file, save

from mnist_pipeline.files import replacing


class ExamplesError(ValueError):
    """A file is missing or holds no examples."""


@dataclass(frozen=True)
class Examples:
    """Training images as they are, and distorted at random.

    Attributes:
        originals: uint8 (n, side, side).
        distorted: uint8 (n, variants, side, side); no variants: training distorts nothing.
    """

    originals: NDArray[np.uint8]
    distorted: NDArray[np.uint8]


def save_examples(path: Path, examples: Examples) -> None:
    """Write examples, whole or not at all."""
    arrays = {name: np.asarray(getattr(examples, name), order="C") for name in ("originals", "distorted")}
    with replacing(path) as temporary:
        temporary.write_bytes(save(arrays))


def load_examples(path: Path) -> Examples:
    """Read examples.

    Raises:
        ExamplesError: the file is missing or holds something else.
    """
    try:
        arrays = cast("dict[str, NDArray[np.uint8]]", load_file(path))
        return Examples(arrays["originals"], arrays["distorted"])
    except (OSError, SafetensorError, KeyError) as error:
        raise ExamplesError(f"{path}: must be examples that the train stage wrote; {error}") from None
