"""The ``mnist`` command: whatever is not a stage. Each command is a module of this room."""

from __future__ import annotations

import argparse
import importlib
import sys
from collections.abc import Collection, Sequence

from mnist_pipeline.core.program import run_program

COMMANDS = {
    "audit": "print what is suspect about the data, or correct it",
    "check": "check params.yaml and experiments.yaml; run nothing",
    "compare": "compare two runs: is one better, and on which images",
    "doctor": "check outputs, cache and git; repair what is damaged",
    "ladder": "run the improvements of experiments.yaml; report them",
    "predict": "classify photos of digits",
    "preset": "train with settings chosen for a given time",
    "reset": "go back to the last commit; ask before a loss",
    "runs": "list all experiments, the best first",
    "sweep": "try settings of a space; report what is best",
    "verify": "prove that a fresh clone gives the committed results",
    "watch": "show live what runs, what is queued, what failed",
    "work": "run one experiment in a clone here, for clusters",
}
"""Each a module with DESCRIPTION, ``add_arguments(parser)`` and ``run(args)``, imported when its command is given. So
``mnist --help`` answers at once."""


def make_parser(details: Collection[str] = tuple(COMMANDS)) -> argparse.ArgumentParser:
    """Return the parser of all commands, with the arguments of those in ``details``."""
    parser = argparse.ArgumentParser(prog="mnist", description="Commands beside those of git and DVC.")
    shells = ("bash", "zsh", "tcsh")
    parser.add_argument("--completion", choices=shells, action=_PrintCompletion, help="print a script for your shell")
    commands = parser.add_subparsers(title="commands", dest="command", required=True, metavar="COMMAND")
    for name, summary in COMMANDS.items():
        if name not in details:
            commands.add_parser(name, help=summary)
            continue
        module = importlib.import_module(f"mnist_pipeline.cli.{name}")
        command = commands.add_parser(name, help=summary, description=module.DESCRIPTION)
        module.add_arguments(command)
        command.set_defaults(run=module.run)
    return parser


class _PrintCompletion(argparse.Action):
    """Print a script that completes the commands, and exit."""

    def __call__(self, parser: argparse.ArgumentParser, *values: object) -> None:
        import shtab

        print(shtab.complete(make_parser(), str(values[1])))
        parser.exit()


def main(arguments: Sequence[str] | None = None) -> None:
    """Run a command."""
    words = list(sys.argv[1:] if arguments is None else arguments) or ["--help"]
    args = make_parser(words[:1]).parse_args(words)
    run_program(f"mnist {args.command}", lambda: args.run(args), getattr(args, "after_interrupt", ""))


if __name__ == "__main__":
    main()
