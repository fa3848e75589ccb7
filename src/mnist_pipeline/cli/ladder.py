"""``mnist ladder``: run the improvements of experiments.yaml as experiments, and report what each is worth."""

from __future__ import annotations

import argparse
import json
import os
import sys
import textwrap
from pathlib import Path

from mnist_pipeline.core.errors import PipelineError
from mnist_pipeline.provenance import paths

DESCRIPTION = (
    "Run the rungs of experiments.yaml as DVC experiments, through its queue, and report what each improvement is "
    "worth and whether it is real."
)

LADDER, PARAMS = Path("experiments.yaml"), Path(paths.PARAMS)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    running = actions.add_parser(
        "run",
        help="run what is not done yet",
        description="Run rungs as experiments, one for each seed. Runs that are done with the same code, data and "
        "settings are not repeated; runs that an interrupted call left in DVC's queue continue. Exit status 1 if any "
        "failed.",
    )
    running.add_argument("rungs", nargs="*", metavar="RUNG", help="rungs of experiments.yaml; all by default")
    running.add_argument("--seeds", type=_at_least_one, metavar="N", help="run seeds 0 to N-1")
    running.add_argument(
        "--jobs", type=_at_least_one, default=_cores(), metavar="N", help="how many at once (default: one per core)"
    )
    reporting = actions.add_parser(
        "report",
        help="write the table, the figure and the page",
        description="Collect the experiments that belong to the current rungs in metrics/ladder_runs.csv, and write "
        "metrics/ladder.csv, metrics/figures/ladder.png and the tables of docs/ladder.md from it. Recorded runs that "
        "were made elsewhere are kept.",
    )
    parser.set_defaults(
        after_interrupt="queued runs continue in DVC's queue. Run the command again to wait for them, or end them with "
        "dvc queue stop --kill"
    )
    reporting.add_argument("--quiet", action="store_true", help="do not print the table")


def _at_least_one(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"must be 1 or more, was {text}")
    return number


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def run(args: argparse.Namespace) -> None:
    """Run or report."""
    if args.action == "run":
        _run(args.rungs, args.seeds, args.jobs)
    else:
        _report(quiet=args.quiet)


def _run(rungs: list[str], seeds: int | None, jobs: int) -> None:
    from tqdm import tqdm

    from mnist_pipeline.experiments.queue import check_ready, finished, run_all
    from mnist_pipeline.experiments.spec import load_ladder

    here = Path.cwd()
    ladder = load_ladder(LADDER, PARAMS)
    runs = ladder.runs(rungs, seeds)
    check_ready(here)
    done = finished(here, ladder, runs)
    left = [each for each in runs if each not in done]
    print(f"{len(runs)} runs, {len(done)} of them done, {jobs} at once", flush=True)
    if not left:
        return
    failed: list[str] = []
    with tqdm(total=len(left), unit="run", disable=None) as bar:  # on a terminal, says how long it will take
        for number, outcome in enumerate(run_all(here, ladder, left, jobs), start=1):
            place = f"[{number:>{len(str(len(left)))}}/{len(left)}] {outcome.run.name:<24}"
            if outcome.commit is None:
                failed.append(outcome.run.name)
                bar.write(f"{place} FAILED; the end of its log:\n{textwrap.indent(outcome.log, '    ')}")
            else:
                bar.write(f"{place} {_accuracy(here, outcome.commit)}")
            sys.stdout.flush()
            bar.update()
    if failed:
        raise PipelineError(f"{len(failed)} of {len(left)} failed: {', '.join(failed)}; run the command again to retry")


def _accuracy(repository: Path, commit: str) -> str:
    from mnist_pipeline.provenance.git import read_file

    metrics = json.loads(read_file(repository, commit, paths.TEST_METRICS))
    return f"test accuracy {metrics['accuracy']:.4f}"


def _report(*, quiet: bool) -> None:
    from mnist_pipeline.experiments.report import describe, write_report
    from mnist_pipeline.experiments.results import gather, read_runs, write_runs
    from mnist_pipeline.experiments.spec import load_ladder

    ladder = load_ladder(LADDER, PARAMS)
    runs = gather(Path.cwd(), ladder, read_runs())
    write_runs(runs)
    results = write_report(ladder, runs)
    if not quiet:
        print(describe(results))
