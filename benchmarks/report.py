"""The pages and charts of the benchmarks, from their results."""

from __future__ import annotations

from typing import Any

from benchmarks.accuracies import current_runs
from benchmarks.charts import draw_contenders
from benchmarks.processes import ROOT
from benchmarks.quality_table import quality_table
from benchmarks.results import QUALITY, RESULTS, column, machines, read_results, spread
from benchmarks.times_table import conditions, machine_name, times_table
from mnist_pipeline.core.tables import between_marks, markdown_table
from mnist_pipeline.figures.style import save_figure
from mnist_pipeline.ladder.spec import load_ladder

PAGE = ROOT / "benchmarks" / "README.md"
PRESETS_PAGE = ROOT / "docs" / "presets.md"


def preset_table(found: dict[str, Any]) -> str:
    """Return the table of the presets' accuracies."""
    header = ["preset", "description", "test accuracy", "corrected labels", "validation accuracy"]
    ladder, runs_of = load_ladder(ROOT / "experiments.yaml", ROOT / "params.yaml"), current_runs(found)
    rows = [header]
    for name, preset in ladder.presets.items():
        runs = [*runs_of[name].values()]
        if not runs:
            rows.append([f"`{name}`", preset.title, "not measured", "", ""])
            continue
        corrected = [run["corrected_accuracy"] for run in runs if "corrected_accuracy" in run]
        validation = [each for each in column(runs, "validation_accuracy") if each is not None]
        rows.append([
            f"`{name}`", preset.title, spread(column(runs, "accuracy"), 4),
            spread(corrected, 4).split(" (")[0] if corrected else "",
            spread(validation, 4).split(" (")[0] if validation else "no validation set",
        ])  # fmt: skip
    return markdown_table(rows)


def preset_times_table(machine: str) -> str:
    """Return the table of the presets' training times on a machine, by numerics."""
    found = read_results(machine)
    if "training" not in found:
        return ""
    presets = load_ladder(ROOT / "experiments.yaml", ROOT / "params.yaml").presets
    seconds = {name: found["training"][name] for name in presets}
    kinds = [kind for kind in ("fast", "mixed", "portable") if any(kind in each for each in seconds.values())]
    rows = [[f"training time in seconds, {machine_name(found)}", *kinds]]
    for name, each in seconds.items():
        cells = (spread(each[kind], 1 if max(each[kind]) < 100 else 0) if kind in each else "" for kind in kinds)
        rows.append([f"`{name}`", *(cell.removesuffix(" (n = 1)") for cell in cells)])
    return markdown_table(rows)


def with_benchmarks(text: str) -> str:
    """Return the page of the benchmarks with the current tables."""
    text = between_marks(text, "quality", quality_table(read_results(QUALITY)))
    tables = []
    for machine in machines():
        found = read_results(machine)
        tables.append(f"### {machine_name(found)}\n\n{times_table(found)}\n\n{conditions(found)}.")
    return between_marks(text, "times", "\n\n".join(tables))


def with_presets(text: str) -> str:
    """Return the page of the presets with the current tables."""
    text = between_marks(text, "presets", preset_table(read_results(QUALITY)))
    tables = [table for machine in machines() if (table := preset_times_table(machine))]
    return between_marks(text, "preset times", "\n\n".join(tables))


def write_report() -> None:
    """Write the tables of both pages, and the chart."""
    PAGE.write_text(with_benchmarks(PAGE.read_text("utf-8")), "utf-8")
    PRESETS_PAGE.write_text(with_presets(PRESETS_PAGE.read_text("utf-8")), "utf-8")
    found = read_results(machines()[0])
    if {"contenders", "training"} <= found.keys():
        runs = current_runs(read_results(QUALITY))
        save_figure(RESULTS / "contenders.png", draw_contenders(found["contenders"], found["training"], runs))
