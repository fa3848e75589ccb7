"""``mnist ladder``: run the improvements of experiments.yaml as experiments, and report what each was worth."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

from mnist_pipeline import layout

DESCRIPTION = (
    "Run the rungs of experiments.yaml as experiments of DVC, through its queue, and report what each improvement "
    "was worth and whether it is real."
)

LADDER, PARAMS = Path("experiments.yaml"), Path(layout.PARAMS)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Say what the command takes."""
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    running = actions.add_parser(
        "run",
        help="run what is not done yet",
        description="Run rungs as experiments, each seed one. What is done with the same code, data and settings is "
        "not run again; what an interrupted call left in DVC's queue goes on. Exit status 1 if any failed.",
    )
    running.add_argument("rungs", nargs="*", metavar="RUNG", help="rungs of experiments.yaml; all by default")
    running.add_argument("--seeds", type=_at_least_one, metavar="N", help="seeds 0 to N-1, whatever the file says")
    running.add_argument(
        "--jobs", type=_at_least_one, default=_cores(), metavar="N", help="how many at once; default: one a core"
    )
    reporting = actions.add_parser(
        "report",
        help="write the table, the picture and the README's section",
        description="Gather the experiments that stand for the rungs of now into metrics/ladder_runs.csv, and from it "
        "write metrics/ladder.csv, metrics/figures/ladder.png and the ladder's sections of README.md. Runs that are "
        "recorded there and were not made here are kept.",
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
    from mnist_pipeline.experiments import ExperimentError
    from mnist_pipeline.ladder import LadderError
    from mnist_pipeline.record import RecordError
    from mnist_pipeline.revisions import RevisionError
    from mnist_pipeline.yaml12 import YamlError

    try:
        if args.action == "run":
            _run(args.rungs, args.seeds, args.jobs)
        else:
            _report(quiet=args.quiet)
    except (LadderError, ExperimentError, RecordError, RevisionError, YamlError, OSError) as error:
        sys.exit(f"mnist ladder {args.action}: {error}")
    except KeyboardInterrupt:
        sys.exit(
            "\nmnist ladder: interrupted; what runs and what is queued goes on in DVC's queue. Call it again to wait "
            "for the rest, or end it with dvc queue stop --kill"
        )


def _run(rungs: list[str], seeds: int | None, jobs: int) -> None:
    from mnist_pipeline.experiments import Outcome, check_ready, finished, run_all
    from mnist_pipeline.ladder import load_ladder
    from mnist_pipeline.record import read_runs
    from mnist_pipeline.remaining import Remaining

    here = Path.cwd()
    ladder = load_ladder(LADDER, PARAMS)
    runs = ladder.runs(rungs, seeds)
    check_ready(here)
    done = finished(here, ladder, runs)
    left = [each for each in runs if each not in done]
    print(f"{len(runs)} runs, {len(done)} of them done already, {jobs} at once", flush=True)
    if not left:
        return
    remaining = Remaining({run.rung: run.seconds for run in read_runs() if run.seconds is not None}, left, jobs)
    failed: list[Outcome] = []
    for number, outcome in enumerate(run_all(here, ladder, left, jobs), start=1):
        remaining.note(outcome.run, outcome.seconds)
        place = f"[{number:>{len(str(len(left)))}}/{len(left)}] {outcome.run.name:<24}"
        if outcome.commit is None:
            failed.append(outcome)
            print(f"{place} FAILED; the end of its log:\n{_indented(outcome.log)}", flush=True)
        else:
            print(f"{place} {_accuracy(here, outcome.commit)}  {remaining}", flush=True)
    if failed:
        sys.exit(
            f"mnist ladder run: {len(failed)} of {len(left)} failed: {', '.join(each.run.name for each in failed)}; "
            "call it again to run them anew"
        )


def _accuracy(repository: Path, commit: str) -> str:
    import json

    from mnist_pipeline.revisions import read_file

    metrics = json.loads(read_file(repository, commit, layout.TEST_METRICS))
    return f"test accuracy {metrics['accuracy']:.4f}"


def _indented(text: str) -> str:
    return "\n".join(f"    {line}" for line in text.splitlines())


def _report(*, quiet: bool) -> None:
    from mnist_pipeline.ladder import load_ladder
    from mnist_pipeline.record import gather, read_runs, write_runs
    from mnist_pipeline.report import describe, write_report

    ladder = load_ladder(LADDER, PARAMS)
    runs = gather(Path.cwd(), ladder, read_runs())
    write_runs(runs)
    standings = write_report(ladder, runs)
    if not quiet:
        print(describe(standings))
