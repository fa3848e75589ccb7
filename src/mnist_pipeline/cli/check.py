"""``mnist check``: are the settings valid."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from mnist_pipeline.core.errors import PipelineError
from mnist_pipeline.core.yaml import flatten, read_yaml
from mnist_pipeline.experiments.runs import check_was_run
from mnist_pipeline.ladder.spec import EXPERIMENTS, load_ladder
from mnist_pipeline.params.limits import check_corrections, check_limits
from mnist_pipeline.params.schema import load_data_files, load_params
from mnist_pipeline.provenance import paths
from mnist_pipeline.provenance.dvc import parse_lock

DESCRIPTION = (
    f"Check {paths.PARAMS}, {paths.DATA_FILES} and {EXPERIMENTS} as the stages would, and whether they fit the "
    "prepared data: batches, the validation set, the test image that is drawn, the depth of the network. Runs and "
    "changes nothing."
)
PARAMS = Path(paths.PARAMS)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare no arguments."""


def run(_: argparse.Namespace) -> None:
    """Check, and say what was checked."""
    params = load_params(PARAMS)
    csv_format = load_data_files(Path(paths.DATA_FILES)).format_of(params.data.dataset)
    check_corrections(params, csv_format, Path(paths.CORRECTIONS))
    checked = f"{PARAMS} and {paths.DATA_FILES} are valid"
    if EXPERIMENTS.exists():
        load_ladder()
        checked = f"{PARAMS}, {paths.DATA_FILES} and {EXPERIMENTS} are valid"
    try:
        lock = parse_lock(Path(paths.LOCK).read_bytes(), paths.LOCK)
        check_was_run(flatten(read_yaml(PARAMS)), lock, paths.DATA_SUMMARY, "workspace")
        summary = json.loads(Path(paths.DATA_SUMMARY).read_bytes())
    except (OSError, ValueError, PipelineError):
        print(f"{checked}. Whether {PARAMS} fits the data is unknown; run dvc repro validate first.")
        return
    check_limits(params, csv_format.image_side, summary)
    train, test = summary["train"]["rows"], summary["test"]["rows"]
    print(f"{checked}. {PARAMS} fits the data: {train:,} training and {test:,} test rows.")
