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
  const text = row => row.cells[column].textContent;
  const filled = [...body.rows].filter(text), empty = [...body.rows].filter(row => !text(row));
  filled.sort((a, b) => text(a).localeCompare(text(b), undefined, {numeric: true}) * (down ? -1 : 1));
  body.append(...filled, ...empty);
  headings.forEach(each => each.removeAttribute("aria-sort"));
  heading.setAttribute("aria-sort", down ? "descending" : "ascending");
}));
</script>
</html>
"""


def table_page(
    title: str, header: Sequence[str], rows: Sequence[Sequence[str]], kinds: Sequence[str], notes: Sequence[str]
) -> str:
    """Return the page.

    Args:
        title: of the page.
        header: the headings.
        rows: the text of each cell; numbers have equally many decimals. Where it is empty, the row is sorted last.
        kinds: of each row: its class in HTML.
        notes: paragraphs below the table.
    """
    head = "".join(f"<th><button>{escape(each)}</button></th>" for each in header)
    lines = [
        f'<tr class="{escape(kind)}">{"".join(f"<td>{escape(text)}</td>" for text in row)}</tr>'
        for row, kind in zip(rows, kinds, strict=True)
    ]
    table = "\n".join(lines).replace(" ± ", "&nbsp;±&nbsp;")  # in one line
    parts = {"TITLE": escape(title), "HEAD": head, "ROWS": table}
    parts["NOTES"] = "\n".join(f"<p>{escape(each)}</p>" for each in notes)
    return re.sub("@(TITLE|HEAD|ROWS|NOTES)@", lambda mark: parts[mark[1]], PAGE)
