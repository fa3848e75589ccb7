"""``mnist completion``: what a shell needs to complete the words of this command."""

from __future__ import annotations

import argparse

DESCRIPTION = (
    "Print a script that completes the words of mnist in your shell. For bash: mnist completion bash > "
    "~/.local/share/bash-completion/completions/mnist. For zsh: into a file _mnist in a folder of $fpath."
)

SHELLS = ("bash", "zsh", "tcsh")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Say what the command takes."""
    parser.add_argument("shell", choices=SHELLS)


def run(args: argparse.Namespace) -> None:
    """Print the script."""
    import shtab

    from mnist_pipeline.cli import make_parser

    print(shtab.complete(make_parser(), args.shell))
