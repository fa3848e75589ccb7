"""``mnist compare``."""

from __future__ import annotations

import argparse
import json
import math
import sys
from pathlib import Path
from statistics import fmean, stdev
from typing import Any, get_args

from mnist_pipeline.core.errors import PipelineError
from mnist_pipeline.core.statistics import wilson_interval
from mnist_pipeline.core.tables import escaped, markdown_table, text_table
from mnist_pipeline.experiments.compare import ClassChange, Comparison, compare
from mnist_pipeline.experiments.runs import WORKSPACE, Group, load_group
from mnist_pipeline.experiments.scores import SCORES, Score, column_score
from mnist_pipeline.experiments.significance import Verdict
from mnist_pipeline.provenance.paths import PREDICTIONS, TEST_ARRAYS, VALIDATION_PREDICTIONS

DESCRIPTION = (
    "Compare two runs, or two groups of runs of the same settings: is one better, for other seeds and other samples? A "
    "run is the name of an experiment, a git revision, or the word workspace; a group is a glob of experiments, such "
    "as 'default-*', or names with commas between them. Reads what git and DVC have of them and checks nothing out."
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("before", nargs="?", default="HEAD", metavar="A", help="the first run or group (default: HEAD)")
    parser.add_argument("after", nargs="?", default=WORKSPACE, metavar="B", help="the second (default: workspace)")
    what = parser.add_mutually_exclusive_group()
    what.add_argument("--score", choices=SCORES, default="accuracy", help="what to compare (default: accuracy)")
    what.add_argument("--column", metavar="NAME", help="compare the mean of this column of the predictions")
    parser.add_argument("--lower-is-better", action="store_true", help="of the column: less is better")
    parser.add_argument("--split", choices=("test", "validation"), default="test", help="which samples (default: test)")
    parser.add_argument("--predictions", metavar="PATH", help="of the CSV with a row per sample, in the repository")
    parser.add_argument(
        "--paired", action="store_true", help="runs of the same seed have the same weights: only the prediction differs"
    )
    parser.add_argument(
        "--margin",
        type=_positive,
        metavar="M",
        help="differences below M (percentage points; or the unit of the score) do not matter: equivalent, not worse",
    )
    parser.add_argument(
        "--fail-if",
        action="append",
        default=[],
        choices=get_args(Verdict),
        metavar="VERDICT",
        help=f"exit with status 1 if B is this: {', '.join(get_args(Verdict))}; repeatable",
    )
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--json", action="store_true", help="print JSON")
    form.add_argument("--md", action="store_true", help="print Markdown, as for a comment on a pull request")
    parser.add_argument("--figure", type=Path, metavar="PNG", help="draw the fixed and the broken images there")


def _positive(text: str) -> float:
    number = float(text)
    if not 0 < number < math.inf:
        raise argparse.ArgumentTypeError(f"must be above 0, was {text}")
    return number


def run(args: argparse.Namespace) -> None:
    """Compare and print."""
    here = Path.cwd()
    score = SCORES[args.score]
    if args.column is not None:
        score = column_score(args.column, lower_is_better=args.lower_is_better)
    path = args.predictions or (VALIDATION_PREDICTIONS if args.split == "validation" else PREDICTIONS)
    types = dict.fromkeys(score.columns, str if "actual" in score.columns else float)
    if args.predictions is None:
        types |= {"actual": str, "predicted": str}
    before, after = (load_group(here, name, path, types) for name in (args.before, args.after))
    margin = None if args.margin is None else args.margin / (100 if score.percentage else 1)
    result = compare(before, after, score, margin=margin, paired=args.paired)
    if args.figure is not None:
        _draw(result, here / TEST_ARRAYS, args.figure)
    for warning in result.warnings:
        print(f"mnist compare: warning: {warning}", file=sys.stderr)
    if args.json:
        print(json.dumps(as_json(result), indent=2))
    else:
        print(as_markdown(result) if args.md else as_text(result))
    if result.verdict in args.fail_if:
        sys.exit(1)


def _draw(result: Comparison, arrays: Path, picture: Path) -> None:
    from mnist_pipeline.data.dataset import load_dataset
    from mnist_pipeline.experiments.figures import draw_changes
    from mnist_pipeline.figures.style import save_figure

    if not result.single:
        raise PipelineError("--figure draws the samples on which two runs differ; name one run a side")
    try:
        dataset = load_dataset(arrays)
    except PipelineError as error:
        raise PipelineError(f"the images cannot be drawn; {error}; run dvc repro or dvc pull") from None
    actual = result.before.runs[0].predictions["actual"].tolist()
    if [dataset.classes[label] for label in dataset.labels] != actual:
        raise PipelineError(f"the images cannot be drawn: {arrays} is not the test set of the two runs")
    save_figure(picture, draw_changes(result, dataset.images))


def as_json(result: Comparison) -> dict[str, Any]:
    """Return a comparison as JSON."""
    low, high = (value if math.isfinite(value) else None for value in result.estimate.interval())
    return {
        "score": result.score.name,
        "before": _side(result.before, result.means_before),
        "after": _side(result.after, result.means_after),
        "runs_before": len(result.before.runs),
        "runs_after": len(result.after.runs),
        "samples": result.estimate.samples,
        "difference": result.estimate.difference,
        "low": low,
        "high": high,
        "p": result.estimate.p,
        "margin": result.margin,
        "verdict": result.verdict,
        "method": result.estimate.method,
        "fixed": result.fixed,
        "broken": result.broken,
        "classes": [vars(each) for each in result.classes],
        "params": {name: {"before": before, "after": after} for name, before, after in result.params},
        "warnings": result.warnings,
    }


def _side(group: Group, means: list[float]) -> dict[str, Any]:
    return {
        "name": group.name,
        "runs": [{"name": run.name, "commit": run.commit} for run in group.runs],
        "mean": fmean(means),
        "std": stdev(means) if len(means) > 1 else None,
    }


def conclusion(result: Comparison) -> str:
    """Return the conclusion in words."""
    before, after, score, estimate = result.before.name, result.after.name, result.score, result.estimate
    low, high = estimate.interval()
    unit, scale = (" points", 100) if score.percentage else ("", 1)
    form = ".2f" if score.percentage else ".4g"
    difference = f"{scale * estimate.difference:+{form}}{unit}"
    interval = f"{scale * low:+{form}} to {scale * high:+{form}}"
    verdict = {
        "better": f"{after} is better than {before}",
        "worse": f"{after} is worse than {before}",
        "equivalent": f"{after} is equivalent to {before}",
        "not worse": f"{after} is not worse than {before}",
        "inconclusive": f"Inconclusive: {after} may be better or worse than {before}",
    }[result.verdict]
    if result.single and not (estimate.difference or result.fixed or result.broken):
        verdict = f"{before} and {after} are alike on every sample"
    margin = "" if result.margin is None else f", margin {scale * result.margin:g}{unit}"
    lines = [
        f"{verdict}{margin}.",
        f"Difference in {score.name}: {difference} (95 % interval {interval}, p = {estimate.p:.2g}).",
        f"Method: {estimate.method}.",
    ]
    if result.single and (result.fixed or result.broken):
        lines.append(f"{after} fixes {len(result.fixed)} samples and breaks {len(result.broken)}.")
    return "\n".join(lines)


def _group_row(group: Group, means: list[float], score: Score, samples: int) -> tuple[str, ...]:
    mean = fmean(means)
    if len(means) > 1:
        return group.name, str(len(means)), f"{mean:.4f} ± {stdev(means):.4f}", ""
    if score is not SCORES["accuracy"]:
        return group.name, "1", f"{mean:.4f}", ""
    low, high = wilson_interval(round(mean * samples), samples)
    return group.name, "1", f"{mean:.4f}", f"{low:.4f} to {high:.4f}"


def _class_row(each: ClassChange) -> tuple[str, ...]:
    gained = 100 * (each.correct_after - each.correct_before)
    return each.name, str(each.samples), f"{each.correct_before:.4f}", f"{each.correct_after:.4f}", f"{gained:+.2f}"


def _tables(result: Comparison) -> list[list[tuple[str, ...]]]:
    """Return tables of the groups, the classes and the settings that differ, each with its header first."""
    samples, score = result.estimate.samples, result.score
    groups = ((result.before, result.means_before), (result.after, result.means_after))
    rows = [_group_row(group, means, score, samples) for group, means in groups]
    table = [("runs", "number", score.name, "95 % interval"), *rows]
    tables: list[list[tuple[str, ...]]] = [table if any(row[3] for row in rows) else [row[:3] for row in table]]
    if result.classes:
        header = ("class", "samples", "A correct", "B correct", "points")
        tables.append([header, *map(_class_row, result.classes)])
    if result.params:
        settings = [(name, _value(before), _value(after)) for name, before, after in result.params]
        tables.append([("setting", "A", "B"), *settings])
    return tables


def _value(value: Any) -> str:
    return "–" if value is None else value if isinstance(value, str) else json.dumps(value)


def as_text(result: Comparison) -> str:
    """Return a comparison for a terminal."""
    blocks = [text_table(rows) for rows in _tables(result)]
    return "\n\n".join([blocks[0], conclusion(result), *blocks[1:]])


def as_markdown(result: Comparison) -> str:
    """Return a comparison for a pull request."""
    before, after = (group.name.replace("`", "'") for group in (result.before, result.after))
    title = f"### `{before}` → `{after}`"
    blocks = [markdown_table([list(map(escaped, row)) for row in rows]) for rows in _tables(result)]
    lines = map(escaped, conclusion(result).split("\n"))
    return "\n\n".join([title, blocks[0], "  \n".join(lines), *blocks[1:]])
