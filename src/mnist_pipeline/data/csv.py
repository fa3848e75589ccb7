"""CSV files of labelled images: write the canonical form, read it strictly, explain whatever is wrong.

A row is ``label,p1,...,pn``: the label, then the pixels of a square image row by row, integers of 0-255. The
canonical form has no header and ends each row with one newline. The reader also accepts Windows line ends, labels that
are names of classes, and a header of names, which may place the columns ``label``, ``group`` and ``row`` elsewhere;
anything else is an error that says where.
"""

from __future__ import annotations

import io
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from mnist_pipeline.core.errors import PipelineError
from mnist_pipeline.data.columns import GROUP, LABEL, ROW, Columns, columns_of, to_plain
from mnist_pipeline.data.schema import Problems, Schema, explain

CHUNK_BYTES = 1 << 20  # small enough to stay in the processor's cache, large enough to hide Python's overhead
BOM = b"\xef\xbb\xbf"
COMMA, NEWLINE, ZERO = b",\n0"
NUMBER = re.compile(rb'[-+.\s"]*+([0-9][0-9.]*+(e[-+]?[0-9]++)?[\s"]*+)?', re.IGNORECASE)
"""What could be meant as a number. Its quantifiers never give back what they took, so that it takes linear time."""


@dataclass(frozen=True)
class Block:
    """Consecutive rows.

    Attributes:
        labels: indices of classes, uint8 (n,).
        images: uint8 (n, side, side).
        rows: the number of each row in its file, from 1, header included, int32 (n,), or as its column ``row`` says.
        groups: the value of each row's column ``group``; empty if there is none.
    """

    labels: NDArray[np.uint8]
    images: NDArray[np.uint8]
    rows: NDArray[np.int32]
    groups: Sequence[str] = ()

    def part(self, chosen: NDArray[np.bool_]) -> Block:
        """Return some of its rows, by a mask, bool (n,)."""
        groups = [group for group, keep in zip(self.groups, chosen, strict=True) if keep] if self.groups else ()
        return Block(self.labels[chosen], self.images[chosen], self.rows[chosen], groups)


def write_rows(file: BinaryIO, labels: NDArray[np.uint8], images: NDArray[np.uint8]) -> None:
    """Append rows in the canonical form.

    Args:
        file: open for writing bytes.
        labels: uint8 of shape (n,).
        images: uint8 of shape (n, side, side).
    """
    if not len(labels):
        return
    values = np.column_stack([labels, images.reshape(len(images), -1)])
    cells = _CELLS[values]  # (n, fields, 4): up to three digits and a comma, left-aligned
    cells[:, -1] = _LAST_CELLS[values[:, -1]]
    file.write(cells[_USED[values]].tobytes())


def write_named_rows(file: BinaryIO, block: Block, classes: Sequence[str]) -> None:
    """Append rows with the columns of ``named_header``: number, group if there is one, name of the class.

    Args:
        file: open for writing bytes.
        block: the rows.
        classes: the name of each class.
    """
    text = io.BytesIO()
    write_rows(text, block.labels, block.images)
    for place, line in enumerate(text.getvalue().splitlines(keepends=True)):
        group = f'"{block.groups[place]}",' if block.groups else ""
        file.write(f"{block.rows[place]},{group}{classes[block.labels[place]]},".encode() + line.partition(b",")[2])


def named_header(block: Block) -> bytes:
    """Return the header of rows that ``write_named_rows`` writes."""
    names = [ROW, *([GROUP] if block.groups else []), LABEL]
    return ",".join([*names, *(f"pixel{number + 1}" for number in range(block.images[0].size))]).encode() + b"\n"


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
    problems = Problems(path)
    rows = 0
    try:
        file = path.open("rb")
    except OSError as error:
        raise PipelineError(f"{path}: cannot be read: {error.strerror}; run `dvc repro fetch`") from None
    with file:
        line, columns = 1, Columns(schema.fields)
        for chunk in _whole_lines(file, schema, problems):
            text = chunk
            if line == 1:
                text, line, columns = _without_header(_without_bom(text, problems), schema, problems)
            if b"\r\n" in text:
                text = text.replace(b"\r\n", b"\n")
            lines = text.count(b"\n")
            block = _parse(text, line, columns, schema) if lines else None
            if block is None:
                explain(text, line, columns, schema, problems)
            elif not problems.count:
                yield block
            line += lines
            rows += lines
    if problems.count == 0 and rows == 0:
        problems.add("the file has no rows; it must have at least one")
    if problems.count == 0 and schema.rows is not None and rows != schema.rows:
        problems.add(f"must have {schema.rows} rows, has {rows}; check the file, or csv.rows in data.yaml")
    problems.raise_if_any()


def _parse(text: bytes, line: int, columns: Columns, schema: Schema) -> Block | None:
    """The rows of whole lines, if every cell is right; else None."""
    side = schema.image_side
    numbers = np.arange(line, line + text.count(b"\n"), dtype=np.int32)
    names_are_indices = all(schema.indices.get(b"%d" % index) == index for index in range(len(schema.classes)))
    if columns.plain and names_are_indices and (values := _parse_clean(text, schema)) is not None:
        return Block(values[:, 0], values[:, 1:].reshape(-1, side, side), numbers)
    plain = to_plain(text, columns, schema.indices)
    if plain is None or (values := _parse_clean(plain.text, schema)) is None:
        return None
    rows = np.array(plain.rows, np.int32) if plain.rows else numbers
    return Block(values[:, 0], values[:, 1:].reshape(-1, side, side), rows, plain.groups)


def _whole_lines(file: BinaryIO, schema: Schema, problems: Problems) -> Iterator[bytes]:
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
    if cells.max() > 255 or cells[:, 0].max() >= len(schema.classes):
        return None
    return cells.astype(np.uint8)


def _without_bom(text: bytes, problems: Problems) -> bytes:
    if not text.startswith(BOM):
        return text
    problems.add("row 1: must start with the label, starts with a byte order mark; save as UTF-8 without BOM")
    return text[len(BOM) :]


def _without_header(text: bytes, schema: Schema, problems: Problems) -> tuple[bytes, int, Columns]:
    """The rows below a header, or all of them, the number of the first one's line, and the columns."""
    first = text[: text.index(b"\n")]
    columns = Columns(schema.fields)
    if _is_header(first):
        columns = columns_of(first, schema.pixels)
        if (names := first.count(b",") + 1) != columns.count:
            problems.add(f"row 1: the header must have {columns.count} names, has {names}")
    elif _numbers_the_columns(first):
        problems.add(
            "row 1: must be an image or a header of names, was 0, 1, 2, ..., which numbers the columns; remove it"
        )
    else:
        return text, 1, columns
    return text[len(first) + 1 :], 2, columns


def _numbers_the_columns(line: bytes) -> bool:
    """Whether a line is 0, 1, 2, ...: what pandas writes above data without names. As an image, it would be a ghost."""
    cells = line.strip().split(b",")
    return len(cells) >= 10 and cells == [b"%d" % number for number in range(len(cells))]


def _is_header(line: bytes) -> bool:
    """Whether no field could be meant as a number: names, as in the files of Kaggle."""
    cells = line.strip().split(b",")
    return all(cells) and not any(NUMBER.fullmatch(cell) or b"\0" in cell for cell in cells)
