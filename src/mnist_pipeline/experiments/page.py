"""A table as one HTML page that needs no network: sorted by a click on a heading, light or dark as the browser is."""

from __future__ import annotations

import re
from collections.abc import Sequence
from html import escape

PAGE = """<!DOCTYPE html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<meta name="color-scheme" content="light dark">
<title>@TITLE@</title>
<style>
body { font: 15px/1.5 system-ui, sans-serif; margin: 2rem; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
th, td { border-bottom: 1px solid #8886; padding: .3rem .8rem; text-align: left; vertical-align: top; }
th { white-space: nowrap; }
th button { all: unset; cursor: pointer; font-weight: bold; }
th button:focus-visible { outline: 2px solid; }
th button::after { content: " ↕"; opacity: .4; }
th[aria-sort=ascending] button::after { content: " ↑"; opacity: 1; }
th[aria-sort=descending] button::after { content: " ↓"; opacity: 1; }
tr.best { font-weight: bold; }
tr.worse, tr.failed { opacity: .7; }
</style>
<h1>@TITLE@</h1>
<table>
<thead><tr>@HEAD@</tr></thead>
<tbody>
@ROWS@
</tbody>
</table>
@NOTES@
<script>
const body = document.querySelector("tbody"), headings = [...document.querySelectorAll("th")];
headings.forEach((heading, column) => heading.firstChild.addEventListener("click", () => {
  const down = heading.getAttribute("aria-sort") === "ascending";
  const key = row => row.cells[column].dataset.key;
  const compare = (a, b) => a !== "" && b !== "" && !isNaN(a) && !isNaN(b) ? a - b : a.localeCompare(b);
  const filled = [...body.rows].filter(row => key(row) !== ""), empty = [...body.rows].filter(row => key(row) === "");
  filled.sort((a, b) => compare(key(a), key(b)) * (down ? -1 : 1));
  body.append(...filled, ...empty);
  headings.forEach(each => each.removeAttribute("aria-sort"));
  heading.setAttribute("aria-sort", down ? "descending" : "ascending");
}));
</script>
</html>
"""


def table_page(
    title: str,
    header: Sequence[str],
    rows: Sequence[Sequence[tuple[str, str]]],
    kinds: Sequence[str],
    notes: Sequence[str],
) -> str:
    """Return the page.

    Args:
        title: of the page.
        header: the headings.
        rows: the text of each cell, and what it is sorted by; empty: last.
        kinds: of each row: its class in HTML.
        notes: paragraphs below the table.
    """
    head = "".join(f"<th><button>{escape(each)}</button></th>" for each in header)
    lines = [
        f'<tr class="{escape(kind)}">'
        + "".join(f'<td data-key="{escape(key)}">{escape(text)}</td>' for text, key in row).replace(" ± ", "&nbsp;±&nbsp;")
        + "</tr>"
        for row, kind in zip(rows, kinds, strict=True)
    ]
    parts = {"TITLE": escape(title), "HEAD": head, "ROWS": "\n".join(lines)}
    parts["NOTES"] = "\n".join(f"<p>{escape(each)}</p>" for each in notes)
    return re.sub("@(TITLE|HEAD|ROWS|NOTES)@", lambda mark: parts[mark[1]], PAGE)
