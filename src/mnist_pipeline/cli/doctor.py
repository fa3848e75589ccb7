"""``mnist doctor``: whether anything in the workspace, in DVC's cache or in git is damaged."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path

from mnist_pipeline.provenance.recovery import Finding, alone, at_work, left_by_kills

DESCRIPTION = (
    "Compare every output and its copy in DVC's cache with dvc.lock, and every other file with git; find what killed "
    "commands left. Say what is wrong and what to do. Exit status 1 if something is wrong and not repaired."
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("--fix", action="store_true", help="repair what can be repaired without a loss")
    parser.add_argument("--quick", action="store_true", help="only what kills left in the files of DVC and git")


def run(args: argparse.Namespace) -> None:
    """Print what is wrong, and repair it."""
    here, wrong = Path.cwd(), 0
    with alone(here, "mnist doctor") if args.fix else nullcontext():
        for each in _examined(here, args):
            repair = each.fix if args.fix else None
            print(f"{each.problem}: {'with --fix, ' if each.fix and not repair else ''}{each.remedy}", flush=True)
            if repair is None:
                wrong += 1
            else:
                repair()
    if wrong:
        sys.exit(1)
    if not args.quick:
        print("Outputs, DVC's cache and files of git are what they must be.")


def _examined(here: Path, args: argparse.Namespace) -> Iterator[Finding]:
    """Find what kills left; all else after that is repaired, since dvc must work for it."""
    found = [] if at_work(here) else list(left_by_kills(here))
    yield from found
    if not args.quick and (args.fix or not found):
        from mnist_pipeline.provenance.doctor import examine

        yield from examine(here)
