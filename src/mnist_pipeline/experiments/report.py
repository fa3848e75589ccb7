"""The report of the ladder: a table as CSV, the same on a page of the docs, a figure."""

from __future__ import annotations

from pathlib import Path

from mnist_pipeline.core.files import write_csv, write_text
from mnist_pipeline.core.tables import between_marks, markdown_table, text_table
from mnist_pipeline.experiments.analysis import RungResult, analyse
from mnist_pipeline.experiments.claims import Claim, claims
from mnist_pipeline.experiments.results import RunResult
from mnist_pipeline.experiments.spec import Ladder

TABLE = Path("metrics/ladder.csv")
FIGURE = Path("metrics/figures/ladder.png")
PAGE = Path("docs/ladder.md")

COLUMNS = (
    "rung", "builds_on", "published", "seeds", "accuracy", "sd", "wilson_low", "wilson_high", "validation_accuracy",
    "difference", "difference_low", "difference_high", "p_seeds", "p_seeds_holm", "p_samples", "p_samples_holm",
    "detectable", "verdict", "seconds",
)  # fmt: skip


def write_report(ladder: Ladder, runs: list[RunResult]) -> list[RungResult]:
    """Write the table, the figure and the page; return the results that they show."""
    from mnist_pipeline.experiments.figures import draw_ladder
    from mnist_pipeline.figures.style import save_figure

    found = analyse(ladder, runs)
    write_csv(TABLE, COLUMNS, map(row_of, found))
    save_figure(FIGURE, draw_ladder(found, runs))
    write_text(PAGE, with_sections(PAGE.read_text("utf-8"), ladder, runs))
    return found


def row_of(result: RungResult) -> list[object]:
    """Return a row of the CSV table; p-values as text with two digits, since they can be tiny."""
    change = result.change
    tested: list[object] = [None] * 8
    if change is not None:
        difference = change.difference
        tested = [
            difference.mean,
            difference.low,
            difference.high,
            _p(difference.p),
            _p(change.p_seeds_corrected),
            _p(change.p_samples),
            _p(change.p_samples_corrected),
            change.detectable,
        ]
    seconds = None if result.seconds is None else round(result.seconds, 1)
    return [
        result.rung,
        result.builds_on,
        result.published,
        result.seeds,
        result.accuracy,
        result.std,
        result.low,
        result.high,
        result.validation_accuracy,
        *tested,
        None if change is None else change.verdict,
        seconds,
    ]


def _p(value: float | None) -> str | None:
    return None if value is None else f"{value:.2g}"


def _readable_p(value: float | None) -> str:
    return "–" if value is None else "< 1e-6" if value < 1e-6 else f"{value:.2g}"


def with_sections(text: str, ladder: Ladder, runs: list[RunResult]) -> str:
    """Return a page with the sections ``ladder`` and ``claims`` of these runs."""
    sections = {"ladder": table(analyse(ladder, runs)), "claims": list_of_claims(claims(runs))}
    for mark, content in sections.items():
        text = between_marks(text, mark, content)
    return text


def table(found: list[RungResult]) -> str:
    """Return the table in Markdown."""
    header = ["rung", "published", "test accuracy (seeds)", "Wilson 95 %", "points gained", "p seeds, samples"]
    return markdown_table([[*header, "verdict", "s"], *map(cells_of, found)])


def cells_of(result: RungResult) -> list[str]:
    """Return the cells of a rung."""
    std = "" if result.std is None else f" ± {result.std:.4f}"
    gained = p = verdict = ""
    if (change := result.change) is not None:
        difference = change.difference
        interval = "" if difference.low is None else f" ({100 * difference.low:+.2f} to {100 * difference.high:+.2f})"  # type: ignore[operator]
        gained = f"{100 * difference.mean:+.2f}{interval} on `{result.builds_on}`"
        p = f"{_readable_p(change.p_seeds_corrected)}, {_readable_p(change.p_samples_corrected)}"
        verdict = change.verdict
        if change.verdict == "inconclusive" and change.detectable is not None:
            verdict += f" (below {100 * change.detectable:.2f})"
    return [
        f"`{result.rung}`: {result.title}",
        "" if result.published is None else str(result.published),
        f"{result.accuracy:.4f}{std} ({result.seeds})",
        f"{result.low:.4f}–{result.high:.4f}",
        gained,
        p,
        verdict,
        "" if result.seconds is None else f"{result.seconds:.0f}",
    ]


def list_of_claims(found: list[Claim]) -> str:
    """Return a numbered list in Markdown."""
    return "\n".join(
        f"{number}. *{claim.text}* **{claim.verdict[0].upper()}{claim.verdict[1:]}**: {claim.numbers}."
        for number, claim in enumerate(found, start=1)
    )


def describe(found: list[RungResult]) -> str:
    """Return the table for a terminal."""
    header = ["rung", "published", "accuracy", "Wilson 95 %", "points gained", "p (Holm)", "verdict", "s"]
    rows = [header, *(cells_of(each) for each in found)]
    for row, result in zip(rows[1:], found, strict=True):
        row[0] = result.rung
    return text_table(rows)
