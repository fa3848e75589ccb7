"""``mnist sweep``: try settings of a space, and report what is best."""

from __future__ import annotations

import argparse
from pathlib import Path

from mnist_pipeline.cli.work import add_worker_arguments, options_of
from mnist_pipeline.cluster.data import fetch_data
from mnist_pipeline.cluster.session import Session
from mnist_pipeline.core.errors import PipelineError
from mnist_pipeline.provenance.paths import PARAMS
from mnist_pipeline.sweeps.search import Trial, confirmation, known_scores, rounds, run_trials, winner_of
from mnist_pipeline.sweeps.spec import Sweep, load_sweep

DESCRIPTION = (
    "Try settings of a space on the validation set, by successive halving, and compare the best with params.yaml as it "
    "is. The same sweep gives the same trials and the same winner on any number of workers."
)

FIGURES = Path("dvc_plots")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    running = actions.add_parser("run", help="run what is not done yet, and report", description=DESCRIPTION)
    reporting = actions.add_parser(
        "report",
        help="print the trials, what matters, and the best settings",
        description=f"Print the trials, what matters, and the best settings, and draw the trials in {FIGURES}.",
    )
    for each in (running, reporting):
        each.add_argument("sweep", type=Path, metavar="FILE", help="such as sweep.yaml; docs/scale-out.md describes it")
    add_worker_arguments(running)
    parser.set_defaults(after_interrupt="run the command again to go on")


def run(args: argparse.Namespace) -> None:
    """Run or report."""
    here = Path.cwd()
    sweep = load_sweep(args.sweep, Path(PARAMS))
    session = Session(here, options_of(args)) if args.action == "run" else None

    def scored(trials: list[Trial], what: str) -> dict[str, float]:
        if session is None:
            return known_scores(here, sweep, trials)
        print(f"{what}: {len(trials)} runs", flush=True)
        return run_trials(session, sweep, trials)

    scores: dict[str, float] = {}
    done: list[list[Trial]] = []
    for trials in rounds(sweep, scores):
        scores |= scored(trials, f"{sweep.halving.param} {trials[0].amount}")
        if missing := [trial.name for trial in trials if trial.name not in scores]:
            raise PipelineError(
                f"{len(missing)} trials are not done, such as {missing[0]}; mnist sweep run {args.sweep}"
            )
        done.append(trials)
    winner = winner_of(done[-1], scores)
    sides = confirmation(sweep, winner)
    fresh = [trial for side in sides.values() for trial in side]
    complete = len(scored(fresh, "fresh seeds")) == len(fresh)
    if session is not None and session.is_remote:
        fetch_data(here, session.locations.origin, (trial.name for trial in fresh))
    _report(sweep, done, scores, winner, sides if complete and sweep.confirm else {})


def _report(
    sweep: Sweep,
    done: list[list[Trial]],
    scores: dict[str, float],
    winner: Trial,
    sides: dict[str, list[Trial]],
) -> None:
    from mnist_pipeline.figures.style import save_figure
    from mnist_pipeline.sweeps.report import FEW, best_settings, confirmed, describe, draw_trials, importance

    print(describe(sweep, done, scores))
    if len(done[0]) >= FEW:
        shares = sorted(importance(sweep, done[0], scores).items(), key=lambda item: -item[1])
        print("Importance: " + ", ".join(f"{name} {share:.0%}" for name, share in shares))
    figure = FIGURES / f"sweep-{sweep.name}.png"
    save_figure(figure, draw_trials(sweep, done[0], scores, winner.number))
    if sides:
        print(confirmed(Path.cwd(), sides))
    print(f"Best: {best_settings(winner)}\nFigure: {figure}")
