"""Tables as text: aligned for a terminal, or as Markdown; and a section of a page between two marks."""

from __future__ import annotations

from collections.abc import Sequence


def text_table(rows: Sequence[Sequence[str]]) -> str:
    """Return a line for each row, with every column as wide as its widest cell."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows
    )


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
