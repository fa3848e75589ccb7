"""``mnist verify``."""

from __future__ import annotations

import argparse
import sys
from dataclasses import asdict
from pathlib import Path

from mnist_pipeline.core.files import write_json
from mnist_pipeline.core.hardware import describe_machine
from mnist_pipeline.core.tables import text_table
from mnist_pipeline.provenance.paths import MACHINE
from mnist_pipeline.provenance.verify import Verification, verify

DESCRIPTION = (
    "Clone HEAD into a temporary folder, run every stage there with an empty cache, and compare each dependency, "
    "output, metric and plot with the committed dvc.lock. Exit status 1 if anything differs."
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the result there, too")
    parser.add_argument("--quiet", action="store_true", help="do not show what the stages print")
    parser.add_argument("--record", action="store_true", help=f"if all is equal, describe this machine in {MACHINE}")


def run(args: argparse.Namespace) -> None:
    """Verify, print, and exit with status 1 if anything differs."""
    result = verify(Path.cwd(), quiet=args.quiet)
    print(describe(result))
    if args.json is not None:
        content = asdict(result) | {"passed": result.passed, "first_divergence": result.first_divergence}
        write_json(args.json, content)
    if not result.passed:
        sys.exit(1)
    if args.record and result.same_bits_expected:
        write_json(Path(MACHINE), describe_machine())


def describe(result: Verification) -> str:
    """Return a table of all files, then the conclusion."""
    rows = [("stage", "file", "expected", "got", "equal")]
    rows += [
        (each.stage, each.path, (each.expected or "-")[:8], (each.got or "-")[:8], "yes" if each.equal else "NO")
        for each in result.files
    ]
    lines = [text_table(rows)]
    equal = sum(each.equal for each in result.files)
    lines += ["", f"{equal} of {len(result.files)} files equal, commit {result.commit[:10]}, {result.seconds:.0f} s."]
    if result.first_divergence is not None:
        lines.append(f"First divergence: {result.first_divergence}.")
    if not result.same_bits_expected:
        lines.append("The same bits are not to be expected here: this is no x86-64 Linux with AVX2. Metrics instead:")
        lines += [
            f"  {each.path} {each.name}: {each.expected:g} committed, {_number(each.got)} here, "
            + ("within tolerance" if each.within_tolerance else "OUTSIDE tolerance")
            for each in result.metrics
        ]
    if result.environment and not all(each.equal for each in result.files):
        lines += [
            "What differs from the machine of the committed results:",
            *(f"  {line}" for line in result.environment),
        ]
    lines.append("PASSED" if result.passed else "FAILED")
    return "\n".join(lines)


def _number(value: float | None) -> str:
    return "none" if value is None else f"{value:g}"
