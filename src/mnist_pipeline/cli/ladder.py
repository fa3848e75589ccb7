"""``mnist ladder``: run the improvements of experiments.yaml as experiments, and report what each is worth."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from mnist_pipeline.cli.work import add_worker_arguments, at_least_one, options_of
from mnist_pipeline.cluster.session import SUMMARY, Options, Session
from mnist_pipeline.core.errors import PipelineError
from mnist_pipeline.core.files import read_csv, write_csv
from mnist_pipeline.experiments.planning import plan
from mnist_pipeline.ladder.adoption import LOG, LOG_COLUMNS, adopt
from mnist_pipeline.ladder.analysis import analyse, scores_of
from mnist_pipeline.ladder.report import describe, write_report
from mnist_pipeline.ladder.results import finished_runs, gather, read_runs, results_here, write_runs
from mnist_pipeline.ladder.spec import EXPERIMENTS, load_ladder
from mnist_pipeline.provenance.finished import forget_without, remove_others
from mnist_pipeline.provenance.git import read_file
from mnist_pipeline.provenance.paths import STEPS, TEST_DETAILS

DESCRIPTION = (
    "Run the rungs of experiments.yaml as DVC experiments, and report what each improvement is worth and whether it is "
    "real."
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    running = actions.add_parser(
        "run",
        help="run what is not done yet",
        description="Run rungs as experiments, one for each seed, here or on the workers of a Dask cluster. Runs that "
        "are done with the same code, data and settings are not repeated; those that an interrupted call began "
        "continue from their checkpoints. Exit status 1 if any failed.",
    )
    running.add_argument("rungs", nargs="*", metavar="RUNG", help="rungs of experiments.yaml; all by default")
    running.add_argument("--seeds", type=at_least_one, metavar="N", help="run seeds 0 to N-1")
    running.add_argument(
        "--until-decided",
        metavar="RUNG",
        help="run the looks that the rung declares, and stop at the first that decides",
    )
    add_worker_arguments(running)
    actions.add_parser(
        "report",
        help="write the table, the figure and the page",
        description="Collect the experiments that belong to the current rungs in metrics/ladder_runs.csv, and write "
        "metrics/ladder.csv, metrics/figures/ladder.png and the tables of docs/ladder.md from it. Recorded runs that "
        "were made elsewhere are kept.",
    )
    parser.set_defaults(after_interrupt="run the command again to go on")
    planning = actions.add_parser(
        "plan",
        help="say how many seeds detect a difference",
        description="From the runs of a rung and the rung below, say how many seeds a side detect a difference with a "
        "power of 80 %%, and whether only more test samples would help.",
    )
    planning.add_argument("rung", metavar="RUNG")
    planning.add_argument("--detect", type=_points, required=True, metavar="POINTS", help="percentage points")
    actions.add_parser(
        "adopt",
        help="keep recorded runs after a change of code that gives the same bits",
        description="Where an experiment here repeats a recorded run bit for bit, take all recorded runs of its rung "
        "as results of the code here. Each is logged in metrics/ladder_log.csv. Run one seed of every rung first: "
        "mnist ladder run --seeds 1.",
    )


def _points(text: str) -> float:
    number = float(text)
    if not 0 < number < 100:
        raise argparse.ArgumentTypeError(f"must be between 0 and 100 percentage points, was {text}")
    return number / 100


def run(args: argparse.Namespace) -> None:
    """Run, report, plan or adopt."""
    match args.action:
        case "run" if args.until_decided is not None:
            _run_until_decided(args.until_decided, options_of(args))
        case "run":
            _run(args.rungs, args.seeds, options_of(args))
        case "report":
            _report()
        case "plan":
            _plan(args.rung, args.detect)
        case "adopt":
            _adopt()


def _run_until_decided(name: str, options: Options) -> None:
    ladder = load_ladder()
    rung = ladder.rungs.get(name)
    if rung is None or rung.builds_on is None or not rung.looks:
        raise PipelineError(
            f"{name!r} must be a rung of {EXPERIMENTS} that builds on another and declares looks: [5, 10, 20]"
        )
    for seeds in rung.looks:
        _run([rung.builds_on, name], seeds, options)
        runs = gather(Path.cwd(), ladder, read_runs())
        write_runs(runs)
        change = next(each.change for each in analyse(ladder, runs) if each.name == name)
        last = seeds == rung.looks[-1]
        if change is not None and (change.decided or (last and change.tested.verdict != "inconclusive")):
            print(f"{name}: {change.tested.verdict} than {rung.builds_on}, decided at {change.runs_after} seeds")
            return
        print(f"{name}: not decided at {seeds} seeds")


def _plan(name: str, detect: float) -> None:
    ladder = load_ladder()
    rung = ladder.rungs.get(name)
    if rung is None or rung.builds_on is None:
        raise PipelineError(f"{name!r} must be a rung of {EXPERIMENTS} that builds on another")
    sides = [[run for run in read_runs() if run.rung == each] for each in (rung.builds_on, name)]
    if min(map(len, sides)) < 2:
        raise PipelineError(f"{name} and {rung.builds_on} need two recorded runs each; mnist ladder run, then report")
    found = plan(scores_of(sides[0]), scores_of(sides[1]), detect)
    wanted = f"a difference of {100 * detect:g} points between {name} and {rung.builds_on}"
    if found.seeds is None:
        print(f"No number of seeds detects {wanted}: only a test set of about {found.samples:,} samples would.")
    else:
        print(f"{found.seeds} seeds a side detect {wanted} with a power of 80 %.")


def _adopt() -> None:
    recorded = read_runs()
    runs, lines = adopt(recorded, results_here(Path.cwd(), load_ladder(), recorded))
    if not lines:
        raise PipelineError("no experiment here repeats a recorded run of other code; mnist ladder run --seeds 1")
    earlier = read_csv(LOG, dict.fromkeys(LOG_COLUMNS, str)).to_numpy().tolist() if LOG.exists() else []
    write_runs(runs)
    write_csv(LOG, LOG_COLUMNS, [*earlier, *lines])
    print(f"{len(lines)} rungs adopted, {sum(int(str(line[1])) for line in lines)} runs; see {LOG}")


def _run(rungs: list[str], seeds: int | None, options: Options) -> None:
    here = Path.cwd()
    ladder = load_ladder()
    runs = ladder.runs(rungs, seeds)
    session = Session(here, options)
    done = {run.name for run in finished_runs(here, ladder, runs)}
    jobs = [session.job(run.name, ladder.settings(run), message=ladder.message(run)) for run in runs]
    if not session.is_remote:
        forget_without(here, {job.name for job in jobs} - done, STEPS)
    where = f"{options.jobs} at once" if not session.is_remote else f"on the workers of {options.scheduler}"
    print(f"{len(runs)} runs, {len(done)} of them done, {where}", flush=True)
    states = session.run(jobs, done, lambda commit: _accuracy(here, commit), with_data=True)
    failed = [each.job.name for each in states if each.result is None or each.result.commit is None]
    remove_others(here, {each.job.name: each.result.commit for each in states if each.result and each.result.commit})
    if failed:
        raise PipelineError(
            f"{len(failed)} of {len(states)} failed: {', '.join(failed)}; {SUMMARY} has their logs; run the "
            "command again to retry"
        )


def _accuracy(repository: Path, commit: str) -> str:
    metrics = json.loads(read_file(repository, commit, TEST_DETAILS))
    return f"test accuracy {metrics['accuracy']:.4f}"


def _report() -> None:
    ladder = load_ladder()
    runs = gather(Path.cwd(), ladder, read_runs())
    write_runs(runs)
    print(describe(write_report(ladder, runs)))
