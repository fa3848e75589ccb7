"""The ladder's report: a table as CSV, the same in the README, a picture."""

from __future__ import annotations

from pathlib import Path

from mnist_pipeline.claims import Claim, claims
from mnist_pipeline.files import replacing, write_csv
from mnist_pipeline.ladder import Ladder
from mnist_pipeline.record import RecordedRun
from mnist_pipeline.standings import Standing, standings
from mnist_pipeline.tables import aligned, between_marks, markdown

TABLE = Path("metrics/ladder.csv")
PICTURE = Path("metrics/figures/ladder.png")
README = Path("README.md")

COLUMNS = (
    "rung", "builds_on", "published", "seeds", "accuracy", "sd", "wilson_low", "wilson_high", "validation_accuracy",
    "difference", "difference_low", "difference_high", "p_seeds", "p_seeds_holm", "p_samples", "p_samples_holm",
    "detectable", "verdict", "seconds",
)  # fmt: skip


def write_report(ladder: Ladder, runs: list[RecordedRun]) -> list[Standing]:
    """Write the table, the picture and the README's sections; the standings that they show."""
    from mnist_pipeline.figures.ladder import draw_ladder
    from mnist_pipeline.figures.style import save_figure

    found = standings(ladder, runs)
    write_csv(TABLE, COLUMNS, map(row_of, found))
    save_figure(PICTURE, draw_ladder(found, runs))
    text = with_sections(README.read_text("utf-8"), ladder, runs)
    with replacing(README) as temporary:
        temporary.write_text(text, "utf-8")
    return found


def row_of(standing: Standing) -> list[object]:
    """A row of the table; p-values as text with two digits, since they can be tiny."""
    change = standing.change
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
    seconds = None if standing.seconds is None else round(standing.seconds, 1)
    return [
        standing.rung,
        standing.builds_on,
        standing.published,
        standing.seeds,
        standing.accuracy,
        standing.sd,
        standing.low,
        standing.high,
        standing.validation_accuracy,
        *tested,
        None if change is None else change.verdict,
        seconds,
    ]


def _p(value: float | None) -> str | None:
    return None if value is None else f"{value:.2g}"


def _readable_p(value: float | None) -> str:
    return "–" if value is None else "< 1e-6" if value < 1e-6 else f"{value:.2g}"


def with_sections(text: str, ladder: Ladder, runs: list[RecordedRun]) -> str:
    """A page with what stands between its marks ``ladder`` and ``claims`` as the runs have it."""
    sections = {"ladder": table(standings(ladder, runs)), "claims": list_of_claims(claims(runs))}
    for mark, content in sections.items():
        text = between_marks(text, mark, content)
    return text


def table(found: list[Standing]) -> str:
    """A table in Markdown."""
    header = ["rung", "published", "test accuracy (seeds)", "Wilson 95 %", "points gained", "p seeds, samples"]
    return "\n".join(markdown([[*header, "verdict", "s"], *map(cells_of, found)]))


def cells_of(standing: Standing) -> list[str]:
    """What the table says of a rung."""
    sd = "" if standing.sd is None else f" ± {standing.sd:.4f}"
    gained = p = verdict = ""
    if (change := standing.change) is not None:
        difference = change.difference
        interval = "" if difference.low is None else f" ({100 * difference.low:+.2f} to {100 * difference.high:+.2f})"  # type: ignore[operator]
        gained = f"{100 * difference.mean:+.2f}{interval} on `{standing.builds_on}`"
        p = f"{_readable_p(change.p_seeds_corrected)}, {_readable_p(change.p_samples_corrected)}"
        verdict = change.verdict
        if change.verdict == "cannot tell" and change.detectable is not None:
            verdict += f" (below {100 * change.detectable:.2f})"
    return [
        f"`{standing.rung}`: {standing.title}",
        "" if standing.published is None else str(standing.published),
        f"{standing.accuracy:.4f}{sd} ({standing.seeds})",
        f"{standing.low:.4f}–{standing.high:.4f}",
        gained,
        p,
        verdict,
        "" if standing.seconds is None else f"{standing.seconds:.0f}",
    ]


def list_of_claims(found: list[Claim]) -> str:
    """A numbered list in Markdown."""
    return "\n".join(
        f"{number}. *{claim.text}* **{claim.verdict[0].upper()}{claim.verdict[1:]}**: {claim.numbers}."
        for number, claim in enumerate(found, start=1)
    )


def describe(found: list[Standing]) -> str:
    """The table for a terminal."""
    header = ["rung", "published", "accuracy", "Wilson 95 %", "points gained", "p (Holm)", "verdict", "s"]
    rows = [header, *(cells_of(each) for each in found)]
    for row, standing in zip(rows[1:], found, strict=True):
        row[0] = standing.rung
    return "\n".join(aligned(rows))
