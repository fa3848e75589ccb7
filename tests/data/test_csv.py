"""Every way a CSV file can be wrong is refused with the row and column; all else is read exactly."""

from __future__ import annotations

import re
import tracemalloc
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from mnist_pipeline.core.errors import PipelineError
from mnist_pipeline.data import csv
from mnist_pipeline.data.csv import read_blocks, write_rows
from mnist_pipeline.data.schema import Schema
from tests.conftest import DIGITS

SCHEMA = Schema(image_side=3, classes=DIGITS)
ROWS = (
    b"5,0,10,200,0,255,7,0,99,1",
    b"0,255,254,253,0,0,0,12,13,14",
    b"9,1,2,3,4,5,6,7,8,9",
    b"4,0,0,0,0,0,0,0,0,0",
    b"1,100,0,100,0,100,0,100,0,100",
)
VALID = b"\n".join(ROWS) + b"\n"
NUMBERS = [[int(cell) for cell in row.split(b",")] for row in ROWS]
HEADER = b"label,1x1,1x2,1x3,2x1,2x2,2x3,3x1,3x2,3x3\n"
MEBIBYTE = 1 << 20


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "file.csv"


def read(path: Path, schema: Schema = SCHEMA, chunk_bytes: int = MEBIBYTE) -> NDArray[np.uint8]:
    """All cells, a row for each row of the file."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(csv, "CHUNK_BYTES", chunk_bytes)
        blocks = list(read_blocks(path, schema))
    return np.concatenate(
        [np.column_stack([block.labels, block.images.reshape(len(block.images), -1)]) for block in blocks]
    )


def problems_of(path: Path, schema: Schema = SCHEMA, chunk_bytes: int = MEBIBYTE) -> list[str]:
    """What is listed below the first line of the error, which must name the file and count the problems."""
    with pytest.raises(PipelineError) as caught:
        read(path, schema, chunk_bytes)
    first, *listed = str(caught.value).splitlines()
    number = "1 problem" if len(listed) == 1 else f"{len(listed)} problems"
    assert first == f"{path}: {number}:" or first.endswith(" problems, the first 10:")
    assert all(line.startswith("  ") for line in listed)
    return [line[2:] for line in listed]


@pytest.mark.parametrize("cell", [b".", b'"', b"1", b"1e", b"-. "])
def test_a_first_line_of_a_megabyte_is_read_in_linear_time(path: Path, cell: bytes) -> None:
    """In quadratic time, this would take hours."""
    path.write_bytes(cell * (MEBIBYTE // len(cell)) + b"x\n" + VALID)
    with pytest.raises(PipelineError):
        read(path)


def bad_cell(row: int, column: int, found: str) -> str:
    """What the reader says of a cell; ``column`` counts from 1."""
    name, limit = ("label", 9) if column == 1 else (f"pixel {column - 1}", 255)
    return f"row {row}, column {column} ({name}): must be an integer from 0 to {limit}, was {found}"


def bad_fields(row: int, found: str) -> str:
    return f"row {row}: must have 10 fields, {found}"


def truncated(start: str) -> str:
    return f"last row: must end with a newline, was cut off (it starts {start!r}): the file is truncated"


def with_cell(row: int, column: int, cell: bytes) -> bytes:
    """The valid file with one cell changed; both count from 1."""
    lines = [line.split(b",") for line in ROWS]
    lines[row - 1][column - 1] = cell
    return b"".join(b",".join(line) + b"\n" for line in lines)


# id: row, column, the cell, how the message shows it
CELLS: dict[str, tuple[int, int, bytes, str]] = {
    "empty label": (1, 1, b"", "empty"),
    "empty last pixel": (5, 10, b"", "empty"),
    "leading tab in label": (4, 1, b"\t5", r"'\t5'"),
    "minus": (5, 9, b"-1", "'-1'"),
    "double quotes": (1, 4, b'"5"', """'"5"'"""),
    "Arabic digit": (2, 3, "٣".encode(), "'٣'"),
    "not UTF-8": (5, 5, b"\xff", r"'\\xff'"),
    "256": (1, 10, b"256", "'256'"),
    "0000": (1, 2, b"0000", "'0000'"),
    "sixty digits": (3, 5, b"7" * 60, f"'{'7' * 40}'"),
    "label 10 in first row": (1, 1, b"10", "'10'"),
    "label 10 in last row": (5, 1, b"10", "'10'"),
    "NUL in the first label": (1, 1, b"\0005", r"'\x005'"),
    "two CR before a newline": (2, 10, b"1\r\r", r"'1\r'"),
    "byte order mark in the middle": (3, 1, b"\xef\xbb\xbf9", r"'\ufeff9'"),
}

NO_ROWS = "the file has no rows; it must have at least one"
BYTE_ORDER_MARK = "row 1: must start with the label, starts with a byte order mark; save as UTF-8 without BOM"

# id: the whole file, the problems
FILES: dict[str, tuple[bytes, list[str]]] = {
    "empty file": (b"", [NO_ROWS]),
    "only a header": (HEADER, [NO_ROWS]),
    "too few fields, last row": (VALID.replace(ROWS[4], b"1"), [bad_fields(5, "has 1")]),
    "too many fields": (VALID.replace(ROWS[2], ROWS[2] + b",0,0"), [bad_fields(3, "has 12")]),
    "comma at the end": (VALID.replace(ROWS[1], ROWS[1] + b","), [bad_fields(2, "has 11")]),
    "blank line, first": (b"\n" + VALID, [bad_fields(1, "is blank")]),
    "blank line, last": (VALID + b"\n", [bad_fields(6, "is blank")]),
    "blank Windows line": (VALID + b"\r\n", [bad_fields(6, "is blank")]),
    "as many blank lines as fields": (b"\n" * 10 + VALID, [bad_fields(row, "is blank") for row in range(1, 11)]),
    "NUL after the last row": (VALID + b"\0" * 40, [truncated("\0" * 20)]),
    "byte order mark": (b"\xef\xbb\xbf" + VALID, [BYTE_ORDER_MARK]),
    "no newline at the end": (VALID[:-1], [truncated("1,100,0,100,0,100,0,")]),
    "cut off after a CR": (VALID.replace(b"\n", b"\r\n")[:-1], [truncated("1,100,0,100,0,100,0,")]),
    "old Mac line ends": (3 * (ROWS[3] + b"\r"), [truncated("4,0,0,0,0,0,0,0,0,0\r")]),
    "header twice": (
        HEADER + HEADER + VALID,
        [bad_cell(2, column, f"'{name}'") for column, name in enumerate(HEADER[:-1].decode().split(","), 1)],
    ),
    "header that numbers the columns": (
        b"0,1,2,3,4,5,6,7,8,9\n" + VALID,
        ["row 1: must be an image or a header of names, was 0, 1, 2, ..., which numbers the columns; remove it"],
    ),
    "header of too many names": (
        HEADER.replace(b"\n", b",id\n") + VALID,
        ["row 1: the header must have 10 names, has 11"],
    ),
    "numbers for a header": (b"0,1,2,3,4,5,6,7,8,256\n" + VALID, [bad_cell(1, 10, "'256'")]),
    "problems in several rows": (
        with_cell(1, 1, b"10").replace(b",99,", b",,").replace(ROWS[3], b"4,0") + b"7,0",
        [bad_cell(1, 1, "'10'"), bad_cell(1, 9, "empty"), bad_fields(4, "has 2"), truncated("7,0")],
    ),
}

BROKEN = FILES | {
    name: (with_cell(row, column, cell), [bad_cell(row, column, found)])
    for name, (row, column, cell, found) in CELLS.items()
}


def test_pixels_are_in_rows_of_the_image(path: Path) -> None:
    path.write_bytes(VALID)
    (block,) = read_blocks(path, SCHEMA)
    assert block.labels.dtype == block.images.dtype == np.uint8
    assert block.labels.tolist() == [5, 0, 9, 4, 1]
    assert block.images[2].tolist() == [[1, 2, 3], [4, 5, 6], [7, 8, 9]]


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(VALID, id="canonical"),
        pytest.param((HEADER + VALID).replace(b"\n", b"\r\n"), id="header, Windows line ends"),
        pytest.param(HEADER.replace(b"label", b'"label"') + VALID, id="header with quotes"),
        pytest.param(b",".join(b"pixel %d" % n for n in range(10)) + b"\n" + VALID, id="header with spaces"),
        pytest.param(VALID.replace(b"\n", b"\r\n", 2), id="mixed line ends"),
        pytest.param(VALID.replace(b",7,", b",007,").replace(b"9,1,", b"009,01,"), id="leading zeros"),
    ],
)
@pytest.mark.parametrize("chunk_bytes", [1, 7, 50, MEBIBYTE])
def test_a_valid_file_is_read_to_its_numbers(path: Path, content: bytes, chunk_bytes: int) -> None:
    path.write_bytes(content)
    assert read(path, Schema(3, DIGITS, rows=5), chunk_bytes).tolist() == NUMBERS


@pytest.mark.parametrize(("content", "problems"), BROKEN.values(), ids=BROKEN)
def test_a_broken_file_is_refused_and_the_problem_named(path: Path, content: bytes, problems: list[str]) -> None:
    path.write_bytes(content)
    for chunk_bytes in (1, 7, 64, MEBIBYTE):  # the same words, wherever the file is cut into blocks
        assert problems_of(path, chunk_bytes=chunk_bytes) == problems


@pytest.mark.parametrize("cell", [b"5", b"-1.5e3", b"1E-2", b'"5"', b" 5 ", b".5", b"", b"a\0"])
def test_a_first_line_with_a_number_or_an_empty_cell_is_no_header(path: Path, cell: bytes) -> None:
    path.write_bytes(HEADER.replace(b"1x2", cell) + VALID)
    assert bad_cell(1, 1, "'label'") in problems_of(path)


def test_a_missing_file_is_named_with_the_command_that_fetches_it(path: Path) -> None:
    with pytest.raises(PipelineError) as caught:
        read(path)
    assert str(caught.value) == f"{path}: cannot be read: No such file or directory; run `dvc repro fetch`"


@pytest.mark.parametrize("rows", [4, 6])
def test_another_number_of_rows_is_refused_unless_a_row_is_broken(path: Path, rows: int) -> None:
    path.write_bytes(HEADER + VALID)
    expected = f"must have {rows} rows, has 5; check the file, or csv.rows in data.yaml"
    assert problems_of(path, Schema(3, DIGITS, rows)) == [expected]
    path.write_bytes(HEADER + VALID + b"1,2\n")
    assert problems_of(path, Schema(3, DIGITS, rows)) == [bad_fields(7, "has 2")]


@pytest.mark.parametrize(("problems", "shown"), [(10, "10 problems:"), (500, "500 problems, the first 10:")])
@pytest.mark.parametrize("chunk_bytes", [40, MEBIBYTE])
def test_ten_problems_are_listed_and_all_are_counted(path: Path, problems: int, shown: str, chunk_bytes: int) -> None:
    path.write_bytes(HEADER + VALID + problems * b"x,0,0,0,0,0,0,0,0,0\n")
    assert problems_of(path, chunk_bytes=chunk_bytes) == [bad_cell(row, 1, "'x'") for row in range(7, 17)]
    with pytest.raises(PipelineError, match=f": {shown}\n"):
        read(path)


@pytest.mark.parametrize("byte", [b"7", b"\r"])
def test_a_line_that_never_ends_is_not_read_to_its_end(path: Path, byte: bytes) -> None:
    path.write_bytes(byte * (5 * MEBIBYTE))
    tracemalloc.start()
    try:
        problems = problems_of(path)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert problems == ["a line of over 1048576 bytes: this is no CSV of 10 numbers a row"]
    assert peak < 4.5 * MEBIBYTE


def test_rows_are_written_in_the_canonical_form(path: Path) -> None:
    cells = np.array(NUMBERS, np.uint8)
    with path.open("wb") as file:
        write_rows(file, cells[:2, 0], cells[:2, 1:].reshape(-1, 3, 3))
        write_rows(file, cells[2:, 0], cells[2:, 1:].reshape(-1, 3, 3))
    assert path.read_bytes() == VALID


@settings(deadline=None, database=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    rows=st.integers(1, 12),
    side=st.integers(1, 6),
    highest=st.sampled_from([0, 9, 10, 99, 100, 255]),
    chunk_bytes=st.sampled_from([1, 2, 3, 17, 64, 1000, MEBIBYTE]),
)
def test_what_is_written_is_read_back(path: Path, rows: int, side: int, highest: int, chunk_bytes: int) -> None:
    random = np.random.default_rng(rows)
    images = random.integers(0, highest + 1, (rows, side, side), np.uint8)
    labels = random.integers(0, 10, rows, np.uint8)
    with path.open("wb") as file:
        write_rows(file, labels, images)
    expected = np.column_stack([labels, images.reshape(rows, -1)])
    np.testing.assert_array_equal(read(path, Schema(side, DIGITS), chunk_bytes), expected)
    np.testing.assert_array_equal(pd.read_csv(path, header=None, dtype="uint8").to_numpy(), expected)


def reference(content: bytes, schema: Schema) -> list[list[int]] | None:
    """All cells, read in the plainest way; None: must be refused. Knows no header and no truncated last line."""
    *lines, rest = content.replace(b"\r\n", b"\n").split(b"\n")
    rows = [line.split(b",") for line in lines]
    if rest or not rows or any(len(row) != schema.fields for row in rows):
        return None
    if not all(re.fullmatch(rb"[0-9]{1,3}", cell) for row in rows for cell in row):
        return None
    values = [[int(cell) for cell in row] for row in rows]
    fits = all(row[0] < len(schema.classes) and max(row) <= 255 for row in values)
    return values if fits else None


def assert_read_as_reference(path: Path, content: bytes) -> None:
    schema = Schema(image_side=1, classes=DIGITS)
    path.write_bytes(content)
    expected = reference(content, schema)
    if expected is None:
        assert problems_of(path, schema)
    else:
        assert read(path, schema).tolist() == expected


@pytest.mark.parametrize("position", [0, 1, 3, 4], ids=["label", "comma", "pixel", "newline"])
def test_any_byte_in_each_kind_of_place_is_refused_or_read_for_what_it_is(path: Path, position: int) -> None:
    for byte in range(256):
        content = bytearray(b"1,25\n")
        content[position] = byte
        assert_read_as_reference(path, bytes(content))


@pytest.mark.parametrize("content", [b"\n\n", b"0,0\n\n\n", b",0\n,0\n"])
def test_empty_cells_and_rows_are_refused_where_the_numbers_of_fields_add_up(path: Path, content: bytes) -> None:
    assert_read_as_reference(path, content)
