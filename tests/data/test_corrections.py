"""Corrections drop and relabel the rows that they name, and refuse to be about another file."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from mnist_pipeline.core.errors import PipelineError
from mnist_pipeline.data.corrections import Corrected, corrected_labels, read_corrections
from mnist_pipeline.data.csv import Block
from mnist_pipeline.data.dataset import Dataset
from tests.conftest import concatenated, make_block

CLASSES = ("cat", "dog", "7")
LABELS = np.array([0, 1, 2, 0, 1, 2], np.uint8)
IMAGES = np.arange(6 * 4, dtype=np.uint8).reshape(6, 2, 2)
HEADER = "file,row,action,given,label,reason\n"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "mine.csv"


def applied(path: Path, lines: str, rows: int = 6) -> tuple[Block, Corrected]:
    """Rows 2 to 7 of a training file, in blocks of some, after corrections."""
    path.write_text(HEADER + lines, "utf-8")
    corrected = Corrected(read_corrections(path, CLASSES)["train"], CLASSES)
    whole = make_block(LABELS, IMAGES, first_row=2)
    whole = Block(whole.labels, whole.images, whole.rows, "abcdef")
    starts = [np.isin(np.arange(6), range(start, start + rows)) for start in range(0, 6, rows)]
    blocks = list(corrected.apply([whole.part(chosen) for chosen in starts]))
    assert all(len(block.labels) for block in blocks)  # what reads them need not expect an empty one
    return concatenated(blocks), corrected


@pytest.mark.parametrize("rows", [1, 4, 6])
def test_rows_are_dropped_and_relabelled(path: Path, rows: int) -> None:
    lines = 'train,3,drop,dog,,"blurred, and cut"\ntrain,4,relabel,7,cat,\ntest,5,drop,7,,\ntrain,7,relabel,7,dog,\n'
    block, corrected = applied(path, lines, rows)
    assert block.rows.tolist() == [2, 4, 5, 6, 7]
    assert block.labels.tolist() == [0, 0, 0, 1, 1]
    assert block.images.tolist() == IMAGES[[0, 2, 3, 4, 5]].tolist()
    assert "".join(block.groups) == "acdef"
    assert (corrected.dropped, corrected.relabelled) == (1, 2)
    assert LABELS.tolist() == [0, 1, 2, 0, 1, 2]


@pytest.mark.parametrize(
    ("lines", "words"),
    [
        ("train,3,drop,cat,,\n", "line 2: given must be the label of that row, 'dog', was 'cat'; are the corrections"),
        ("train,3,drop,dog,,\ntrain,1,drop,cat,,\n", "line 3: row must be a row of the file, was 1"),
        ("train,8,drop,cat,,\n", "line 2: row must be a row of the file, was 8"),
        ("train,3,drop,dog,,\ntrain,3,drop,dog,,\n", "line 3: row must be a row that has no correction above, was 3"),
        ("train,3,relabel,dog,cow,\n", "line 2: label must be one of cat, dog, 7, was 'cow'"),
        ("train,3,relabel,dog,,\n", "line 2: label must be one of cat, dog, 7, was ''"),
        ("train,3,drop,2,,\n", "line 2: given must be one of cat, dog, 7, was '2'"),
        ("train,3,delete,dog,,\n", "line 2: action must be drop or relabel, was 'delete'"),
        ("validation,3,drop,dog,,\n", "line 2: file must be train or test, was 'validation'"),
    ],
)
def test_a_wrong_correction_is_refused_and_its_line_named(path: Path, lines: str, words: str) -> None:
    with pytest.raises(PipelineError) as caught:
        applied(path, lines)
    assert str(caught.value).startswith(f"{path}, {words}")


def test_all_wrong_lines_are_named(path: Path) -> None:
    path.write_text(f"{HEADER}other,3,delete,cow,,\ntrain,3,drop,dog,,\ntest,3,drop,cow,,\n")
    with pytest.raises(PipelineError) as caught:
        read_corrections(path, CLASSES)
    assert [line.removeprefix(f"{path}, ")[:13] for line in str(caught.value).splitlines()] == [
        "line 2: file ", "line 2: actio", "line 2: given", "line 4: given",
    ]  # fmt: skip


def test_a_missing_file_is_named(path: Path) -> None:
    with pytest.raises(PipelineError, match=r"mine\.csv"):
        read_corrections(path, CLASSES)


def test_labels_to_compare_with_pass_over_rows_that_are_corrected_already(path: Path) -> None:
    path.write_text(f"{HEADER}test,3,drop,dog,,\ntest,4,relabel,7,cat,\ntest,90,drop,7,,\ntest,5,relabel,cat,dog,\n")
    corrections = read_corrections(path, CLASSES)["test"]
    rows = np.arange(2, 8, dtype=np.int32)
    assert corrected_labels(Dataset(IMAGES, LABELS, CLASSES, rows), corrections).tolist() == [0, -1, 0, 1, 1, 2]
    after = np.array([0, 0, 1, 1, 2], np.uint8)  # without row 3
    dataset = Dataset(IMAGES[1:], after, CLASSES, np.delete(rows, 1))
    assert corrected_labels(dataset, corrections).tolist() == [0, 0, 1, 1, 2]
    other = Dataset(IMAGES, LABELS[::-1].copy(), CLASSES, rows)
    with pytest.raises(PipelineError, match="line 5: given must be the label of that row, '7', was 'cat'"):
        corrected_labels(other, corrections)
