"""Run the benchmarks, and write the tables of benchmarks/README.md and docs/presets.md.

    python -m benchmarks.run               times: all that depends on the machine, in one go; keep it quiet
    python -m benchmarks.run quality       accuracies, audits, simulations: many hours on two cores
    python -m benchmarks.run default data  some sections of either
    python -m benchmarks.run --report      only the tables, from benchmarks/results/

Each section writes its results to benchmarks/results/, with the machine, the versions and the commit.
"""

from __future__ import annotations

import argparse
import sys
import time
import traceback

from benchmarks.processes import ARRAYS, ROOT, TABLES
from benchmarks.quality import SECTIONS as OF_QUALITY
from benchmarks.report import PAGE, PRESETS_PAGE, write_report
from benchmarks.results import QUALITY, this_machine, write_results
from benchmarks.times import SECTIONS as OF_TIME

GROUPS = {"times": OF_TIME, "quality": OF_QUALITY}
KNOWN = OF_TIME | OF_QUALITY


def main() -> None:
    """Run sections and write the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    each = "; ".join(f"{group} ({', '.join(sections)})" for group, sections in GROUPS.items())
    parser.add_argument("sections", nargs="*", default=["times"], help=f"any of: {each} (default: times)")
    parser.add_argument("--report", action="store_true", help="only write the tables, from earlier results")
    args = parser.parse_args()
    names = [name for section in args.sections for name in GROUPS.get(section, [section])]
    if unknown := set(names) - set(KNOWN):
        parser.error(f"unknown: {', '.join(sorted(unknown))}; known: {', '.join([*GROUPS, *KNOWN])}")
    if not args.report:
        missing = [str(path) for path in (*ARRAYS.values(), *TABLES.values()) if not path.exists()]
        if missing:
            sys.exit(f"{', '.join(missing)}: run `make repro` first")
        failed = [name for name in names if not measured(name)]
        if failed:
            sys.exit(f"These sections failed: {', '.join(failed)}")
    write_report()
    print(f"The tables are in {PAGE.relative_to(ROOT)} and {PRESETS_PAGE.relative_to(ROOT)}.")


def measured(name: str) -> bool:
    """Run a section and write its results; return whether it succeeded: after an error, the others still run."""
    section, started = KNOWN[name], time.perf_counter()
    print(f"{name}: {section.__doc__}", flush=True)
    try:
        write_results(this_machine() if name in OF_TIME else QUALITY, name, section())
    except Exception:
        traceback.print_exc()
        return False
    print(f"  {time.perf_counter() - started:.0f} s", flush=True)
    return True


if __name__ == "__main__":
    main()
