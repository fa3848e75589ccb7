"""Tables as text: aligned for a terminal, or as Markdown; and a section of a page between two marks."""

from __future__ import annotations

import re
from collections.abc import Sequence

from mnist_pipeline.core.errors import printable


def text_table(rows: Sequence[Sequence[str]]) -> str:
    """Return a line for each row, with every column as wide as its widest cell; control characters are escaped."""
    shown = [list(map(printable, row)) for row in rows]
    widths = [max(map(len, column)) for column in zip(*shown, strict=True)]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in shown
    )


def escaped(text: str) -> str:
    """Return a text that Markdown shows as it is: names and settings of others may hold HTML or links."""
    return re.sub(r"([\\`*\[<])", r"\\\1", printable(text))


def markdown_table(rows: Sequence[Sequence[str]]) -> str:
    """Return a Markdown table, whose header is the first row. Cells are not padded: a changed one changes one line."""
    lines = [f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in row)} |" for row in rows]
    return "\n".join([lines[0], f"|{'---|' * len(rows[0])}", *lines[1:]])


def between_marks(page: str, mark: str, content: str) -> str:
    """Return a page with ``content`` between ``<!-- mark -->`` and ``<!-- /mark -->``, if it has such marks."""
    start, end = f"<!-- {mark} -->", f"<!-- /{mark} -->"
    if start not in page:
        return page
    before, _, rest = page.partition(start)
    return f"{before}{start}\n{content}\n{end}{rest.partition(end)[2]}"
