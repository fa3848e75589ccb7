"""Limits that the data set to the settings: known only once the data are prepared."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from mnist_pipeline.core.errors import PipelineError
from mnist_pipeline.params.data import CsvParams
from mnist_pipeline.params.model import CnnParams
from mnist_pipeline.params.schema import Params


def check_limits(params: Params, image_side: int, summary: Mapping[str, Any]) -> None:
    """Check settings against the data.

    Args:
        params: the settings.
        image_side: of the images, in pixels.
        summary: of the data, as the stage ``validate`` writes it.

    Raises:
        PipelineError: a batch, the validation set, ``evaluate.record`` or the network does not fit.
    """
    rows = split_size(params.data.validation_size, list(summary["train"]["class_counts"].values()))
    check_batch_size(params.train.batch_size, summary["train"]["rows"] - rows)
    check_record(params.evaluate.record, summary["test"]["rows"])
    if isinstance(params.model.settings, CnnParams):
        params.model.settings.check_side(image_side)


def check_corrections(params: Params, csv_format: CsvParams, folder: Path) -> None:
    """Raise a ``PipelineError`` if a file of corrections that a setting names is not in their folder."""
    for setting, name in (("corrections", params.data.corrections), ("corrected_test", csv_format.corrected_test)):
        if name is not None and not (folder / name).is_file():
            raise PipelineError(f"{setting} must be a file of {folder} or null, was {name!r}")


def check_batch_size(size: int, rows: int) -> None:
    """Raise a ``PipelineError`` if a batch is larger than the training set."""
    if size > rows:
        raise PipelineError(f"train.batch_size must be at most the {rows:,} training rows, was {size}")


def check_record(record: int, rows: int) -> None:
    """Raise a ``PipelineError`` if the image whose outputs are drawn is not in the test set."""
    if record >= rows:
        raise PipelineError(f"evaluate.record must be below the {rows:,} rows of the test set, was {record}")


def split_size(size: float, counts: Sequence[int], setting: str = "data.validation_size") -> int:
    """Return how many rows the second part of a stratified split gets.

    Args:
        size: a number of rows, a fraction below 1, or 0.
        counts: the rows of each class.
        setting: where ``size`` comes from, for the message of an error.

    Raises:
        PipelineError: a part would have fewer rows than there are classes, or a class has a single row.
    """
    rows, classes = sum(counts), sum(count > 0 for count in counts)
    number = math.ceil(size * rows) if size < 1 else int(size)
    if number and 1 in counts:
        raise PipelineError(
            f"{setting} {size:g}: each class needs at least 2 rows, one for each part; label {counts.index(1)} has 1; "
            "add rows of it, or remove the class"
        )
    if number and not classes <= number <= rows - classes:
        raise PipelineError(
            f"{setting} {size:g} must leave at least one row of each of {classes} classes on either side; of "
            f"{rows:,} rows, {number:,} would be taken"
        )
    return number
