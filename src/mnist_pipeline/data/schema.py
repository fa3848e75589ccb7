"""What a CSV file of labelled images must look like, and what is wrong with one, by row and column."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from mnist_pipeline.core.errors import PipelineError
from mnist_pipeline.data.columns import Columns, group_name, is_row_number, label_index, label_indices

SHOWN_PROBLEMS = 10
INTEGER = re.compile(rb"[0-9]{1,3}")


@dataclass(frozen=True)
class Schema:
    """What a CSV must look like.

    Attributes:
        image_side: height and width of an image, in pixels.
        classes: the name of each class; a label is a name or, unless names are whole numbers, an index.
        rows: how many data rows there must be; None: any number but 0.
    """

    image_side: int
    classes: tuple[str, ...]
    rows: int | None = None

    @property
    def pixels(self) -> int:
        """The number of pixels of an image."""
        return self.image_side**2

    @property
    def fields(self) -> int:
        """The number of fields in a plain row: the label and each pixel."""
        return 1 + self.pixels

    @cached_property
    def indices(self) -> dict[bytes, int]:
        """The index of each text that a label may be."""
        return label_indices(self.classes)


@dataclass
class Problems:
    """What is wrong with one file: the first few in words, and how many in all."""

    path: Path
    shown: list[str] = field(default_factory=list)
    count: int = 0

    def add(self, problem: str) -> None:
        """Note a problem."""
        self.count += 1
        if len(self.shown) < SHOWN_PROBLEMS:
            self.shown.append(problem)

    def raise_if_any(self) -> None:
        """Raise one error for all problems."""
        if not self.count:
            return
        number = "1 problem" if self.count == 1 else f"{self.count} problems"
        first = f", the first {SHOWN_PROBLEMS}" if self.count > SHOWN_PROBLEMS else ""
        listing = "".join(f"\n  {problem}" for problem in self.shown)
        raise PipelineError(f"{self.path}: {number}{first}:{listing}")


def explain(text: bytes, line: int, columns: Columns, schema: Schema, problems: Problems) -> None:
    """Go through whole lines one cell at a time and note each problem."""
    names, known = [columns.name(column) for column in range(columns.count)], problems.count
    for number, content in enumerate(text.split(b"\n")[:-1], start=line):
        cells = content.split(b",")
        if not content.strip():
            problems.add(f"row {number}: must have {columns.count} fields, is blank")
        elif len(cells) != columns.count:
            problems.add(f"row {number}: must have {columns.count} fields, has {len(cells)}")
        else:
            for column, (cell, name) in enumerate(zip(cells, names, strict=True), start=1):
                if required := _required(cell, name, schema):
                    found = "was empty" if not cell else f"was {cell[:40].decode('utf-8', 'backslashreplace')!r}"
                    problems.add(f"row {number}, column {column} ({name}): must be {required}, {found}")
    if text and problems.count == known:  # whatever the reader refuses must show
        problems.add(f"row {line} and the rows after it cannot be read")


def _required(cell: bytes, name: str, schema: Schema) -> str:
    """What a cell must be; empty if it is."""
    match name:
        case "group":
            return "" if group_name(cell) else "a name"
        case "row":
            return "" if is_row_number(cell) else "the number of a row"
        case "label":
            if label_index(cell, schema.indices) is not None:
                return ""
            names = ", ".join(schema.classes[:10]) + (", ..." if len(schema.classes) > 10 else "")
            by_index = schema.classes == tuple(map(str, range(len(schema.classes))))
            return f"an integer from 0 to {len(schema.classes) - 1}" if by_index else f"one of {names}"
    return "" if INTEGER.fullmatch(cell) and int(cell) <= 255 else "an integer from 0 to 255"
