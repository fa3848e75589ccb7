"""Every way a CSV file can be wrong is refused with words that lead to the spot; all else is read exactly."""

from __future__ import annotations

import re
import tracemalloc
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from mnist_pipeline.data import csv
from mnist_pipeline.data.csv import Block, PipelineError, Schema, read_blocks, write_rows
from mnist_pipeline.data.dataset import load_dataset, save_dataset

SCHEMA = Schema(image_side=3, classes=10)
ROWS = (
    b"5,0,10,200,0,255,7,0,99,1",
    b"0,255,254,253,0,0,0,12,13,14",
    b"9,1,2,3,4,5,6,7,8,9",
    b"4,0,0,0,0,0,0,0,0,0",
    b"1,100,0,100,0,100,0,100,0,100",
)
VALID = b"\n".join(ROWS) + b"\n"
HEADER = b"label,1x1,1x2,1x3,2x1,2x2,2x3,3x1,3x2,3x3\n"
DIGITS = tuple("0123456789")
MEBIBYTE = 1 << 20

UNHURRIED = settings(
    deadline=None,
    database=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)


def read(path: Path, schema: Schema = SCHEMA, chunk_bytes: int = MEBIBYTE) -> tuple[NDArray[np.uint8], int]:
    """All cells, a row for each row of the file, and the number of blocks they came in."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(csvs, "CHUNK_BYTES", chunk_bytes)
        blocks = list(read_blocks(path, schema))
    rows = [np.column_stack([block.labels, block.images.reshape(len(block.images), -1)]) for block in blocks]
    return np.concatenate(rows), len(blocks)


def error_of(path: Path, schema: Schema = SCHEMA, chunk_bytes: int = MEBIBYTE) -> str:
    with pytest.raises(PipelineError) as caught:
        read(path, schema, chunk_bytes)
    return str(caught.value)


def message(path: Path, *problems: str) -> str:
    number = "1 problem" if len(problems) == 1 else f"{len(problems)} problems"
    return f"{path}: {number}:" + "".join(f"\n  {problem}" for problem in problems)


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


def with_line(row: int, line: bytes) -> bytes:
    """The valid file with one line (or more, or none) in the place of another."""
    return b"".join(line if number == row else each + b"\n" for number, each in enumerate(ROWS, 1))


def before_line(row: int, line: bytes) -> bytes:
    """The valid file with a line put in before another; 6: after all."""
    lines = [each + b"\n" for each in ROWS]
    return b"".join([*lines[: row - 1], line, *lines[row - 1 :]])


# id: row, column, the cell, how the message shows it
CELLS: dict[str, tuple[int, int, bytes, str]] = {
    "empty label": (1, 1, b"", "empty"),
    "empty first pixel": (2, 2, b"", "empty"),
    "empty middle pixel": (3, 6, b"", "empty"),
    "empty last pixel": (5, 10, b"", "empty"),
    "exponent": (1, 3, b"1e2", "'1e2'"),
    "leading space": (3, 4, b" 5", "' 5'"),
    "trailing space": (3, 4, b"5 ", "'5 '"),
    "only a space": (3, 4, b" ", "' '"),
    "trailing space in last column": (3, 10, b"5 ", "'5 '"),
    "leading space in label": (2, 1, b" 5", "' 5'"),
    "leading tab": (4, 2, b"\t5", r"'\t5'"),
    "plus": (1, 2, b"+1", "'+1'"),
    "minus": (5, 9, b"-1", "'-1'"),
    "minus zero": (5, 9, b"-0", "'-0'"),
    "decimal": (2, 10, b"1.0", "'1.0'"),
    "decimal comma's cousin": (2, 10, b"1;0", "'1;0'"),
    "double quotes": (1, 4, b'"5"', """'"5"'"""),
    "single quotes": (1, 4, b"'5'", '''"'5'"'''),
    "hexadecimal": (4, 8, b"0x1", "'0x1'"),
    "underscore": (4, 8, b"1_0", "'1_0'"),
    "Arabic digit": (2, 3, "٣".encode(), "'٣'"),
    "full-width digit": (2, 3, "５".encode(), "'５'"),
    "superscript digit": (2, 3, "²".encode(), "'²'"),
    "no-break space": (2, 3, "\u00a05".encode(), r"'\xa05'"),
    "nan": (5, 5, b"nan", "'nan'"),
    "text": (5, 5, b"abc", "'abc'"),
    "no UTF-8": (5, 5, b"\xff", r"'\\xff'"),
    "256": (1, 10, b"256", "'256'"),
    "999": (1, 2, b"999", "'999'"),
    "1000": (1, 2, b"1000", "'1000'"),
    "0000": (1, 2, b"0000", "'0000'"),
    "0255": (3, 5, b"0255", "'0255'"),
    "2^64": (3, 5, b"18446744073709551616", "'18446744073709551616'"),
    "sixty digits": (3, 5, b"7" * 60, f"'{'7' * 40}'"),
    "label 10": (1, 1, b"10", "'10'"),
    "label 10 in last row": (5, 1, b"10", "'10'"),
    "label 255": (2, 1, b"255", "'255'"),
    "label -1": (2, 1, b"-1", "'-1'"),
    "label text": (3, 1, b"cat", "'cat'"),
    "label text in first row": (1, 1, b"cat", "'cat'"),
    "label decimal": (4, 1, b"4.0", "'4.0'"),
    "NUL for a digit": (4, 6, b"\0", r"'\x00'"),
    "NUL after a digit": (4, 6, b"1\0", r"'1\x00'"),
    "NUL in the first label": (1, 1, b"\0005", r"'\x005'"),
    "CR in a middle cell": (2, 5, b"1\r", r"'1\r'"),
    "two CR before a newline": (2, 10, b"1\r\r", r"'1\r'"),
    "byte order mark in the middle": (3, 1, b"\xef\xbb\xbf9", r"'\ufeff9'"),
}

# id: the whole file, the problems
FILES: dict[str, tuple[bytes, tuple[str, ...]]] = {
    "empty file": (b"", ("the file has no rows; it must have at least one",)),
    "only a header": (HEADER, ("the file has no rows; it must have at least one",)),
    "only a newline": (b"\n", (bad_fields(1, "is blank"),)),
    "too few fields, first row": (with_line(1, b"5,0,10\n"), (bad_fields(1, "has 3"),)),
    "too few fields, middle row": (with_line(3, b"9,1,2,3,4,5,6,7,8\n"), (bad_fields(3, "has 9"),)),
    "too few fields, last row": (with_line(5, b"1\n"), (bad_fields(5, "has 1"),)),
    "too many fields, first row": (with_line(1, ROWS[0] + b",1\n"), (bad_fields(1, "has 11"),)),
    "too many fields, middle row": (with_line(3, ROWS[2] + b"," + ROWS[3] + b"\n"), (bad_fields(3, "has 20"),)),
    "too many fields, last row": (with_line(5, ROWS[4] + b",0,0\n"), (bad_fields(5, "has 12"),)),
    "a field moved to the next row": (
        VALID.replace(b",14\n9,", b"\n14,9,"),
        (bad_fields(2, "has 9"), bad_fields(3, "has 11")),
    ),
    "comma at the end": (with_line(2, ROWS[1] + b",\n"), (bad_fields(2, "has 11"),)),
    "comma at the start": (with_line(2, b"," + ROWS[1] + b"\n"), (bad_fields(2, "has 11"),)),
    "only commas": (with_line(2, b",,,\n"), (bad_fields(2, "has 4"),)),
    "quoted field with a comma": (with_cell(4, 3, b'"1,2"'), (bad_fields(4, "has 11"),)),
    "quoted field with a newline": (
        with_cell(4, 3, b'"1\n2"'),
        (bad_fields(4, "has 3"), bad_fields(5, "has 8")),
    ),
    "blank line, first": (before_line(1, b"\n"), (bad_fields(1, "is blank"),)),
    "blank line, middle": (before_line(3, b"\n"), (bad_fields(3, "is blank"),)),
    "blank line, last": (before_line(6, b"\n"), (bad_fields(6, "is blank"),)),
    "blank Windows line": (before_line(3, b"\r\n"), (bad_fields(3, "is blank"),)),
    "line of blanks": (before_line(4, b" \t \n"), (bad_fields(4, "is blank"),)),
    "as many blank lines as fields": (
        before_line(1, b"\n" * 10),
        tuple(bad_fields(row, "is blank") for row in range(1, 11)),
    ),
    "row of NUL": (with_line(2, b"\0" * 20 + b"\n"), (bad_fields(2, "has 1"),)),
    "NUL after the last row": (VALID + b"\0" * 40, (truncated("\0" * 20),)),
    "byte order mark": (
        b"\xef\xbb\xbf" + VALID,
        ("row 1: must start with the label, starts with a byte order mark; save as UTF-8 without BOM",),
    ),
    "byte order mark and header": (
        b"\xef\xbb\xbf" + HEADER + VALID,
        ("row 1: must start with the label, starts with a byte order mark; save as UTF-8 without BOM",),
    ),
    "no newline at the end": (VALID[:-1], (truncated("1,100,0,100,0,100,0,"),)),
    "cut off in a cell": (VALID[:-2], (truncated("1,100,0,100,0,100,0,"),)),
    "cut off between cells": (VALID[: VALID.rindex(b"\n1,") + 5], (truncated("1,10"),)),
    "cut off after a CR": (VALID.replace(b"\n", b"\r\n")[:-1], (truncated("1,100,0,100,0,100,0,"),)),
    "one row without a newline": (ROWS[3], (truncated(ROWS[3].decode()),)),
    "header without a newline": (HEADER[:-1], (truncated("label,1x1,1x2,1x3,2x"),)),
    "old Mac line ends": (3 * (ROWS[3] + b"\r"), (truncated("4,0,0,0,0,0,0,0,0,0\r"),)),
    "semicolons": (
        VALID.replace(b",", b";"),
        ("row 1: the header must have 10 names, has 1", *(bad_fields(row, "has 1") for row in range(2, 6))),
    ),
    "tabs": (
        VALID.replace(b",", b"\t"),
        ("row 1: the header must have 10 names, has 1", *(bad_fields(row, "has 1") for row in range(2, 6))),
    ),
    "header in the middle": (
        before_line(3, HEADER),
        tuple(bad_cell(3, column, f"'{name}'") for column, name in enumerate(HEADER[:-1].decode().split(","), 1)),
    ),
    "header twice": (
        HEADER + HEADER + VALID,
        tuple(bad_cell(2, column, f"'{name}'") for column, name in enumerate(HEADER[:-1].decode().split(","), 1)),
    ),
    "header that numbers the columns": (
        b",".join(b"%d" % number for number in range(10)) + b"\n" + VALID,
        ("row 1: must be an image or a header of names, was 0, 1, 2, ..., which numbers the columns; remove it",),
    ),
    "header of too few names": (b"label,a,b\n" + VALID, ("row 1: the header must have 10 names, has 3",)),
    "header of too many names": (b"id," + HEADER + VALID, ("row 1: the header must have 10 names, has 11",)),
    "numbers for a header": (
        b"0,1,2,3,4,5,6,7,8,256\n" + VALID,
        (bad_cell(1, 10, "'256'"),),
    ),
    "a comment": (b"# digits\n" + VALID, ("row 1: the header must have 10 names, has 1",)),
    "HTML": (
        b"<html>\n<body>Not found</body>\n</html>\n",
        ("row 1: the header must have 10 names, has 1", bad_fields(2, "has 1"), bad_fields(3, "has 1")),
    ),
    "problems in several rows": (
        with_cell(1, 1, b"10").replace(b",99,", b",,").replace(ROWS[3], b"4,0") + b"7,0",
        (bad_cell(1, 1, "'10'"), bad_cell(1, 9, "empty"), bad_fields(4, "has 2"), truncated("7,0")),
    ),
}

BROKEN = FILES | {
    name: (with_cell(row, column, cell), (bad_cell(row, column, found),))
    for name, (row, column, cell, found) in CELLS.items()
}


def test_the_valid_file_is_read_to_its_numbers(tmp_path: Path) -> None:
    path = tmp_path / "valid.csv"
    path.write_bytes(VALID)
    cells, _ = read(path)
    assert cells.dtype == np.uint8
    assert cells.tolist() == [[int(cell) for cell in row.split(b",")] for row in ROWS]


def test_pixels_are_in_rows_of_the_image(tmp_path: Path) -> None:
    path = tmp_path / "valid.csv"
    path.write_bytes(VALID)
    (block,) = read_blocks(path, SCHEMA)
    assert block.labels.tolist() == [5, 0, 9, 4, 1]
    assert block.images[2].tolist() == [[1, 2, 3], [4, 5, 6], [7, 8, 9]]


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(HEADER + VALID, id="header"),
        pytest.param((HEADER + VALID).replace(b"\n", b"\r\n"), id="header, Windows line ends"),
        pytest.param(HEADER.replace(b"label", b'"label"') + VALID, id="header with quotes"),
        pytest.param(b",".join(b"pixel %d" % n for n in range(10)) + b"\n" + VALID, id="header with spaces"),
        pytest.param(VALID.replace(b"\n", b"\r\n"), id="Windows line ends"),
        pytest.param(VALID.replace(b"\n", b"\r\n", 2), id="mixed line ends"),
        pytest.param(VALID.replace(b",7,", b",007,").replace(b"9,1,", b"009,01,"), id="leading zeros"),
    ],
)
@pytest.mark.parametrize("chunk_bytes", [1, 7, 50, MEBIBYTE])
def test_a_variant_is_read_to_the_same_numbers(tmp_path: Path, content: bytes, chunk_bytes: int) -> None:
    path = tmp_path / "variant.csv"
    path.write_bytes(content)
    cells, _ = read(path, Schema(3, 10, rows=5), chunk_bytes)
    assert cells.tolist() == [[int(cell) for cell in row.split(b",")] for row in ROWS]


@pytest.mark.parametrize(("content", "problems"), BROKEN.values(), ids=BROKEN)
def test_a_broken_file_is_refused_and_the_problem_named(
    tmp_path: Path, content: bytes, problems: tuple[str, ...]
) -> None:
    path = tmp_path / "broken.csv"
    path.write_bytes(content)
    assert error_of(path) == message(path, *problems)
    for chunk_bytes in (1, 7, 30, 64):  # the same words, wherever the file is cut into blocks
        assert error_of(path, chunk_bytes=chunk_bytes) == message(path, *problems)


def test_the_table_of_broken_files_is_of_different_files() -> None:
    assert len({content for content, _ in BROKEN.values()}) == len(BROKEN) >= 80
    assert all(content != VALID for content, _ in BROKEN.values())


def test_a_missing_file_is_named_with_the_command_that_brings_it(tmp_path: Path) -> None:
    path = tmp_path / "missing.csv"
    assert error_of(path) == f"{path}: cannot be read: No such file or directory; `dvc repro fetch` brings it"


def test_a_folder_in_the_place_of_the_file(tmp_path: Path) -> None:
    assert error_of(tmp_path) == f"{tmp_path}: cannot be read: Is a directory; `dvc repro fetch` brings it"


@pytest.mark.parametrize("rows", [1, 4, 6, 60000])
@pytest.mark.parametrize("header", [b"", HEADER], ids=["no header", "header"])
def test_another_number_of_rows(tmp_path: Path, rows: int, header: bytes) -> None:
    path = tmp_path / "rows.csv"
    path.write_bytes(header + VALID)
    expected = message(path, f"must have {rows} rows, has 5; check the file, or csv.rows in params.yaml")
    assert error_of(path, Schema(3, 10, rows)) == expected


@pytest.mark.parametrize(
    ("side", "classes", "problem"),
    [
        pytest.param(2, 10, "row 1: must have 5 fields, has 10", id="other side"),
        pytest.param(3, 9, "row 3, column 1 (label): must be an integer from 0 to 8, was '9'", id="fewer classes"),
    ],
)
def test_a_file_for_another_schema(tmp_path: Path, side: int, classes: int, problem: str) -> None:
    path = tmp_path / "other.csv"
    path.write_bytes(VALID)
    assert f"\n  {problem}" in error_of(path, Schema(side, classes))


def test_a_wrong_number_of_rows_is_not_reported_over_broken_rows(tmp_path: Path) -> None:
    path = tmp_path / "both.csv"
    path.write_bytes(VALID + b"1,2\n")
    assert error_of(path, Schema(3, 10, rows=5)) == message(path, bad_fields(6, "has 2"))


@pytest.mark.parametrize("problems", [10, 11, 500])
@pytest.mark.parametrize("chunk_bytes", [40, MEBIBYTE])
def test_ten_problems_are_listed_and_all_are_counted(tmp_path: Path, problems: int, chunk_bytes: int) -> None:
    path = tmp_path / "many.csv"
    path.write_bytes(HEADER + VALID + problems * b"x,0,0,0,0,0,0,0,0,0\n")
    first, *listed = error_of(path, chunk_bytes=chunk_bytes).splitlines()
    assert first == f"{path}: {problems} problems{', the first 10' if problems > 10 else ''}:"
    assert listed == [f"  {bad_cell(row, 1, repr('x'))}" for row in range(7, 17)]


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be", "utf-32"])
@pytest.mark.parametrize("header", [b"", HEADER], ids=["no header", "header"])
def test_utf_16_is_refused(tmp_path: Path, encoding: str, header: bytes) -> None:
    path = tmp_path / "wide.csv"
    path.write_bytes((header + VALID).decode("ascii").encode(encoding))
    first, second, *_ = error_of(path).splitlines()
    assert re.fullmatch(re.escape(str(path)) + r": \d+ problems, the first 10:", first)
    assert re.match(r"  row 1, column 1 \(label\): must be an integer from 0 to 9, was '.*\\x00.*'", second)


@pytest.mark.parametrize("byte", [b"\0", b"7", b",", b"\xff", b"\r"])
def test_a_line_that_never_ends_is_given_up_on(tmp_path: Path, byte: bytes) -> None:
    path = tmp_path / "garbage.csv"
    path.write_bytes(byte * (5 * MEBIBYTE))
    tracemalloc.start()
    try:
        found = error_of(path)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert found == message(path, "a line of over 1048576 bytes: this is no CSV of 10 numbers a row")
    assert peak < 4.5 * MEBIBYTE  # it was not read to its end


def test_garbage_with_line_ends_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "garbage.csv"
    path.write_bytes(np.random.default_rng(0).bytes(MEBIBYTE // 4))
    assert error_of(path).startswith(f"{path}: ")


@pytest.mark.parametrize("end", [b"\n", b"\r\n"], ids=["Unix", "Windows"])
@pytest.mark.parametrize("header", [b"", HEADER], ids=["no header", "header"])
def test_rows_of_a_late_block_are_counted_from_the_start(tmp_path: Path, end: bytes, header: bytes) -> None:
    path = tmp_path / "late.csv"
    bad = b"3,0,0,0,256,0,0,0,0,0\n"
    path.write_bytes((header + 20 * VALID + bad + VALID + b"\n").replace(b"\n", end))
    skipped = 1 if header else 0
    expected = message(path, bad_cell(101 + skipped, 5, "'256'"), bad_fields(107 + skipped, "is blank"))
    assert error_of(path, chunk_bytes=100) == expected


def test_blocks_before_the_first_problem_are_given_and_none_after(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "late.csv"
    path.write_bytes(20 * VALID + b"x\n" + 20 * VALID)
    monkeypatch.setattr(csvs, "CHUNK_BYTES", 100)
    given_rows: list[int] = []
    with pytest.raises(PipelineError):
        given_rows.extend(len(block.labels) for block in read_blocks(path, SCHEMA))
    assert 90 <= sum(given_rows) <= 100


@pytest.mark.parametrize("before", [None, b"what was there"], ids=["nothing there", "a file there"])
def test_a_broken_file_leaves_no_output(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, before: bytes | None) -> None:
    source, target = tmp_path / "late.csv", tmp_path / "out" / "split.safetensors"
    source.write_bytes(20 * VALID + b"x\n")
    target.parent.mkdir()
    if before is not None:
        target.write_bytes(before)
    monkeypatch.setattr(csvs, "CHUNK_BYTES", 100)
    with pytest.raises(PipelineError):
        save_dataset(target, read_blocks(source, SCHEMA), 3, DIGITS)
    assert [path.read_bytes() for path in target.parent.iterdir()] == ([] if before is None else [before])


def test_a_valid_file_becomes_the_same_split(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(csvs, "CHUNK_BYTES", 1000)
    source, target = tmp_path / "valid.csv", tmp_path / "split.safetensors"
    cells = random_cells(300, side=5)
    schema = written(source, cells)
    save_dataset(target, read_blocks(source, schema), 5, DIGITS)
    split = load_dataset(target)
    np.testing.assert_array_equal(split.images.reshape(300, -1), cells[:, 1:])
    np.testing.assert_array_equal(split.labels, cells[:, 0])


def test_rows_are_written_in_the_canonical_form(tmp_path: Path) -> None:
    path = tmp_path / "canonical.csv"
    cells = np.array([[int(cell) for cell in row.split(b",")] for row in ROWS], np.uint8)
    with path.open("wb") as file:
        write_rows(file, cells[:2, 0], cells[:2, 1:].reshape(-1, 3, 3))
        write_rows(file, cells[2:, 0], cells[2:, 1:].reshape(-1, 3, 3))
    assert path.read_bytes() == VALID


def random_cells(rows: int, side: int, highest: int = 255, seed: int = 0) -> NDArray[np.uint8]:
    random = np.random.default_rng(seed)
    cells = random.integers(0, highest + 1, (rows, 1 + side**2), np.uint8)
    cells[:, 0] = random.integers(0, 10, rows)
    return cells


labelled_images = st.builds(
    random_cells,
    rows=st.integers(1, 12),
    side=st.integers(1, 6),
    highest=st.sampled_from([0, 1, 9, 10, 99, 100, 255]),
    seed=st.integers(0, 2**32 - 1),
)


def written(path: Path, cells: NDArray[np.uint8]) -> Schema:
    side = round((cells.shape[1] - 1) ** 0.5)
    with path.open("wb") as file:
        write_rows(file, cells[:, 0], cells[:, 1:].reshape(-1, side, side))
    return Schema(side, 10)


@settings(UNHURRIED)
@given(cells=labelled_images, chunk_bytes=st.sampled_from([1, 2, 3, 17, 64, 1000, MEBIBYTE]))
def test_what_is_written_is_read_back(tmp_path: Path, cells: NDArray[np.uint8], chunk_bytes: int) -> None:
    path = tmp_path / "round.csv"
    schema = written(path, cells)
    back, _ = read(path, schema, chunk_bytes)
    np.testing.assert_array_equal(back, cells)
    np.testing.assert_array_equal(pd.read_csv(path, header=None, dtype="uint8").to_numpy(), cells)


def reference(content: bytes, schema: Schema) -> list[list[int]] | None:
    """All cells, read in the plainest way; None: must be refused. Knows no header and no truncated last line."""
    *lines, rest = content.replace(b"\r\n", b"\n").split(b"\n")
    rows = [line.split(b",") for line in lines]
    if rest or not rows or any(len(row) != schema.fields for row in rows):
        return None
    if not all(re.fullmatch(rb"[0-9]{1,3}", cell) for row in rows for cell in row):
        return None
    values = [[int(cell) for cell in row] for row in rows]
    fits = all(row[0] < schema.classes and max(row) <= 255 for row in values)
    return values if fits else None


def agrees_with_reference(path: Path, content: bytes, schema: Schema, chunk_bytes: int) -> None:
    path.write_bytes(content)
    expected = reference(content, schema)
    if expected is None:
        assert error_of(path, schema, chunk_bytes).startswith(f"{path}: ")
    else:
        assert read(path, schema, chunk_bytes)[0].tolist() == expected


INTERESTING = [bytes([byte]) for byte in b'0123456789,\n\r -+."\0/:;x\xff']
chunk_sizes = st.sampled_from([1, 5, 23, MEBIBYTE])


@settings(UNHURRIED, max_examples=500)
@given(
    cells=labelled_images,
    windows=st.booleans(),
    mutation=st.tuples(
        st.integers(0, 2**16),  # where, modulo the length
        st.sampled_from([0, 1]),  # how many bytes are taken out, and what is put in:
        st.one_of(st.just(b""), st.sampled_from(INTERESTING), st.binary(min_size=1, max_size=1)),
    ),
    chunk_bytes=chunk_sizes,
)
def test_one_changed_byte_is_refused_or_read_for_what_it_is(
    tmp_path: Path, cells: NDArray[np.uint8], windows: bool, mutation: tuple[int, int, bytes], chunk_bytes: int
) -> None:
    path = tmp_path / "mutated.csv"
    schema = written(path, cells)
    content = bytearray(path.read_bytes().replace(b"\n", b"\r\n" if windows else b"\n"))
    where, taken_out, put_in = mutation
    where %= len(content)
    content[where : where + taken_out] = put_in
    agrees_with_reference(path, bytes(content), schema, chunk_bytes)


@settings(UNHURRIED, max_examples=500)
@given(
    # No letters: a first line of words is a header, which the reference does not know.
    content=st.lists(st.sampled_from([b"0", b"7", b"9", b"25", b"255", b"256", b",", b",", b",", b"\n"]), max_size=25),
    chunk_bytes=chunk_sizes,
)
@example(content=[b"\n", b"\n"], chunk_bytes=MEBIBYTE)
@example(content=[b"0", b",", b"0", b"\n", b"\n", b"\n"], chunk_bytes=MEBIBYTE)
@example(content=[b",", b"0", b"\n", b",", b"0", b"\n"], chunk_bytes=MEBIBYTE)
def test_a_heap_of_numbers_is_refused_or_read_for_what_it_is(
    tmp_path: Path, content: list[bytes], chunk_bytes: int
) -> None:
    agrees_with_reference(tmp_path / "heap.csv", b"".join(content), Schema(image_side=1, classes=10), chunk_bytes)


@pytest.mark.parametrize("position", [0, 1, 3, 4], ids=["label", "comma", "pixel", "newline"])
def test_every_byte_in_each_kind_of_place(tmp_path: Path, position: int) -> None:
    for byte in range(256):
        content = bytearray(b"1,25\n")
        content[position] = byte
        agrees_with_reference(tmp_path / "small.csv", bytes(content), Schema(image_side=1, classes=10), MEBIBYTE)


def traced_peak(blocks: Iterator[Block]) -> int:
    tracemalloc.start()
    try:
        for _ in blocks:
            pass
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def test_memory_does_not_grow_with_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(csvs, "CHUNK_BYTES", 1 << 16)
    cells = random_cells(200, side=28)
    peaks = {}
    for times in (1, 1, 10):  # the first time also loads what is loaded once
        path = tmp_path / f"{times}.csv"
        with path.open("wb") as file:
            for _ in range(times):
                write_rows(file, cells[:, 0], cells[:, 1:].reshape(-1, 28, 28))
        assert path.stat().st_size > times * 8 * csvs.CHUNK_BYTES
        peaks[times] = traced_peak(read_blocks(path, Schema(28, 10, rows=200 * times)))
    assert peaks[10] < 1.3 * peaks[1]
    assert peaks[10] < 32 * csvs.CHUNK_BYTES
