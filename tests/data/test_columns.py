"""CSV files with names of classes and with columns of their own: label, group and row, in any place."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest

from mnist_pipeline.core.errors import PipelineError
from mnist_pipeline.data import csv
from mnist_pipeline.data.csv import Block, named_header, read_blocks, write_named_rows
from mnist_pipeline.data.schema import Schema
from tests.conftest import DIGITS, concatenated

ANIMALS = ("cat", "dog", "été")
SCHEMA = Schema(2, ANIMALS)


def read(path: Path, text: str, schema: Schema = SCHEMA) -> Block:
    """Everything in a file of this text."""
    path.write_text(text, "utf-8")
    return concatenated(list(read_blocks(path, schema)))


def problems_of(path: Path, text: str, schema: Schema = SCHEMA) -> list[str]:
    with pytest.raises(PipelineError) as caught:
        read(path, text, schema)
    return [line.strip() for line in str(caught.value).splitlines()[1:]]


@pytest.fixture(params=[50, 1 << 20], ids=["in blocks", "at once"])
def path(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Of a CSV file, which is read in blocks of a row or two or as a whole."""
    monkeypatch.setattr(csv, "CHUNK_BYTES", request.param)
    return tmp_path / "file.csv"


@pytest.mark.parametrize(
    "labels", [("dog", "été", "cat"), ('"dog"', '"été"', '"cat"'), ("1", "2", "0"), ("01", "2", "cat")]
)
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_a_label_is_the_name_of_a_class_in_quotes_or_not_or_its_index(
    path: Path, labels: tuple[str, ...], end: str
) -> None:
    block = read(path, "".join(f"{label},1,2,3,{number}{end}" for number, label in enumerate(labels)))
    assert block.labels.tolist() == [1, 2, 0]
    assert block.images[:, 1, 1].tolist() == [0, 1, 2]
    assert block.rows.tolist() == [1, 2, 3]
    assert not block.groups


def test_a_label_that_is_a_number_is_a_name_where_names_are_numbers(path: Path) -> None:
    schema = Schema(1, ("1", "2", "3"))
    assert read(path, "1,0\n3,0\n2,0\n", schema).labels.tolist() == [0, 2, 1]
    assert problems_of(path, "1,0\n0,0\n", schema) == ["row 2, column 1 (label): must be one of 1, 2, 3, was '0'"]
    reverse = Schema(1, DIGITS[::-1])
    assert read(path, "9,7\n0,8\n", reverse).labels.tolist() == [0, 9]


@pytest.mark.parametrize(
    ("text", "groups", "rows"),
    [
        ("a,b,c,d,label\n1,2,3,4,dog\n5,6,7,8,cat\n", [], [2, 3]),
        ("Group,a,b,LABEL,c,d\nann, 1,2,dog,3,4\n".replace(" ", "") + '"b, ob"'.replace(", ", " ") + ",5,6,cat,7,8\n",
         ["ann", "b ob"], [2, 3]),
        ("row,name,a,b,group,c,d\n17,dog,1,2,x,3,4\n5,cat,5,6,x,7,8\n", ["x", "x"], [17, 5]),
        ('"label","row",a,b,c,d\ndog,999999999,1,2,3,4\n0,1,5,6,7,8\n', [], [999999999, 1]),
    ],
    ids=["label last", "group first", "all three, label unnamed", "names in quotes"],
)  # fmt: skip
def test_a_header_places_label_group_and_row(path: Path, text: str, groups: list[str], rows: list[int]) -> None:
    block = read(path, text)
    assert block.labels.tolist() == [1, 0]
    assert block.images.tolist() == [[[1, 2], [3, 4]], [[5, 6], [7, 8]]]
    assert list(block.groups) == groups
    assert block.rows.tolist() == rows
    assert block.rows.dtype == np.int32


def test_every_malformed_cell_is_named_by_its_column(path: Path) -> None:
    header = "a,group,b,label,c,row,d\n"
    text = header + "1,g,2,dog,3,7,4\n256,g,2,dog,3,7,4\n1, ,2,dog,3,7,4\n1,g,x,3,3,0,\n1,g,2,Cat,3,7,4,5\n"
    assert problems_of(path, text) == [
        "row 3, column 1 (pixel 1): must be an integer from 0 to 255, was '256'",
        "row 4, column 2 (group): must be a name, was ' '",
        "row 5, column 3 (pixel 2): must be an integer from 0 to 255, was 'x'",
        "row 5, column 4 (label): must be one of cat, dog, été, was '3'",
        "row 5, column 6 (row): must be the number of a row, was '0'",
        "row 5, column 7 (pixel 4): must be an integer from 0 to 255, was empty",
        "row 6: must have 7 fields, has 8",
    ]


@pytest.mark.parametrize("group", ["", " ", '""', '" "', "\t", '"\t"', "\u00a0"])
def test_a_group_without_a_name_is_refused(path: Path, group: str) -> None:
    (problem,) = problems_of(path, f"group,label,a,b,c,d\n{group},dog,1,2,3,4\n")
    assert problem.startswith("row 2, column 1 (group): must be a name, was ")


def test_a_header_names_as_many_columns_as_it_has(path: Path) -> None:
    for header, count in (("label,group,a,b,c", 6), ("label,a,b,c,d,e", 5), ("row,group,label,a,b,c,d,e", 7)):
        found = problems_of(path, f"{header}\n{'dog,1,2,3,4'}\n")
        assert found[0] == f"row 1: the header must have {count} names, has {header.count(',') + 1}"


def test_rows_with_names_are_read_back_as_they_were_written(path: Path) -> None:
    images = np.random.default_rng(0).integers(0, 256, (3, 2, 2), np.uint8)
    labels, rows = np.array([2, 0, 1], np.uint8), np.array([40, 2, 7], np.int32)
    for groups in ([], ["ann", "b'ob", "3"]):
        block, file = Block(labels, images, rows, groups), io.BytesIO()
        write_named_rows(file, block, ANIMALS)
        found = read(path, (named_header(block) + file.getvalue()).decode())
        for name in ("labels", "images", "rows"):
            np.testing.assert_array_equal(getattr(found, name), getattr(block, name))
        assert list(found.groups) == groups
        chosen = found.part(np.array([True, False, True]))
        assert (chosen.labels.tolist(), chosen.rows.tolist(), list(chosen.groups)) == ([2, 1], [40, 7], groups[::2])
