"""``mnist check``: are the settings valid."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from mnist_pipeline.core.errors import PipelineError
from mnist_pipeline.core.yaml import flatten, read_yaml
from mnist_pipeline.experiments.runs import check_was_run
from mnist_pipeline.ladder.spec import load_ladder
from mnist_pipeline.params.limits import check_corrections, check_limits
from mnist_pipeline.params.schema import load_params
from mnist_pipeline.provenance import paths
from mnist_pipeline.provenance.dvc import parse_lock

DESCRIPTION = (
    f"Check {paths.PARAMS} and experiments.yaml as the stages would, and whether they fit the prepared data: batches, "
    "the validation set, the test image that is drawn, the depth of the network. Runs and changes nothing."
)
LADDER, PARAMS = Path("experiments.yaml"), Path(paths.PARAMS)
LOCK, SUMMARY = Path(paths.LOCK), Path(paths.DATA_SUMMARY)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare no arguments."""


def run(_: argparse.Namespace) -> None:
    """Check, and say what was checked."""
    params = load_params(PARAMS)
    check_corrections(params, Path(paths.CORRECTIONS))
    rungs = load_ladder(LADDER, PARAMS).params if LADDER.exists() else {}
    checked = f"{PARAMS} and {LADDER} are valid" if rungs else f"{PARAMS} is valid"
    try:
        check_was_run(flatten(read_yaml(PARAMS)), parse_lock(LOCK.read_text("utf-8"), str(LOCK)), str(SUMMARY))
        summary = json.loads(SUMMARY.read_text("utf-8"))
    except (OSError, ValueError, PipelineError):
        print(f"{checked}. Whether they fit the data is unknown; run dvc repro validate first.")
        return
    side = params.csv_format.image_side
    check_limits(params, side, summary)
    problems = []
    for name, each in rungs.items():
        try:
            check_limits(each, side, summary)
        except PipelineError as error:
            problems += [f"{LADDER}: rungs.{name}: with it, {line}" for line in str(error).splitlines()]
    if problems:
        raise PipelineError("\n".join(problems))
    train, test = summary["train"]["rows"], summary["test"]["rows"]
    print(f"{checked}, and fit the data: {train:,} training and {test:,} test rows.")
