"""``mnist preset``: train what fits into the time that there is."""

from __future__ import annotations

import argparse
import shlex
import subprocess
import sys
from pathlib import Path

from mnist_pipeline import layout

DESCRIPTION = (
    "Run a preset of experiments.yaml as an experiment of DVC: settings chosen for so much training time on two cores. "
    "What earlier experiments changed in params.yaml of how to train is set back to the last commit first. Without a "
    "name, list the presets. README.md says what each reaches."
)

PRESETS, PARAMS = Path("experiments.yaml"), Path(layout.PARAMS)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Say what the command takes."""
    parser.add_argument("name", nargs="?", metavar="PRESET", help="which one; without it, all are listed")
    parser.add_argument(
        "-S", "--set-param", action="append", default=[], metavar="KEY=VALUE", help="change a setting of it, too"
    )
    parser.add_argument("-n", "--name", dest="experiment", metavar="NAME", help="of the experiment (default: PRESET)")
    parser.add_argument("-f", "--force", action="store_true", help="replace the experiment of this name")
    parser.add_argument("--dry-run", action="store_true", help="print the command of DVC and run nothing")


def run(args: argparse.Namespace) -> None:
    """List the presets, or run one."""
    from mnist_pipeline.ladder import LadderError, left_over, load_ladder, settings_of
    from mnist_pipeline.revisions import RevisionError, read_file, resolve
    from mnist_pipeline.tables import aligned
    from mnist_pipeline.yaml12 import YamlError, parse_yaml, read_yaml

    try:
        presets = load_ladder(PRESETS, PARAMS).presets
    except LadderError as error:
        sys.exit(f"mnist preset: {error}")
    if args.name is None:
        rows = [["preset", "seconds", "what"]]
        rows += [[name, str(preset.budget_seconds), preset.title] for name, preset in presets.items()]
        print("\n".join(aligned(rows)))
        return
    if args.name not in presets:
        sys.exit(f"mnist preset: there is no preset {args.name!r}; there are {', '.join(presets)}")
    preset, here = presets[args.name], Path.cwd()
    try:
        committed = parse_yaml(read_file(here, resolve(here, "HEAD"), layout.PARAMS).decode(), f"HEAD:{PARAMS}")
        before = left_over(preset.overrides, read_yaml(PARAMS), committed)
    except (RevisionError, YamlError) as error:
        sys.exit(f"mnist preset: {error}")
    settings = [*settings_of(before | preset.overrides), *args.set_param]
    command = ["dvc", "exp", "run", "-n", args.experiment or args.name, "-m", preset.title]
    command += ["-f"] * args.force + [word for setting in settings for word in ("-S", setting)]
    if args.dry_run:
        print(shlex.join(command))
        return
    if before:
        print(f"mnist preset: set back to the last commit: {', '.join(before)}", file=sys.stderr)
    sys.exit(subprocess.run([sys.executable, "-m", *command], check=False).returncode)
