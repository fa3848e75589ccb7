"""The columns of a CSV file of labelled images: which is the label, which the group, and which are pixels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

LABEL, GROUP, ROW = "label", "group", "row"


@dataclass(frozen=True)
class Columns:
    """The columns of a file.

    Attributes:
        count: of all columns.
        label: the label's column, from 0.
        group: the column that says which images belong together, such as those of one writer; None: there is none.
        row: the column of the row's number in the file that it comes from; None: there is none.
    """

    count: int
    label: int = 0
    group: int | None = None
    row: int | None = None

    @property
    def plain(self) -> bool:
        """Whether the label comes first and all others are pixels."""
        return self.label == 0 and self.group is None and self.row is None

    @cached_property
    def pixels(self) -> list[int]:
        """The pixels' columns."""
        return [column for column in range(self.count) if column not in (self.label, self.group, self.row)]

    def name(self, column: int) -> str:
        """Return what a column is: "label", "group", "row" or "pixel 7"."""
        others = {self.label: LABEL, self.group: GROUP, self.row: ROW}
        return others.get(column) or f"pixel {self.pixels.index(column) + 1}"


@dataclass
class PlainRows:
    """Rows of "label,p1,...,pn" with the label as an index, and what stood in their other columns.

    Attributes:
        text: the rows.
        groups: of each row, if the file has them.
        rows: the number of each row, if the file has them.
    """

    text: bytes = b""
    groups: list[str] = field(default_factory=list)
    rows: list[int] = field(default_factory=list)


def columns_of(header: bytes, pixels: int) -> Columns:
    """Return the columns that a header names: ``label`` (by default the first), ``group`` and ``row`` in any place.

    Args:
        header: the first line.
        pixels: of an image.
    """
    names = [_unquoted(name.strip()).lower() for name in header.strip().split(b",")]
    places = {name: names.index(name.encode()) for name in (GROUP, ROW) if name.encode() in names}
    first = next(column for column in range(len(names) + 1) if column not in places.values())
    label = names.index(LABEL.encode()) if LABEL.encode() in names else first
    return Columns(1 + pixels + len(places), label, places.get(GROUP), places.get(ROW))


def label_indices(classes: Sequence[str]) -> dict[bytes, int]:
    """Return the index of each text that a label may be: the name of a class, or its index.

    If the name of a class is a whole number, only names count: with classes "1", "2", "3", the label 1 is the first.
    """
    indices = {name.encode(): index for index, name in enumerate(classes)}
    if not any(name.isdecimal() for name in classes):
        indices |= {b"%d" % index: index for index in range(len(classes))}
    return indices


def to_plain(text: bytes, columns: Columns, indices: Mapping[bytes, int]) -> PlainRows | None:
    """Bring whole lines into the plain form; None if a line has another number of cells, label or row.

    Args:
        text: lines, each with a newline.
        columns: of the file.
        indices: of the labels, as ``label_indices`` gives them.
    """
    result, lines = PlainRows(), []
    for line in text.split(b"\n")[:-1]:
        cells = line.split(b",")
        if len(cells) != columns.count or (label := label_index(cells[columns.label], indices)) is None:
            return None
        if columns.row is not None:
            if not is_row_number(cells[columns.row]):
                return None
            result.rows.append(int(cells[columns.row]))
        if columns.group is not None:
            if not (group := group_name(cells[columns.group])):
                return None
            result.groups.append(group)
        lines.append(b"%d,%s\n" % (label, b",".join([cells[column] for column in columns.pixels])))
    result.text = b"".join(lines)
    return result


def label_index(cell: bytes, indices: Mapping[bytes, int]) -> int | None:
    """Return the index that a label stands for; None if it is no label."""
    number = b"%d" % int(cell) if cell.isdigit() and len(cell) <= 3 else cell
    return indices.get(_unquoted(cell), indices.get(number))


def group_name(cell: bytes) -> str:
    """Return the name of a group; empty if the cell has none."""
    return _unquoted(cell).decode("utf-8", "backslashreplace").strip()


def is_row_number(cell: bytes) -> bool:
    """Whether a cell is the number of a row: digits, 1 to 999,999,999."""
    return cell.isdigit() and len(cell) <= 9 and int(cell) > 0


def _unquoted(cell: bytes) -> bytes:
    return cell[1:-1] if len(cell) >= 2 and cell[:1] == cell[-1:] == b'"' else cell
