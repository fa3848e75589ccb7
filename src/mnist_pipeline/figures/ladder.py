"""The ladder: the test error of every rung, seed by seed, and whether it improves on the rung it builds on."""

from __future__ import annotations

from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, NullFormatter

from mnist_pipeline.figures.style import BLUE, GREEN, GREY, ORANGE, new_figure
from mnist_pipeline.record import RecordedRun
from mnist_pipeline.standings import Standing

COLOURS = {"better": GREEN, "worse": ORANGE, "cannot tell": GREY}


def draw_ladder(standings: list[Standing], runs: list[RecordedRun]) -> Figure:
    """A row for each rung, the first at the top; errors on a logarithmic axis, fewer to the right."""
    figure = new_figure(13, 1.6 + 0.42 * len(standings))
    axes = figure.subplots()
    rows = {standing.rung: row for row, standing in enumerate(standings)}
    for standing in standings:
        row = rows[standing.rung]
        dots = [100 * (1 - run.accuracy) for run in runs if run.rung == standing.rung]
        axes.plot(dots, [row] * len(dots), ".", color=BLUE, alpha=0.35, markersize=7)
        mean = 100 * (1 - standing.accuracy)
        axes.plot(mean, row, "|", color=BLUE, markersize=18, markeredgewidth=2.5)
        if (published := _number(standing.published)) is not None:
            axes.plot(100 * (1 - published), row, "D", markerfacecolor="none", markeredgecolor=ORANGE, markersize=8)
        change = standing.change
        if change is not None:
            axes.annotate(
                f"{change.verdict} {100 * change.difference.mean:+.2f} on {standing.builds_on}",
                (1.01, row),
                xycoords=("axes fraction", "data"),
                va="center",
                color=COLOURS[change.verdict],
            )
    names = [f"{each.title} ({each.rung})  –  {100 * each.accuracy:.2f} %" for each in standings]
    axes.set_yticks(range(len(standings)), names)
    axes.set_ylim(len(standings) - 0.5, -0.5)
    axes.set_xscale("log")
    axes.invert_xaxis()
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g} %"))
    axes.xaxis.set_minor_formatter(NullFormatter())
    low, high = axes.get_xlim()[::-1]
    axes.set_xticks([tick for tick in (0.2, 0.3, 0.5, 1, 2, 3, 5, 10, 20, 50) if low <= tick <= high])
    axes.set_xlabel("test error, logarithmic (fewer errors to the right)")
    figure.suptitle("Each improvement, seed by seed, and the percentage points it gained on the one it builds on")
    handles = [
        axes.plot([], [], ".", color=BLUE, alpha=0.5, markersize=9, label="one seed")[0],
        axes.plot([], [], "|", color=BLUE, markersize=12, markeredgewidth=2.5, label="mean")[0],
        axes.plot([], [], "D", markerfacecolor="none", markeredgecolor=ORANGE, linestyle="", label="published")[0],
    ]
    axes.legend(handles=handles, loc="lower left")
    return figure


def _number(published: float | str | None) -> float | None:
    return float(published.removeprefix("about ")) if isinstance(published, str) else published
