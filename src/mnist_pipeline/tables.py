"""Tables as text: aligned for a terminal, and between the marks of a page."""

from __future__ import annotations

from collections.abc import Sequence


def aligned(rows: Sequence[Sequence[str]]) -> list[str]:
    """A line for each row, with every column as wide as its widest cell."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]


def markdown(rows: Sequence[Sequence[str]]) -> list[str]:
    """A Markdown table; the first row is its header."""
    lines = [f"| {' | '.join(row)} |" for row in rows]
    return [lines[0], f"|{'---|' * len(rows[0])}", *lines[1:]]


def between_marks(page: str, mark: str, content: str) -> str:
    """A page with ``content`` between ``<!-- mark -->`` and ``<!-- /mark -->``; as it is, if it has no such marks."""
    start, end = f"<!-- {mark} -->", f"<!-- /{mark} -->"
    if start not in page:
        return page
    before, _, rest = page.partition(start)
    return f"{before}{start}\n{content}\n{end}{rest.partition(end)[2]}"
