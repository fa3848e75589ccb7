"""``mnist reset`` and ``mnist doctor``: the workspace as the last commit has it, and nothing in it damaged."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace

from mnist_pipeline.core.errors import PipelineError
from mnist_pipeline.provenance.paths import LOCK, PARAMS
from mnist_pipeline.provenance.recovery import Finding, alone, at_work, left_by_kills
from mnist_pipeline.provenance.reset import Plan, go_back, plan_reset

RESET = (
    f"Go back to the last commit after experiments: {PARAMS}, {LOCK}, and all that the stages write. Asks first if "
    "settings or results would be lost that no experiment and no commit has. Other files stay as they are."
)
DOCTOR = (
    "Compare every output and its copy in DVC's cache with dvc.lock, and every other file with git; find what killed "
    "commands left. Say what is wrong and what to do. Exit status 1 if something is wrong and not mended."
)


def _add_reset_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("-y", "--yes", action="store_true", help="do not ask")


def _run_reset(args: argparse.Namespace) -> None:
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


def _add_doctor_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("--fix", action="store_true", help="mend what can be mended without a loss")
    parser.add_argument("--quick", action="store_true", help="only what kills left in the files of DVC and git")


def _run_doctor(args: argparse.Namespace) -> None:
    """Print what is wrong, and mend it."""
    here, wrong = Path.cwd(), 0
    with alone(here, "mnist doctor") if args.fix else nullcontext():
        for each in _examined(here, args):
            mend = each.fix if args.fix else None
            print(f"{each.problem}: {'with --fix, ' if each.fix and not mend else ''}{each.remedy}", flush=True)
            if mend is None:
                wrong += 1
            else:
                mend()
    if wrong:
        sys.exit(1)
    if not args.quick:
        print("Outputs, DVC's cache and files of git are what they must be.")


def _examined(here: Path, args: argparse.Namespace) -> Iterator[Finding]:
    """Find what kills left; all else after that is mended, since dvc must work for it."""
    found = [] if at_work(here) else list(left_by_kills(here))
    yield from found
    if not args.quick and (args.fix or not found):
        from mnist_pipeline.provenance.doctor import examine

        yield from examine(here)


reset = SimpleNamespace(DESCRIPTION=RESET, add_arguments=_add_reset_arguments, run=_run_reset)
doctor = SimpleNamespace(DESCRIPTION=DOCTOR, add_arguments=_add_doctor_arguments, run=_run_doctor)
