"""The ``mnist`` command: what people do beside running stages. Each command is a module of ``commands``."""

from __future__ import annotations

import argparse
import importlib
import sys
from collections.abc import Sequence

COMMANDS = ("verify",)


def make_parser() -> argparse.ArgumentParser:
    """The parser of all commands."""
    parser = argparse.ArgumentParser(prog="mnist", description="Commands beside the pipeline's stages.")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name in COMMANDS:
        module = importlib.import_module(f"mnist_pipeline.commands.{name}")
        command = commands.add_parser(name, help=module.HELP, description=module.DESCRIPTION)
        module.add_arguments(command)
        command.set_defaults(run=module.run, errors=module.ERRORS)
    return parser


def main(arguments: Sequence[str] | None = None) -> None:
    """Run a command.

    Each is a module with HELP, DESCRIPTION, ``add_arguments(parser)``, ``run(args)``, which prints the answer, and
    ERRORS, the exceptions whose message is all that a person needs.
    """
    args = make_parser().parse_args(arguments)
    try:
        args.run(args)
    except args.errors as error:
        sys.exit(f"mnist {args.command}: {error}")
    except KeyboardInterrupt:
        sys.exit(f"mnist {args.command}: interrupted")


if __name__ == "__main__":
    main()
