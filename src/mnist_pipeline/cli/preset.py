"""``mnist preset``: train with settings chosen for a given time."""

from __future__ import annotations

import argparse
import shlex
import sys
from pathlib import Path
from typing import Any

from mnist_pipeline.core.errors import PipelineError
from mnist_pipeline.core.tables import text_table
from mnist_pipeline.core.yaml import parse_yaml, read_yaml
from mnist_pipeline.ladder.spec import load_ladder
from mnist_pipeline.params.overrides import settings_of, settings_to_restore
from mnist_pipeline.provenance.dvc import watch_dvc
from mnist_pipeline.provenance.git import read_file
from mnist_pipeline.provenance.paths import PARAMS
from mnist_pipeline.provenance.recovery import alone

DESCRIPTION = (
    "Run a preset of experiments.yaml as a DVC experiment: settings chosen for a given training time on two cores. "
    "Training settings that earlier experiments changed in params.yaml are restored from the last commit first. "
    "Without a name, list the presets. docs/presets.md has the accuracy of each."
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("name", nargs="?", metavar="PRESET", help="which one; without it, all are listed")
    parser.add_argument(
        "-S", "--set-param", action="append", default=[], metavar="KEY=VALUE", help="change a setting of it, too"
    )
    parser.add_argument("-n", "--name", dest="experiment", metavar="NAME", help="of the experiment (default: PRESET)")
    parser.add_argument("-f", "--force", action="store_true", help="replace the experiment of this name")
    parser.add_argument("--dry-run", action="store_true", help="print the command of DVC and run nothing")


def run(args: argparse.Namespace) -> None:
    """List the presets, or run one."""
    here = Path.cwd()
    if args.name is None:
        rows = [["preset", "seconds", "what"]]
        rows += [[name, str(preset.budget_seconds), preset.title] for name, preset in load_ladder().presets.items()]
        print(text_table(rows))
        return
    with alone(here, "mnist preset"):
        presets = load_ladder().presets  # after the repair of params.yaml, which they build on
        if args.name not in presets:
            raise PipelineError(f"unknown preset {args.name!r}; there are {', '.join(presets)}")
        preset = presets[args.name]
        restored = _restored_settings(preset.overrides)
        settings = [*settings_of(restored | preset.overrides), *args.set_param]
        command = ["exp", "run", "-n", args.experiment or args.name, "-m", preset.title]
        command += ["-f"] * args.force + [word for setting in settings for word in ("-S", setting)]
        if args.dry_run:
            print(shlex.join(["dvc", *command]))
            return
        if restored:
            print(f"mnist preset: restored from the last commit: {', '.join(restored)}", file=sys.stderr)
        sys.exit(watch_dvc(here, *command).returncode)


def _restored_settings(overrides: dict[str, Any]) -> dict[str, Any]:
    """Return the committed values of what earlier experiments changed about how to train."""
    committed = parse_yaml(read_file(Path.cwd(), "HEAD", PARAMS), f"HEAD:{PARAMS}")
    return settings_to_restore(overrides, read_yaml(Path(PARAMS)), committed)
