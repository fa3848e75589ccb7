"""CSV files of labelled images: write the canonical form, read it strictly, explain whatever is wrong.

A row is ``label,p1,...,pn``: the label, then the pixels of a square image row by row, integers of 0-255. The
canonical form has no header and ends each row with one newline. The reader also accepts a header of names and Windows
line ends; anything else is an error that says where.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from mnist_pipeline.core.errors import PipelineError

SHOWN_PROBLEMS = 10
CHUNK_BYTES = 1 << 20  # small enough to stay in the processor's cache, large enough to hide Python's overhead
BOM = b"\xef\xbb\xbf"
COMMA, NEWLINE, ZERO = b",\n0"
INTEGER = re.compile(rb"[0-9]{1,3}")
NUMBER = re.compile(rb'[-+.\s"]*[0-9.]+(e[-+]?[0-9]+)?[\s"]*', re.IGNORECASE)


@dataclass(frozen=True)
class Schema:
    """What a CSV must look like.

    Attributes:
        image_side: height and width of an image, in pixels.
        classes: the number of classes; labels are 0 to ``classes - 1``.
        rows: how many data rows there must be; None: any number but 0.
    """

    image_side: int
    classes: int
    rows: int | None = None

    @property
    def fields(self) -> int:
        """The number of fields in a row: the label and each pixel."""
        return 1 + self.image_side**2


@dataclass(frozen=True)
class Block:
    """Consecutive rows: labels, uint8 of shape (n,), and images, uint8 of shape (n, side, side)."""

    labels: NDArray[np.uint8]
    images: NDArray[np.uint8]


def write_rows(file: BinaryIO, labels: NDArray[np.uint8], images: NDArray[np.uint8]) -> None:
    """Append rows in the canonical form.

    Args:
        file: open for writing bytes.
        labels: uint8 of shape (n,).
        images: uint8 of shape (n, side, side).
    """
    values = np.column_stack([labels, images.reshape(len(images), -1)])
    cells = _CELLS[values]  # (n, fields, 4): up to three digits and a comma, left-aligned
    cells[:, -1] = _LAST_CELLS[values[:, -1]]
    file.write(cells[_USED[values]].tobytes())


def _cell_table(separator: str) -> NDArray[np.uint8]:
    text = "".join(f"{value}{separator}".ljust(4, "\0") for value in range(256))
    return np.frombuffer(text.encode("ascii"), np.uint8).reshape(256, 4)


_CELLS = _cell_table(",")
_LAST_CELLS = _cell_table("\n")
_USED = _CELLS != 0


def read_blocks(path: Path, schema: Schema) -> Iterator[Block]:
    """Read a CSV in blocks of some hundred rows, checking every byte.

    Memory is bounded by the block, whatever the size of the file. Treat what was read as valid only once the
    iterator has ended without an error.

    Raises:
        PipelineError: after the whole file was read, if anything in it was wrong; or at once if it is missing.
    """
    problems = _Problems(path)
    rows = 0
    try:
        file = path.open("rb")
    except OSError as error:
        raise PipelineError(f"{path}: cannot be read: {error.strerror}; run `dvc repro fetch`") from None
    with file:
        line = 1
        for chunk in _whole_lines(file, schema, problems):
            text = chunk
            if line == 1:
                text, line = _without_header(_without_bom(text, problems), schema, problems)
            if b"\r\n" in text:
                text = text.replace(b"\r\n", b"\n")
            lines = text.count(b"\n")
            values = _parse_clean(text, schema) if lines else None
            if values is None:
                _explain(text, line, schema, problems)
            elif not problems.count:
                side = schema.image_side
                yield Block(values[:, 0], values[:, 1:].reshape(-1, side, side))
            line += lines
            rows += lines
    if problems.count == 0 and rows == 0:
        problems.add("the file has no rows; it must have at least one")
    if problems.count == 0 and schema.rows is not None and rows != schema.rows:
        problems.add(f"must have {schema.rows} rows, has {rows}; check the file, or csv.rows in params.yaml")
    problems.raise_if_any()


def _whole_lines(file: BinaryIO, schema: Schema, problems: _Problems) -> Iterator[bytes]:
    """Chunks of the file that end at a newline; a last line without one is a problem."""
    longest = max(CHUNK_BYTES, 8 * schema.fields)
    carry = b""
    while data := file.read(CHUNK_BYTES):
        carry += data
        end = carry.rfind(b"\n") + 1
        if end:
            yield carry[:end]
            carry = carry[end:]
        elif len(carry) > longest:
            problems.add(f"a line of over {longest} bytes: this is no CSV of {schema.fields} numbers a row")
            problems.raise_if_any()
    if carry:
        start = carry[:20].decode("utf-8", "backslashreplace")
        problems.add(f"last row: must end with a newline, was cut off (it starts {start!r}): the file is truncated")


def _parse_clean(text: bytes, schema: Schema) -> NDArray[np.uint8] | None:
    """All cells of whole lines, uint8 of shape (rows, fields), if every one is right; else None."""
    raw = np.frombuffer(text, np.uint8)
    digits = raw - np.uint8(ZERO)  # wraps: what is no digit becomes 10 or more
    ends = np.flatnonzero(digits > 9)
    if len(ends) % schema.fields:
        return None
    separators = raw[ends].reshape(-1, schema.fields)
    if (separators[:, -1] != NEWLINE).any() or (separators[:, :-1] != COMMA).any():
        return None
    lengths = np.diff(ends, prepend=-1) - 1
    if lengths.min() < 1 or lengths.max() > 3:
        return None
    # A first cell reaches back before the text: index -1 wraps around, and its digit does not count.
    values = digits[ends - 1].astype(np.uint16)
    values += np.where(lengths > 1, digits[ends - 2], 0) * np.uint16(10)
    values += np.where(lengths > 2, digits[ends - 3], 0) * np.uint16(100)
    cells = values.reshape(-1, schema.fields)
    if cells.max() > 255 or cells[:, 0].max() >= schema.classes:
        return None
    return cells.astype(np.uint8)


def _explain(text: bytes, line: int, schema: Schema, problems: _Problems) -> None:
    """Go through whole lines one cell at a time and note each problem."""
    for number, content in enumerate(text.split(b"\n")[:-1], start=line):
        cells = content.split(b",")
        if not content.strip():
            problems.add(f"row {number}: must have {schema.fields} fields, is blank")
        elif len(cells) != schema.fields:
            problems.add(f"row {number}: must have {schema.fields} fields, has {len(cells)}")
        else:
            for column, cell in enumerate(cells):
                _explain_cell(cell, number, column, schema, problems)


def _explain_cell(cell: bytes, row: int, column: int, schema: Schema, problems: _Problems) -> None:
    limit = 255 if column else schema.classes - 1
    if INTEGER.fullmatch(cell) and int(cell) <= limit:
        return
    name = f"pixel {column}" if column else "label"
    found = "was empty" if not cell else f"was {cell[:40].decode('utf-8', 'backslashreplace')!r}"
    problems.add(f"row {row}, column {column + 1} ({name}): must be an integer from 0 to {limit}, {found}")


def _without_bom(text: bytes, problems: _Problems) -> bytes:
    if not text.startswith(BOM):
        return text
    problems.add("row 1: must start with the label, starts with a byte order mark; save as UTF-8 without BOM")
    return text[len(BOM) :]


def _without_header(text: bytes, schema: Schema, problems: _Problems) -> tuple[bytes, int]:
    """The rows below a header, or all of them, and the number of the first one's line."""
    first = text[: text.index(b"\n")]
    if _is_header(first):
        if (names := first.count(b",") + 1) != schema.fields:
            problems.add(f"row 1: the header must have {schema.fields} names, has {names}")
    elif _numbers_the_columns(first):
        problems.add(
            "row 1: must be an image or a header of names, was 0, 1, 2, ..., which numbers the columns; remove it"
        )
    else:
        return text, 1
    return text[len(first) + 1 :], 2


def _numbers_the_columns(line: bytes) -> bool:
    """Whether a line is 0, 1, 2, ...: what pandas writes above data without names. As an image, it would be a ghost."""
    cells = line.strip().split(b",")
    return len(cells) >= 10 and cells == [b"%d" % number for number in range(len(cells))]


def _is_header(line: bytes) -> bool:
    """Whether no field could be meant as a number: names, as in the files of Kaggle."""
    cells = line.strip().split(b",")
    return all(cells) and not any(NUMBER.fullmatch(cell) or b"\0" in cell for cell in cells)


@dataclass
class _Problems:
    """What is wrong with one file: the first few in words, and how many in all."""

    path: Path
    shown: list[str] = field(default_factory=list)
    count: int = 0

    def add(self, problem: str) -> None:
        self.count += 1
        if len(self.shown) < SHOWN_PROBLEMS:
            self.shown.append(problem)

    def raise_if_any(self) -> None:
        if not self.count:
            return
        number = "1 problem" if self.count == 1 else f"{self.count} problems"
        first = f", the first {SHOWN_PROBLEMS}" if self.count > SHOWN_PROBLEMS else ""
        listing = "".join(f"\n  {problem}" for problem in self.shown)
        raise PipelineError(f"{self.path}: {number}{first}:{listing}")
