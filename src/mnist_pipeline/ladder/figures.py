"""The ladder, seed by seed."""

from __future__ import annotations

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, NullFormatter

from mnist_pipeline.figures.style import BLUE, GREEN, GREY, ORANGE, new_figure
from mnist_pipeline.ladder.analysis import RungResult

COLOURS = {"better": GREEN, "worse": ORANGE, "inconclusive": GREY}


def draw_ladder(results: list[RungResult]) -> Figure:
    """Draw a row for each rung, the first at the top; errors on a logarithmic axis, fewer to the right."""
    figure = new_figure(13, 1.6 + 0.42 * len(results))
    axes = figure.subplots()
    for row, result in enumerate(results):
        _draw_rung(axes, row, result)
    names = [f"{each.rung.title} ({each.name})  –  {100 * each.accuracy:.2f} %" for each in results]
    axes.set_yticks(range(len(results)), names)
    axes.set_ylim(len(results) - 0.5, -0.5)
    axes.set_xscale("log")
    axes.invert_xaxis()
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g} %"))
    axes.xaxis.set_minor_formatter(NullFormatter())
    low, high = axes.get_xlim()[::-1]
    axes.set_xticks([tick for tick in (0.2, 0.3, 0.5, 1, 2, 3, 5, 10, 20, 50) if low <= tick <= high])
    axes.set_xlabel("test error, logarithmic (fewer errors to the right)")
    figure.suptitle("Test error of each rung by seed, and percentage points gained over the rung it builds on")
    handles = [
        axes.plot([], [], ".", color=BLUE, alpha=0.5, markersize=9, label="one seed")[0],
        axes.plot([], [], "|", color=BLUE, markersize=12, markeredgewidth=2.5, label="mean")[0],
        axes.plot([], [], "D", markerfacecolor="none", markeredgecolor=ORANGE, linestyle="", label="published")[0],
    ]
    axes.legend(handles=handles, loc="lower left")
    return figure


def _draw_rung(axes: Axes, row: int, result: RungResult) -> None:
    dots = [100 * (1 - run.accuracy) for run in result.runs]
    axes.plot(dots, [row] * len(dots), ".", color=BLUE, alpha=0.35, markersize=7)
    mean = 100 * (1 - result.accuracy)
    axes.plot(mean, row, "|", color=BLUE, markersize=18, markeredgewidth=2.5)
    if (published := _number(result.rung.published)) is not None:
        axes.plot(100 * (1 - published), row, "D", markerfacecolor="none", markeredgecolor=ORANGE, markersize=8)
    if (change := result.change) is not None:
        axes.annotate(
            f"{change.tested.verdict} {100 * change.estimate.difference:+.2f} on {result.rung.builds_on}",
            (1.01, row),
            xycoords=("axes fraction", "data"),
            va="center",
            color=COLOURS[change.tested.verdict],
        )


def _number(published: float | str | None) -> float | None:
    return float(published.removeprefix("about ")) if isinstance(published, str) else published
