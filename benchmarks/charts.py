"""The charts of the benchmarks."""

from __future__ import annotations

from itertools import accumulate
from statistics import fmean
from typing import Any

from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter

from benchmarks.results import own_seconds
from mnist_pipeline.figures.style import new_figure

Measured = dict[str, Any]


def draw_contenders(found: Measured, seconds: Measured, runs: Measured) -> Figure:
    """Draw test accuracy over training time, all contenders in one chart, with our presets; time is logarithmic."""
    figure = new_figure(8, 5.8)
    axes = figure.subplots()
    courses: dict[str, list[tuple[list[float], list[float]]]] = {
        "the tutorial's loop": [(list(accumulate(run["epoch_seconds"])), run["accuracies"]) for run in found["loop"]],
        "scikit-learn MLPClassifier": [_course(run) for run in found["sklearn"]],
        "PyTorch's MNIST example": [_course(run) for run in found["pytorch"]],
    }
    for place, (name, each) in enumerate(courses.items()):
        for number, (times, accuracies) in enumerate(each):
            style: dict[str, Any] = {"marker": "sv^"[place], "color": f"C{place}", "linewidth": 1, "markersize": 5}
            percent = [100 * each for each in accuracies]
            axes.plot(times, percent, label=name if number == 0 else None, **style)
    ours = {
        name: (fmean(run["training_seconds"] for run in each), [run["accuracy"] for run in each])
        for name, each in found.items()
        if name.startswith("ours, ")
    }
    for name, by_seed in runs.items():
        ours[name] = fmean(own_seconds(seconds[name])), [run["accuracy"] for run in by_seed.values()]
    for kind, marker, colour in (("mlp", "o", "C3"), ("cnn", "D", "C4")):
        points = sorted(
            (time, 100 * fmean(accuracies))
            for name, (time, accuracies) in ours.items()
            if kind in name.lower() or (kind == "cnn" and name.startswith("ensemble"))
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
