"""Tables as text and as Markdown, and sections of a page."""

from __future__ import annotations

from mnist_pipeline.core.tables import between_marks, escaped, markdown_table, text_table

ROWS = [("name", "n"), ("a|b", "100"), ("longer", "1")]


def test_columns_of_text_are_as_wide_as_their_widest_cell() -> None:
    assert text_table(ROWS) == "name    n\na|b     100\nlonger  1"


def test_control_characters_do_not_reach_the_terminal() -> None:
    assert text_table([("a", "b"), ("\033[2J\n", "\u2028")]) == "a          b\n\\x1b[2J\\n  \\u2028"


def test_markdown_shows_the_text_of_others_as_it_is() -> None:
    text = "<script>`x`</script> [a](b) *c* \\| d\n| e"
    assert escaped(text) == "\\<script>\\`x\\`\\</script> \\[a](b) \\*c\\* \\\\| d\\\\n| e"


def test_the_first_row_of_markdown_is_the_header() -> None:
    assert markdown_table(ROWS) == "| name | n |\n|---|---|\n| a\\|b | 100 |\n| longer | 1 |"


def test_only_what_is_between_the_marks_changes() -> None:
    page = "A\n<!-- x -->\nold\n<!-- /x -->\nB\n"
    assert between_marks(page, "x", "new") == "A\n<!-- x -->\nnew\n<!-- /x -->\nB\n"
    assert between_marks(page, "y", "new") == page
