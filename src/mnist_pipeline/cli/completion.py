"""``mnist completion``: completion for shells."""

from __future__ import annotations

import argparse

DESCRIPTION = (
    "Print a script that completes mnist commands in your shell. For bash: mnist completion bash > "
    "~/.local/share/bash-completion/completions/mnist. For zsh: into a file _mnist in a folder of $fpath."
)

SHELLS = ("bash", "zsh", "tcsh")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("shell", choices=SHELLS)


def run(args: argparse.Namespace) -> None:
    """Print the script."""
    import shtab

    from mnist_pipeline.cli.main import make_parser

    print(shtab.complete(make_parser(), args.shell))
