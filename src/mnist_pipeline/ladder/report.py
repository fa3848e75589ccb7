"""The report of the ladder: a table as CSV, the same on a page of the docs, a figure."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from statistics import fmean

from mnist_pipeline.core.files import write_csv, write_text
from mnist_pipeline.core.tables import between_marks, markdown_table, text_table
from mnist_pipeline.ladder.analysis import RungResult, analyse
from mnist_pipeline.ladder.claims import TestedPart, claims
from mnist_pipeline.ladder.results import RunResult
from mnist_pipeline.ladder.spec import Ladder

TABLE = Path("metrics/ladder.csv")
FIGURE = Path("metrics/figures/ladder.png")
PAGE = Path("docs/ladder.md")

COLUMNS = (
    "rung", "builds_on", "family", "published", "seeds", "accuracy", "std", "wilson_low", "wilson_high",
    "corrected_gain", "corrected_seeds", "validation_accuracy", "difference", "difference_low", "difference_high", "p",
    "p_holm", "verdict", "look", "seconds",
)  # fmt: skip


def write_report(ladder: Ladder, runs: list[RunResult]) -> list[RungResult]:
    """Write the table, the figure and the page; return the results that they show."""
    from mnist_pipeline.figures.style import save_figure
    from mnist_pipeline.ladder.figures import draw_ladder

    found = analyse(ladder, runs)
    write_csv(TABLE, COLUMNS, map(row_of, found))
    save_figure(FIGURE, draw_ladder(found))
    write_text(PAGE, with_sections(PAGE.read_text("utf-8"), ladder, runs))
    return found


def row_of(result: RungResult) -> list[object]:
    """Return a row of the CSV table; p-values as text with two digits, since they can be tiny."""
    change = result.change
    tested: list[object] = [None] * 7
    if change is not None:
        each = change.tested
        look = change.runs_after if change.decided else None
        tested = [change.estimate.difference, each.low, each.high, _p(each.p), _p(each.p_corrected), each.verdict, look]
    rung, gains = result.rung, result.corrected_gains
    return [
        *(result.name, rung.builds_on, rung.family, rung.published, len(result.runs)),
        *(result.accuracy, result.std, *result.interval),
        *(fmean(gains) if gains else None, len(gains), result.validation_accuracy),
        *tested,
        None if result.seconds is None else round(result.seconds, 1),
    ]


def _p(value: float) -> str:
    return f"{value:.2g}"


def _readable_p(value: float) -> str:
    return "< 1e-6" if value < 1e-6 else f"{value:.2g}"


def with_sections(text: str, ladder: Ladder, runs: list[RunResult]) -> str:
    """Return a page with the sections ``ladder`` and ``claims`` of these runs."""
    sections = {"ladder": table(analyse(ladder, runs)), "claims": list_of_claims(claims(runs))}
    for mark, content in sections.items():
        text = between_marks(text, mark, content)
    return text


def table(found: list[RungResult]) -> str:
    """Return the table in Markdown."""
    header = ["rung", "published", "test accuracy (seeds)", "Wilson 95 %", "corrected labels", "points gained"]
    header += ["p (Holm)", "verdict", "s"]
    return markdown_table([header, *map(cells_of, found)])


def cells_of(result: RungResult) -> list[str]:
    """Return the cells of a rung."""
    std = "" if result.std is None else f" ± {result.std:.4f}"
    unplanned, (low, high), gains = len(result.runs) - result.planned, result.interval, result.corrected_gains
    added = f", {unplanned} not planned" if unplanned > 0 else ""
    added += f", {result.left_out} of other code left out" if result.left_out else ""
    gained = p = verdict = ""
    if (change := result.change) is not None:
        each = change.tested
        interval = f"({100 * each.low:+.2f} to {100 * each.high:+.2f})"
        gained = f"{100 * change.estimate.difference:+.2f} {interval} on `{result.rung.builds_on}`"
        p = _readable_p(each.p_corrected)
        verdict = each.verdict + (f" (decided at {change.runs_after} seeds)" if change.decided else "")
    elif result.rung.builds_on is not None:
        verdict = "not compared: too few runs, or other code or data"
    return [
        f"`{result.name}`: {result.rung.title}" + (" (other code)" if result.other_code else ""),
        "" if result.rung.published is None else str(result.rung.published),
        f"{result.accuracy:.4f}{std} ({len(result.runs)}{added})",
        f"{low:.4f}–{high:.4f}",
        f"{100 * fmean(gains):+.2f} ({len(gains)})" if gains else "",
        gained,
        p,
        verdict,
        "" if result.seconds is None else f"{result.seconds:.0f}",
    ]


def list_of_claims(found: Mapping[str, list[TestedPart]]) -> str:
    """Return a numbered list in Markdown."""
    lines = []
    for number, (claim, tested) in enumerate(found.items(), start=1):
        parts = [f"{part.text}: **{part.verdict}** ({part.numbers}, p = {_readable_p(part.p)})" for part in tested]
        lines.append(f"{number}. *{claim}* {'; '.join(parts).replace('p = <', 'p <')}.")
    return "\n".join(lines)


def describe(found: list[RungResult]) -> str:
    """Return the table for a terminal."""
    header = ["rung", "published", "accuracy", "Wilson 95 %", "corrected", "points gained", "p (Holm)", "verdict", "s"]
    rows = [header, *(cells_of(each) for each in found)]
    for row, result in zip(rows[1:], found, strict=True):
        row[0] = result.name
    return text_table(rows)
