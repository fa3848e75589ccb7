"""Measure what benchmarks/README.md states, and write it there.

    python -m benchmarks.run              everything, some hours on two cores
    python -m benchmarks.run default data  some sections
    python -m benchmarks.run --report      only the tables, from benchmarks/results/

What each section of sections.py finds goes to benchmarks/results/ with the hardware and the versions it was found on.
"""

from __future__ import annotations

import argparse
import sys

from benchmarks.processes import ARRAYS, ROOT, TABLES
from benchmarks.report import PAGE, write_report
from benchmarks.results import RESULTS, write_results
from benchmarks.sections import SECTIONS


def main() -> None:
    """Run the sections asked for and write the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sections", nargs="*", help=f"any of: {', '.join(SECTIONS)} (all by default)")
    parser.add_argument("--report", action="store_true", help="write the tables from earlier results, measure nothing")
    args = parser.parse_args()
    if unknown := set(args.sections) - set(SECTIONS):
        parser.error(f"unknown: {', '.join(unknown)}; known: {', '.join(SECTIONS)}")
    if not args.report:
        missing = [str(path) for path in (*ARRAYS.values(), *TABLES.values()) if not path.exists()]
        if missing:
            sys.exit(f"{', '.join(missing)}: run `make repro` first")
        RESULTS.mkdir(exist_ok=True)
        for name in args.sections or SECTIONS:
            print(f"{name}: {SECTIONS[name].__doc__}", flush=True)
            write_results(name, SECTIONS[name]())
    write_report()
    print(f"The table is in {PAGE.relative_to(ROOT)}.")


if __name__ == "__main__":
    main()
