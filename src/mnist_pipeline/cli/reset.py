"""``mnist reset``: the workspace as the last commit has it."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from mnist_pipeline.core.errors import PipelineError
from mnist_pipeline.provenance.paths import LOCK, PARAMS
from mnist_pipeline.provenance.recovery import alone
from mnist_pipeline.provenance.reset import Plan, go_back, plan_reset

DESCRIPTION = (
    f"Go back to the last commit after experiments: {PARAMS}, {LOCK}, and all that the stages write. Asks first if "
    "settings or results would be lost that no experiment and no commit has. Other files stay as they are."
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("-y", "--yes", action="store_true", help="do not ask")


def run(args: argparse.Namespace) -> None:
    """Ask, reset, and say what was done."""
    here = Path.cwd()
    with alone(here, "mnist reset"):
        plan = plan_reset(here)
        if not plan.tracked and not plan.data:
            print("Nothing to reset: settings and results are those of the last commit.")
        elif _agreed(plan, yes=args.yes):
            go_back(here, plan)
            print(f"Reset to the last commit ({plan.commit[:7]}): {_summary(plan)}.")
        else:
            print("Nothing was changed.")
            sys.exit(1)
    if plan.others:
        print(f"Left as they are: {', '.join(plan.others)}.")


def _agreed(plan: Plan, *, yes: bool) -> bool:
    """Return whether to go on; ask if something would be lost.

    Raises:
        PipelineError: something would be lost, and there is no terminal to ask at.
    """
    if not plan.lost or yes:
        return True
    results = any(each.startswith("results") for each in plan.lost)  # dvc exp save fails without
    keep = "dvc exp save -n NAME keeps it" if results else "dvc exp run tries it and keeps it"
    if not sys.stdin.isatty():
        raise PipelineError(f"no experiment and no commit has {'; '.join(plan.lost)}; {keep}, --yes discards it")
    print("\n  ".join(["No experiment and no commit has:", *plan.lost]))
    try:
        return input(f"Discard it? ({keep}) [y/N] ").strip().lower() in ("y", "yes")
    except EOFError:
        return False


def _summary(plan: Plan) -> str:
    named = [path for path in (PARAMS, LOCK) if path in plan.tracked]
    counts = {"result": len(plan.tracked) - len(named), "data file": len(plan.data)}
    return ", ".join([*named, *(f"{number} {what}{'s' * (number > 1)}" for what, number in counts.items() if number)])
