"""The charts of the benchmarks."""

from __future__ import annotations

from collections.abc import Callable
from itertools import accumulate
from statistics import fmean
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter

from mnist_pipeline.figures.style import new_figure

Measured = dict[str, Any]


def draw_contenders(found: Measured, presets: Measured | None) -> Figure:
    """Draw test accuracy over training time, all contenders in one chart; time is logarithmic."""
    figure = new_figure(8, 5.8)
    axes = figure.subplots()
    courses: dict[str, list[tuple[list[float], list[float]]]] = {
        "the tutorial's loop": [(list(accumulate(run["epoch_seconds"])), run["accuracies"]) for run in found["loop"]],
        "scikit-learn MLPClassifier": [_course(run) for run in found["sklearn"]],
        "PyTorch's MNIST example": [_course(run) for run in found["pytorch"]],
    }
    for place, (name, runs) in enumerate(courses.items()):
        for number, (seconds, accuracies) in enumerate(runs):
            style: dict[str, Any] = {"marker": "sv^"[place], "color": f"C{place}", "linewidth": 1, "markersize": 5}
            percent = [100 * each for each in accuracies]
            axes.plot(seconds, percent, label=name if number == 0 else None, **style)
    ours = {name: runs for name, runs in found.items() if name.startswith("ours, ")}
    ours |= presets["runs"] if presets is not None else {}
    for kind, marker, colour in (("mlp", "o", "C3"), ("cnn", "D", "C4")):
        points = sorted(
            (fmean(run["training_seconds"] for run in runs), 100 * fmean(run["accuracy"] for run in runs))
            for name, runs in ours.items()
            if kind in name.lower()
        )
        best = [point for place, point in enumerate(points) if point[1] >= max(each[1] for each in points[: place + 1])]
        label = f"ours, {kind.upper()}: each point is a complete run"
        axes.plot(*zip(*best, strict=True), marker=marker, color=colour, linewidth=1, label=label)
        axes.plot(*zip(*points, strict=True), marker=marker, color=colour, linestyle="none")
    axes.set(xscale="log", xlabel="training time in seconds (log scale)", ylabel="test accuracy, %", ylim=(95, 100))
    axes.set_yticks([95, 96, 97, 98, 99, 100])
    axes.xaxis.set_major_formatter(FuncFormatter(lambda seconds, _: f"{seconds:g}"))
    axes.grid(alpha=0.3)
    figure.legend(loc="outside lower center", ncols=2)
    figure.suptitle("Accuracy over training time on two cores")
    return figure


def _course(run: Measured) -> tuple[list[float], list[float]]:
    return [each["seconds"] for each in run["course"]], [each["accuracy"] for each in run["course"]]


def draw_growth(found: Measured) -> Figure:
    """Draw time and memory by rows, and time by hidden units and by epochs."""
    figure = new_figure(9, 6.5)
    grid = figure.subplots(2, 2)
    for stage in ("validate", "train", "evaluate"):
        _line(grid[0][0], found["rows"], "rows", f"{stage}_seconds", stage)
        _line(grid[0][1], found["rows"], "rows", f"{stage}_megabytes", stage)
    _line(grid[1][0], found["hidden_units"], "units", "train_seconds", "train")
    _line(grid[1][0], found["hidden_units"], "units", "evaluate_seconds", "evaluate")
    _line(grid[1][1], found["epochs"], "epochs", "train_seconds", "train")
    grid[0][0].set(title="Time by training rows", xlabel="training rows (a sixth as many test rows)", ylabel="seconds")
    grid[0][1].set(title="Peak memory by training rows", xlabel="training rows", ylabel="MB, whole process")
    grid[1][0].set(title="Time by hidden units, one epoch", xlabel="hidden units", ylabel="seconds")
    grid[1][1].set(title="Time by epochs", xlabel="epochs", ylabel="seconds")
    for axes in grid[0]:
        axes.xaxis.set_major_formatter(FuncFormatter(lambda rows, _: f"{rows / 1000:.0f},000"))
        axes.set_xticks([60_000, 200_000, 400_000, 600_000])
    for axes in grid.reshape(-1):
        axes.set_ylim(bottom=0)
        axes.grid(alpha=0.3)
        axes.legend()
    figure.suptitle("Time and memory of whole stages, importing PyTorch included")
    return figure


def _line(axes: Axes, runs: list[Measured], along: str, value: str, label: str) -> None:
    """Draw a line of means, with every run as a dot."""
    places = sorted({run[along] for run in runs})
    mean: Callable[[Any], float] = lambda place: fmean(run[value] for run in runs if run[along] == place)  # noqa: E731
    (line,) = axes.plot(places, [mean(place) for place in places], label=label, linewidth=1)
    axes.plot([run[along] for run in runs], [run[value] for run in runs], ".", color=line.get_color(), markersize=4)
