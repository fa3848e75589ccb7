"""Tables as text and as Markdown, and sections of a page."""

from __future__ import annotations

from mnist_pipeline.core.tables import between_marks, markdown_table, text_table

ROWS = [("name", "n"), ("a|b", "100"), ("longer", "1")]


def test_columns_of_text_are_as_wide_as_their_widest_cell() -> None:
    assert text_table(ROWS) == "name    n\na|b     100\nlonger  1"


def test_the_first_row_of_markdown_is_the_header() -> None:
    assert markdown_table(ROWS) == "| name | n |\n|---|---|\n| a\\|b | 100 |\n| longer | 1 |"


def test_only_what_is_between_the_marks_changes() -> None:
    page = "A\n<!-- x -->\nold\n<!-- /x -->\nB\n"
    assert between_marks(page, "x", "new") == "A\n<!-- x -->\nnew\n<!-- /x -->\nB\n"
    assert between_marks(page, "y", "new") == page
