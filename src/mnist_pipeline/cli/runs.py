"""``mnist runs``: all experiments in one table."""

from __future__ import annotations

import argparse
import json
import shutil
import textwrap
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from mnist_pipeline.core.errors import PipelineError, printable
from mnist_pipeline.core.files import write_json, write_text
from mnist_pipeline.core.tables import escaped, markdown_table, text_table
from mnist_pipeline.core.yaml import describe_changes
from mnist_pipeline.experiments.overview import Row, load_entries, load_failures, make_rows, mean
from mnist_pipeline.provenance.dvc import Queue, cached_file, read_queue

DESCRIPTION = (
    "List all experiments of DVC, over all commits, and the last commit as HEAD: what each changed in params.yaml "
    "against the commit from which it started, its accuracy, and whether it is within noise of the best. Failed runs "
    "of DVC's queue are listed with the reason."
)

SORTS: dict[str, Callable[[Row], Any]] = {
    "validation": lambda row: -(row.validation or 0.0),
    "test": lambda row: -(row.test or 0.0),
    "name": lambda row: row.name,
    "seconds": lambda row: row.seconds or float("inf"),
}
NARROWEST = 16
"""The characters to which a column is cut at most."""

Column = tuple[str, Callable[[Row], str]]
"""A heading, and the text of a cell."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("--sort", choices=SORTS, default="validation", help="sort by this (default: validation)")
    parser.add_argument("--filter", default="*", metavar="TEXT", help="only names that contain TEXT, or match the glob")
    parser.add_argument("--group", action="store_true", help="one row for runs that differ in their seed alone")
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--json", nargs="?", const="-", metavar="FILE", help="print JSON, or write it to FILE")
    form.add_argument("--md", action="store_true", help="print Markdown")
    form.add_argument("--html", type=Path, metavar="FILE", help="write a page whose columns sort by a click")


def run(args: argparse.Namespace) -> None:
    """Collect and print."""
    from mnist_pipeline.experiments.best import mark
    from mnist_pipeline.provenance.finished import seconds_by_commit

    here = Path.cwd()
    with ThreadPoolExecutor(2) as pool:  # a command of DVC takes half a second, that of its queue more
        asked, cache = pool.submit(read_queue, here), pool.submit(cached_file, here, "")
        entries = load_entries(here)
        rows = make_rows(entries, args.filter, group=args.group)
        cache.result()
        mark(here, rows)
        queue = asked.result()
    failures = load_failures(here, queue.with_state("Failed"))
    rows += make_rows(failures, args.filter)
    if not rows:
        names = ", ".join(sorted({each.name for each in (*entries, *failures)})[:10])
        raise PipelineError(f"no experiment is called {args.filter!r}; there are {names}")
    known = seconds_by_commit(here)
    for row in rows:
        row.seconds = mean([known.get(each.commit) for each in row.entries])
    rows.sort(key=lambda row: (bool(row.entries[0].failure), SORTS[args.sort](row)))
    if args.json is not None:
        _print_json(rows, args.json)
    elif not failures and len(entries) == 1 and not queue.tasks:
        print("No experiments yet. Run one: dvc exp run -n adam -S model.optimizer=adam")
    else:
        _print_table(args, rows, queue)


def _columns(rows: Sequence[Row], *, group: bool) -> list[Column]:
    known = {name for row in rows for entry in row.entries for name in (*entry.params, *entry.changes)}

    def changed(row: Row) -> str:
        return f"{describe_changes(row.changes, known)}{' (and code)' * row.entries[0].code_changed}".strip()

    columns: list[Column] = [("name", lambda row: row.name)]
    if group:
        columns.append(("runs", lambda row: str(len(row.entries))))
    if len({row.entries[0].base for row in rows if row.entries[0].base}) > 1:
        columns.append(("base", lambda row: row.entries[0].base[:7]))
    columns += [
        ("changed", changed),
        ("validation", lambda row: _number(row.validation, row.std("validation") if group else row.half_width)),
        ("test", lambda row: _number(row.test, row.std("test"))),
        ("vs best", _versus),
    ]
    if any(row.seconds is not None for row in rows):
        columns.append(("seconds", lambda row: f"{row.seconds:.0f}" if row.seconds else ""))
    return columns


def _versus(row: Row) -> str:
    return "failed" if row.entries[0].failure else row.versus


def _number(value: float | None, spread: float | None) -> str:
    return "" if value is None else f"{value:.4f}" if spread is None else f"{value:.4f} ± {spread:.4f}"


def _notes(rows: Sequence[Row], queue: Queue, *, group: bool) -> list[str]:
    """Return what stands below the table."""
    plus_minus = "standard deviation over seeds" if group else "half the 95 % interval"
    notes = [f"validation, test: accuracy; ±: {plus_minus}. vs best: tested on the validation predictions."]
    explained = {
        "other samples": "another validation set than the best, by train.seed or data; --group compares over seeds",
        "too few seeds": "fewer than two in common with the best of the rows that have several",
    }
    notes += [f"{mark}: {why}." for mark, why in explained.items() if any(row.versus == mark for row in rows)]
    notes += [f"{row.name} failed: {row.entries[0].failure}" for row in rows if row.entries[0].failure]
    waiting = [f"{len(found)} {state.lower()}" for state in ("Running", "Queued") if (found := queue.with_state(state))]
    return [*notes, f"In DVC's queue: {', '.join(waiting)}."] if waiting else notes


def _print_table(args: argparse.Namespace, rows: Sequence[Row], queue: Queue) -> None:
    columns, notes = _columns(rows, group=args.group), _notes(rows, queue, group=args.group)
    header = [title for title, _ in columns]
    cells = [[text(row) for _, text in columns] for row in rows]
    if args.md:
        escaped_cells = [list(map(escaped, row)) for row in cells]
        print("\n\n".join([markdown_table([header, *escaped_cells]), *map(escaped, notes)]))
    elif args.html is not None:
        from mnist_pipeline.experiments.page import table_page

        kinds = ["failed" if row.entries[0].failure else row.versus.replace(" ", "-") for row in rows]
        write_text(args.html, table_page("Experiments", header, cells, kinds, notes))
        print(f"The page is {args.html}")
    else:
        width = shutil.get_terminal_size((10_000, 24)).columns  # a file or a pipe gets everything
        print(text_table(_fitted([header, *cells], width)))
        print("\n".join(["", *(textwrap.fill(printable(note), min(width, 100)) for note in notes)]))


def _fitted(rows: list[list[str]], width: int) -> list[list[str]]:
    """Fold what was changed, then cut the names, so that the table is at most so wide."""

    def room(place: int) -> int:
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        return max(NARROWEST, widths[place] - (sum(widths) + 2 * len(widths) - 2 - width))

    place = rows[0].index("changed")
    folded: list[list[str]] = []
    for row in rows:
        first, *others = textwrap.wrap(row[place], room(place), break_on_hyphens=False) or [""]
        folded.append([*row[:place], first, *row[place + 1 :]])
        folded += [[*[""] * place, line, *[""] * (len(row) - place - 1)] for line in others]
    rows = folded
    longest = room(rows[0].index("name"))
    return [[row[0] if len(row[0]) <= longest else f"{row[0][: longest - 1].rstrip()}…", *row[1:]] for row in rows]


def _print_json(rows: Sequence[Row], file: str) -> None:
    content = [
        {
            "name": row.name,
            "runs": [{"name": each.name, "commit": each.commit} for each in row.entries],
            "base": row.entries[0].base,
            "changes": row.changes,
            "code_changed": row.entries[0].code_changed,
            "validation_accuracy": row.validation,
            "validation_half_width": row.half_width,
            "validation_std": row.std("validation"),
            "test_accuracy": row.test,
            "test_std": row.std("test"),
            "vs_best": row.versus,
            "seconds": row.seconds,
            "failure": row.entries[0].failure,
        }
        for row in rows
    ]
    text = json.dumps(content, indent=2, default=str)  # YAML has dates, JSON has not
    if file == "-":
        print(text)
    else:
        write_json(Path(file), json.loads(text))
