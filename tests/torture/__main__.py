"""Run the fault suite, and write its results into docs/reliability.md.

python -m tests.torture                   all of it: about two hours on two cores
python -m tests.torture --share 0.05      a sample
python -m tests.torture kill --only "stage train" --seed 7
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
import traceback
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from random import Random

from mnist_pipeline.core.files import write_text
from mnist_pipeline.core.tables import between_marks, markdown_table, text_table
from tests.conftest import ROOT
from tests.torture.cases import FAULTS, Suite
from tests.torture.worlds import Wrong

PAGE = ROOT / "docs" / "reliability.md"
OUTCOMES = ("harmless", "recovered", "silent", "lost", "traceback", "stuck")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("faults", nargs="*", help=f"any of: {', '.join(FAULTS)} (default: all)")
    parser.add_argument("--seed", type=int, default=21, help="of the moments, files and bits (default: 21)")
    parser.add_argument("--share", type=float, default=1.0, help="of the cases (default: all)")
    parser.add_argument("--only", default="", help="rows whose name contains this")
    parser.add_argument("--number", type=int, help="only this case of each row")
    parser.add_argument("--write", action="store_true", help=f"write the table into {PAGE.relative_to(ROOT)}")
    args = parser.parse_args()
    rows = [
        (fault, name, number)
        for fault in args.faults or FAULTS
        if fault != "full disk" or os.geteuid() == 0  # mounting a file system needs to be root
        for name, times in FAULTS[fault][1].items()
        if args.only in name
        for number in range(times)
        if args.number in (None, number)
    ]
    cases = Random(args.seed).sample(rows, round(args.share * len(rows)))
    seconds = dict.fromkeys(FAULTS, 0.0)
    outcomes: Counter[tuple[str, str]] = Counter()
    with tempfile.TemporaryDirectory(prefix="torture-") as name:
        suite = Suite(Path(name))

        def run(case: tuple[str, str, int]) -> None:
            fault, row, _ = case
            started = time.monotonic()
            try:
                harmed = FAULTS[fault][0](suite, row, Random(f"{args.seed} {case}"), " ".join(map(str, case)))
                outcome = "recovered" if harmed else "harmless"
            except Wrong as wrong:
                outcome = wrong.how
                print(f"--- {case}, seed {args.seed}: {wrong}", flush=True)
            except Exception:
                outcome = "lost"
                print(f"--- {case}, seed {args.seed}: {traceback.format_exc()}", flush=True)
            seconds[fault] += time.monotonic() - started
            outcomes[fault, outcome] += 1
            done = sum(outcomes.values())
            if done % 10 == 0:
                print(f"{done} of {len(cases)} cases, {dict(outcomes)}", flush=True)

        with ThreadPoolExecutor(len(os.sched_getaffinity(0))) as pool:
            list(pool.map(run, cases))
    table = [["fault", "cases", *OUTCOMES, "seconds a case"]]
    for fault in dict.fromkeys(case[0] for case in cases):
        counts = [outcomes[fault, each] for each in OUTCOMES]
        table.append([fault, *map(str, (sum(counts), *counts)), f"{seconds[fault] / sum(counts):.1f}"])
    print(text_table(table))
    if args.write:
        content = f"Seed {args.seed}, {len(cases):,} cases:\n\n{markdown_table(table)}"
        write_text(PAGE, between_marks(PAGE.read_text("utf-8"), "torture", content))
    sys.exit(any(outcomes[key] for key in outcomes if key[1] not in OUTCOMES[:2]))


if __name__ == "__main__":
    main()
