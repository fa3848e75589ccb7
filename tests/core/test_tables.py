"""Tables as text."""

from __future__ import annotations

from mnist_pipeline.core.tables import aligned, between_marks, markdown

ROWS = [("name", "n"), ("a", "100"), ("longer", "1")]


def test_columns_are_as_wide_as_their_widest_cell() -> None:
    assert aligned(ROWS) == ["name    n", "a       100", "longer  1"]


def test_the_first_row_is_the_header() -> None:
    assert markdown(ROWS) == ["| name | n |", "|---|---|", "| a | 100 |", "| longer | 1 |"]


def test_only_what_is_between_the_marks_changes() -> None:
    page = "A\n<!-- x -->\nold\n<!-- /x -->\nB\n"
    assert between_marks(page, "x", "new") == "A\n<!-- x -->\nnew\n<!-- /x -->\nB\n"
    assert between_marks(page, "y", "new") == page
