"""Run the benchmarks, and write the tables of benchmarks/README.md and docs/presets.md.

    python -m benchmarks.run               all sections, several hours on two cores
    python -m benchmarks.run default data  some sections
    python -m benchmarks.run --report      only the tables, from benchmarks/results/

Each section of sections.py writes its results to benchmarks/results/, with the hardware and the versions.
"""

from __future__ import annotations

import argparse
import sys

from benchmarks.processes import ARRAYS, ROOT, TABLES
from benchmarks.report import PAGE, PRESETS_PAGE, write_report
from benchmarks.results import RESULTS, write_results
from benchmarks.sections import SECTIONS


def main() -> None:
    """Run sections and write the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sections", nargs="*", help=f"any of: {', '.join(SECTIONS)} (default: all)")
    parser.add_argument("--report", action="store_true", help="only write the tables, from earlier results")
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
    print(f"The tables are in {PAGE.relative_to(ROOT)} and {PRESETS_PAGE.relative_to(ROOT)}.")


if __name__ == "__main__":
    main()
