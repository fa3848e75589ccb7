"""``mnist work``: one run in a clone of this machine, whose result goes to git's origin."""

from __future__ import annotations

import argparse
import os
import signal
import sys
import threading
from dataclasses import asdict, replace
from pathlib import Path

from mnist_pipeline.cluster.jobs import LOCAL, Job, Locations
from mnist_pipeline.cluster.origin import origin_of
from mnist_pipeline.cluster.session import Options
from mnist_pipeline.cluster.work import work
from mnist_pipeline.core.errors import PipelineError
from mnist_pipeline.core.files import write_json
from mnist_pipeline.core.hardware import usable_cores
from mnist_pipeline.provenance.paths import PARAMS

DESCRIPTION = (
    "Run one experiment in a clone that is kept for such runs, push its data and publish it at git's origin, unless "
    "it is there. For clusters without Dask: an array job of SLURM, a Job of Kubernetes, ssh. docs/scale-out.md has "
    "examples."
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("name", metavar="RUN", help="RUNG-SEED of experiments.yaml, such as adam-3; with -S: any name")
    parser.add_argument("--commit", required=True, metavar="SHA", help="from which the experiment starts")
    parser.add_argument("--origin", metavar="URL", help="git's address of the repository (default: origin of this one)")
    parser.add_argument("-S", "--set-param", action="append", default=[], metavar="KEY=VALUE", help="change a setting")
    parser.add_argument("--target", action="append", default=[], metavar="STAGE", help="run it and what it builds on")
    parser.add_argument("-m", "--message", default="", help="what the experiment's commit says")
    parser.add_argument("--again", action="store_true", help="run it even if it is published, and compare every file")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write what became of it, for a program")
    parser.add_argument("--worker", default="", metavar="NAME", help="of this worker (default: the host)")
    parser.add_argument("--store", metavar="FOLDER", help="use this folder as DVC's remote")
    parser.add_argument("--with-parent", action="store_true", help="end when standard input is closed")
    add_location_arguments(parser)


def add_location_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments that all commands have which run on workers."""
    parser.add_argument("--clones", metavar="FOLDER", help="for the clones of a worker (default: in the user's cache)")
    parser.add_argument(
        "--checkpoints",
        metavar="PLACE",
        help="a folder that all workers see, or a DVC remote: runs that were killed go on from there",
    )
    parser.add_argument(
        "--any-numerics", action="store_true", help="allow numerics whose bits depend on the machine, which is recorded"
    )


def add_worker_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of commands that dispatch runs."""
    parser.add_argument(
        "--scheduler", default=LOCAL, metavar="ADDRESS", help="of Dask, such as tcp://host:8786 (default: local)"
    )
    parser.add_argument(
        "--jobs",
        type=at_least_one,
        default=usable_cores(),
        metavar="N",
        help="how many at once (default: one per core)",
    )
    parser.add_argument(
        "--repeat",
        type=_share,
        default=0.0,
        metavar="SHARE",
        help="of the runs to do twice, on different workers, and compare; and the first run of each worker",
    )
    parser.add_argument("--origin", metavar="URL", help="git's address for the workers (default: of the remote origin)")
    add_location_arguments(parser)


def options_of(args: argparse.Namespace) -> Options:
    """Return what ``add_worker_arguments`` parsed."""
    locations = Locations(args.origin or "", args.clones, None, args.checkpoints, args.any_numerics)
    return Options(args.scheduler, args.jobs, args.repeat, locations)


def at_least_one(text: str) -> int:
    """Parse a positive whole number."""
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"must be 1 or more, was {text}")
    return number


def _share(text: str) -> float:
    number = float(text)
    if not 0 <= number <= 1:
        raise argparse.ArgumentTypeError(f"must be a share from 0 to 1, was {text}")
    return number


def run(args: argparse.Namespace) -> None:
    """Run it; exit status 1 if there is no result, or one that differs."""
    if args.with_parent:
        threading.Thread(target=_end_with_parent, daemon=True).start()
    origin = args.origin or origin_of(Path.cwd())
    origin = str(Path(origin).resolve()) if Path(origin).exists() else origin  # the clone is elsewhere
    locations = Locations(origin, args.clones, args.store, args.checkpoints, args.any_numerics)
    job = Job(args.name, args.commit, tuple(args.set_param), tuple(args.target), args.message)
    complete = None if args.set_param or args.target else _of_ladder
    result = work(job, locations, _report, again=args.again, worker=args.worker, complete=complete)
    if args.json:
        write_json(args.json, asdict(result))
    if result.status in ("failed", "refused", "different"):
        raise PipelineError(f"{result.name} {result.status}\n{result.log}")
    print(f"{result.name}: {result.status}, {result.commit}, by {result.worker}")


def _of_ladder(clone: Path, job: Job) -> Job:
    """Return a run with the settings that experiments.yaml gives it."""
    from mnist_pipeline.ladder.spec import EXPERIMENTS, load_ladder  # a tenth of a second

    ladder = load_ladder(clone / EXPERIMENTS, clone / PARAMS)
    rung, _, seed = job.name.rpartition("-")
    run = ladder.runs([rung], int(seed) + 1 if seed.isdecimal() else 1)[-1]
    return replace(job, settings=tuple(ladder.settings(run)), message=job.message or ladder.message(run))


def _report(what: str) -> None:
    print(f"> {what}", flush=True)


def _end_with_parent() -> None:
    sys.stdin.buffer.read()
    os.kill(os.getpid(), signal.SIGTERM)
