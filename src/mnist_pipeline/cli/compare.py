"""``mnist compare``."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from mnist_pipeline.core.errors import PipelineError
from mnist_pipeline.core.tables import markdown_table, text_table
from mnist_pipeline.experiments.compare import (
    WORKSPACE,
    ClassChange,
    Comparison,
    EvaluatedRun,
    accuracy_of,
    compare,
    load_run,
)
from mnist_pipeline.experiments.significance import LEVEL
from mnist_pipeline.provenance.paths import TEST_ARRAYS

DESCRIPTION = (
    "Compare two runs, each the name of an experiment, a git revision, or the word workspace: accuracy with intervals, "
    "which test samples were fixed and which broken, whether that is significant, and which settings differ. "
    "Reads what git has of them and checks nothing out."
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("before", nargs="?", default="HEAD", metavar="A", help="the first run (default: HEAD)")
    parser.add_argument("after", nargs="?", default=WORKSPACE, metavar="B", help="the second (default: workspace)")
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--json", action="store_true", help="print JSON")
    form.add_argument("--md", action="store_true", help="print Markdown, as for a comment on a pull request")
    parser.add_argument("--figure", type=Path, metavar="PNG", help="draw the fixed and the broken images there")


def run(args: argparse.Namespace) -> None:
    """Compare and print."""
    here = Path.cwd()
    result = compare(load_run(here, args.before), load_run(here, args.after))
    if args.figure is not None:
        _draw(result, here / TEST_ARRAYS, args.figure)
    if args.json:
        print(json.dumps(as_json(result), indent=2))
    else:
        print(as_markdown(result) if args.md else as_text(result))


def _draw(result: Comparison, arrays: Path, picture: Path) -> None:
    from mnist_pipeline.data.dataset import load_dataset
    from mnist_pipeline.experiments.figures import draw_changes
    from mnist_pipeline.figures.style import save_figure

    try:
        dataset = load_dataset(arrays)
    except PipelineError as error:
        raise PipelineError(f"the images cannot be drawn; {error}; run dvc repro or dvc pull") from None
    if [dataset.classes[label] for label in dataset.labels] != result.before.actual:
        raise PipelineError(f"the images cannot be drawn: {arrays} is not the test set of the two runs")
    save_figure(picture, draw_changes(result, dataset.images))


def as_json(result: Comparison) -> dict[str, Any]:
    """Return a comparison as JSON."""
    return {
        "before": _side(result.before),
        "after": _side(result.after),
        "samples": len(result.before.actual),
        "difference": result.difference,
        "mcnemar_p": result.p,
        "fixed": result.fixed,
        "broken": result.broken,
        "classes": [vars(each) for each in result.classes],
        "params": {name: {"before": before, "after": after} for name, before, after in result.params},
    }


def _side(run: EvaluatedRun) -> dict[str, Any]:
    accuracy, low, high = accuracy_of(run)
    return {
        "name": run.name,
        "commit": run.commit,
        "accuracy": accuracy,
        "accuracy_low": low,
        "accuracy_high": high,
        "errors": len(run.actual) - run.correct,
    }


def verdict(result: Comparison) -> str:
    """Return the conclusion in words."""
    before, after = result.before.name, result.after.name
    if not result.fixed and not result.broken:
        return "Both classify the same samples correctly."
    changed = f"{after} fixes {len(result.fixed)} samples and breaks {len(result.broken)}"
    points = f"{100 * result.difference:+.2f} points"
    if result.p > LEVEL:
        return f"{changed} ({points}): inconclusive (exact McNemar p = {result.p:.2g})."
    better, worse = (after, before) if result.difference > 0 else (before, after)
    return (
        f"{changed} ({points}): the model of {better} is better than that of {worse} (exact McNemar p = "
        f"{result.p:.2g}). This compares two models; to compare settings, which need several seeds, use mnist ladder."
    )


def _accuracies(result: Comparison) -> list[tuple[str, str, str, str]]:
    rows = []
    for run in (result.before, result.after):
        accuracy, low, high = accuracy_of(run)
        errors = len(run.actual) - run.correct
        rows.append((run.name, f"{accuracy:.4f}", f"{low:.4f} to {high:.4f}", str(errors)))
    return rows


def _class_row(each: ClassChange) -> tuple[str, ...]:
    before, after = each.correct_before / each.samples, each.correct_after / each.samples
    gained = 100 * (after - before)
    return (
        each.name,
        str(each.samples),
        f"{before:.4f}",
        f"{after:.4f}",
        f"{gained:+.2f}",
        str(each.fixed),
        str(each.broken),
    )


def _tables(result: Comparison) -> list[list[tuple[str, ...]]]:
    """Return tables of the runs, the classes and the settings that differ, each with its header first."""
    tables: list[list[tuple[str, ...]]] = [
        [("run", "test accuracy", "95 % interval", "errors"), *_accuracies(result)],
        [("class", "samples", "A correct", "B correct", "points", "fixed", "broken"), *map(_class_row, result.classes)],
    ]
    if result.params:
        settings = [(name, _value(before), _value(after)) for name, before, after in result.params]
        tables.append([("setting", "A", "B"), *settings])
    return tables


def _value(value: Any) -> str:
    return "–" if value is None else value if isinstance(value, str) else json.dumps(value)


def as_text(result: Comparison) -> str:
    """Return a comparison for a terminal."""
    blocks = [text_table(rows) for rows in _tables(result)]
    return "\n\n".join([blocks[0], verdict(result), *blocks[1:]])


def as_markdown(result: Comparison) -> str:
    """Return a comparison for a pull request."""
    title = f"### `{result.before.name}` → `{result.after.name}`"
    blocks = [markdown_table(rows) for rows in _tables(result)]
    return "\n\n".join([title, blocks[0], verdict(result), *blocks[1:]])
