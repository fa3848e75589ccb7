"""The few test images that pictures show, so that drawing them needs no test set."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from mnist_pipeline.files import replacing


class ShowcaseError(ValueError):
    """A file is missing or holds no showcase."""


@dataclass(frozen=True)
class Showcase:
    """Test rows with their images and the probability of each class.

    Attributes:
        classes: the name of each class.
        rows: rows of the test set, counted from 0: the chosen record first, then every mistake, the most
            confident first; int64 (n,).
        images: uint8 (n, side, side).
        labels: indices into ``classes``, int64 (n,).
        probabilities: float64 (n, classes).
    """

    classes: tuple[str, ...]
    rows: NDArray[np.int64]
    images: NDArray[np.uint8]
    labels: NDArray[np.int64]
    probabilities: NDArray[np.float64]


def choose(
    images: NDArray[np.uint8],
    labels: NDArray[np.int64],
    probabilities: NDArray[np.float64],
    classes: tuple[str, ...],
    record: int,
) -> Showcase:
    """The record, and all mistakes from the most to the least confident.

    Raises:
        ShowcaseError: there is no such record.
    """
    if record >= len(labels):
        raise ShowcaseError(f"evaluate.record must be below the {len(labels)} rows of the test set, was {record}")
    wrong = np.flatnonzero(probabilities.argmax(axis=1) != labels)
    by_confidence = wrong[np.argsort(-probabilities[wrong].max(axis=1), kind="stable")]
    rows = np.concatenate([[record], by_confidence]).astype(np.int64)
    return Showcase(classes, rows, images[rows], labels[rows], probabilities[rows])


def save_showcase(path: Path, showcase: Showcase) -> None:
    """Write a showcase, whole or not at all."""
    names = ("rows", "images", "labels", "probabilities")
    arrays = {name: np.asarray(getattr(showcase, name), order="C") for name in names}  # as in modelfile.py
    with replacing(path) as temporary:
        temporary.write_bytes(save(arrays, {"classes": json.dumps(showcase.classes)}))


def load_showcase(path: Path) -> Showcase:
    """Read a showcase.

    Raises:
        ShowcaseError: the file is missing or holds something else.
    """
    try:
        with safe_open(path, framework="numpy") as opened:
            file = cast("Any", opened)
            return Showcase(
                classes=tuple(json.loads(file.metadata()["classes"])),
                rows=file.get_tensor("rows"),
                images=file.get_tensor("images"),
                labels=file.get_tensor("labels"),
                probabilities=file.get_tensor("probabilities"),
            )
    except (OSError, SafetensorError, KeyError, TypeError, ValueError) as error:
        raise ShowcaseError(f"{path}: must be a showcase that the evaluate stage wrote; {error}") from None
