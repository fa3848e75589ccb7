"""Run the fault suite, and write its results into docs/reliability.md.

python -m tests.torture                   all of it: about two hours on two cores
python -m tests.torture --share 0.05      a sample
python -m tests.torture kill --only "stage train" --seed 7

A suite that was interrupted goes on where it was, if code and seed are the same; cases that failed are tried again.
"""

from __future__ import annotations

import argparse
import hashlib
import json
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
from tests.repository import git
from tests.torture.cases import FAULTS, Suite
from tests.torture.worlds import Wrong

PAGE = ROOT / "docs" / "reliability.md"
RIGHT = ("harmless", "recovered")
OUTCOMES = (*RIGHT, "silent", "lost", "traceback", "stuck")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("faults", nargs="*", help=f"any of: {', '.join(FAULTS)} (default: all)")
    parser.add_argument("--seed", type=int, default=21, help="of the moments, files and bits (default: 21)")
    parser.add_argument("--share", type=float, default=1.0, help="of the cases (default: all)")
    parser.add_argument("--only", default="", help="rows whose name contains this")
    parser.add_argument("--number", type=int, help="only this case of each row")
    parser.add_argument("--jobs", type=int, default=len(os.sched_getaffinity(0)), help="at once (default: one a core)")
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
    code = f"{git(ROOT, 'rev-parse', 'HEAD')} {git(ROOT, 'diff', 'HEAD')}"
    journal = ROOT / ".scratch" / "torture" / f"{hashlib.sha256(code.encode()).hexdigest()[:16]}-{args.seed}.jsonl"
    journal.parent.mkdir(parents=True, exist_ok=True)
    known = [json.loads(line) for line in journal.read_text("utf-8").splitlines()] if journal.exists() else []
    ended = {tuple(case): (outcome, seconds) for case, outcome, seconds in known if outcome in RIGHT}
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
            ended[case] = outcome, time.monotonic() - started
            with journal.open("a", encoding="utf-8") as file:
                file.write(json.dumps([case, *ended[case]]) + "\n")
            done = [ended[each][0] for each in cases if each in ended]
            if len(done) % 10 == 0:
                print(f"{len(done)} of {len(cases)} cases, {dict(Counter(done))}", flush=True)

        with ThreadPoolExecutor(args.jobs) as pool:
            list(pool.map(run, [case for case in cases if case not in ended]))
    table = [["fault", "cases", *OUTCOMES, "seconds a case"]]
    for fault in dict.fromkeys(case[0] for case in cases):
        found = [ended[case] for case in cases if case[0] == fault]
        counts = Counter(outcome for outcome, _ in found)
        mean = sum(seconds for _, seconds in found) / len(found)
        table.append([fault, *map(str, (len(found), *(counts[each] for each in OUTCOMES))), f"{mean:.1f}"])
    print(text_table(table))
    if args.write:
        content = f"Seed {args.seed}, {len(cases):,} cases:\n\n{markdown_table(table)}"
        write_text(PAGE, between_marks(PAGE.read_text("utf-8"), "torture", content))
    sys.exit(any(ended[case][0] not in RIGHT for case in cases))


if __name__ == "__main__":
    main()
