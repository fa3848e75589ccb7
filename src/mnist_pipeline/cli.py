"""The ``mnist`` command: what people do beside running stages. Each command is a module of ``commands``."""

from __future__ import annotations

import argparse
import importlib
import os
import sys
from collections.abc import Collection, Sequence

COMMANDS = {
    "compare": "say whether one of two runs is better, and on which digits",
    "completion": "print a script that completes these words in your shell",
    "ladder": "run the improvements of experiments.yaml, and say what each was worth",
    "predict": "say which digit is on a picture",
    "preset": "train what fits into the time that there is",
    "verify": "prove that a fresh clone gives the committed results",
}
"""Each a module with DESCRIPTION, ``add_arguments(parser)``, and ``run(args)``, which prints the answer or exits with a
message. Heavy libraries are imported where they are used, so that ``mnist --help`` answers at once."""


def make_parser(details: Collection[str] = tuple(COMMANDS)) -> argparse.ArgumentParser:
    """The parser of all commands, with the arguments of those in ``details``."""
    parser = argparse.ArgumentParser(prog="mnist", description="Commands beside the pipeline's stages.")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name, summary in COMMANDS.items():
        if name not in details:
            commands.add_parser(name, help=summary)
            continue
        module = importlib.import_module(f"mnist_pipeline.commands.{name}")
        command = commands.add_parser(name, help=summary, description=module.DESCRIPTION)
        module.add_arguments(command)
        command.set_defaults(run=module.run)
    return parser


def main(arguments: Sequence[str] | None = None) -> None:
    """Run a command."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    args = make_parser(words[:1]).parse_args(words)
    try:
        args.run(args)
        sys.stdout.flush()
    except BrokenPipeError:  # whoever read our output has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    except KeyboardInterrupt:
        sys.exit(f"mnist {args.command}: interrupted")


if __name__ == "__main__":
    main()
