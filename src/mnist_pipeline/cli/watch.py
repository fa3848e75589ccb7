"""``mnist watch``: what runs now, live."""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from mnist_pipeline.core.errors import PipelineError
from mnist_pipeline.core.progress import DONE, RunStatus, read_progress
from mnist_pipeline.provenance.dvc import QueueStatus, Task, failure_reasons, used_queue_status

if TYPE_CHECKING:
    from rich.console import RenderableType

DESCRIPTION = (
    "Show what runs now: the workspace, experiments in folders of their own, and DVC's queue. Each run has a line with "
    "its stage, the share of its training that is done, the loss of the last batches, and the validation accuracy "
    "after each epoch. Ctrl-C ends watching, and no run."
)
REFRESH_SECONDS = 0.5
QUEUE_SECONDS = 15.0  # between two questions to DVC, which takes half a second of computing to answer
SECONDS_BETWEEN_STAGES = 10.0  # a run that ended a stage so recently still runs
SECONDS_SHOWN = 3600.0  # what ended longer ago is not shown
MOST_ENDED = 8
BLOCKS = "▁▂▃▄▅▆▇█"

Queue = tuple[QueueStatus, dict[Task, str]]
"""DVC's queue, and why tasks in it failed."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("--once", action="store_true", help="print once and end, as without a terminal")


def run(args: argparse.Namespace) -> None:
    """Print once, or again and again until Ctrl-C."""
    from rich.console import Console
    from rich.live import Live

    here, console = Path.cwd(), Console(highlight=False)
    if args.once or not console.is_terminal:
        with console.capture() as captured:
            console.print(view(read_progress(here), _ask(here), time.time(), console.width))
        print("\n".join(line.rstrip() for line in captured.get().splitlines()))
        return
    queue: Queue = QueueStatus([], 0), {}
    asked, running, answer = 0.0, None, None
    with suppress(KeyboardInterrupt), ThreadPoolExecutor(1) as pool, Live(console=console, auto_refresh=False) as live:
        while True:
            runs, now = read_progress(here), time.time()
            if answer is not None and answer.done():
                queue, answer = _answer(answer, queue), None
            names = {each.run for each in runs if _runs(each, now)}
            if answer is None and (names != running or now - asked > QUEUE_SECONDS):
                running, asked, answer = names, now, pool.submit(_ask, here)
            live.update(view(runs, queue, now, console.width), refresh=True)
            time.sleep(REFRESH_SECONDS)


def _ask(repository: Path) -> Queue:
    status = used_queue_status(repository)
    return status, failure_reasons(repository, status.with_state("Failed"))


def _answer(asked: Future[Queue], before: Queue) -> Queue:
    try:
        return asked.result()
    except PipelineError:  # another command of DVC holds a lock
        return before


def _runs(status: RunStatus, now: float) -> bool:
    return status.alive if not status.ended else status.ended == DONE and now - status.seen < SECONDS_BETWEEN_STAGES


def view(runs: Sequence[RunStatus], queue: Queue, now: float, width: int) -> RenderableType:
    """Return what is shown.

    Args:
        runs: those that are known, the one that wrote last first.
        queue: of DVC.
        now: as ``time.time()``.
        width: of the terminal.
    """
    from rich.console import Group

    status, reasons = queue
    running = [each for each in runs if _runs(each, now)]
    parts: list[RenderableType] = [_running(running, now, width)] if running else []
    if waiting := [task.name for task in status.with_state("Queued")]:
        hint = "" if status.workers or status.with_state("Running") else ". No worker runs: dvc queue start -j 2"
        parts.append(f"{len(waiting)} queued: {_names(waiting)}{hint}")
    elif not running:
        parts.append("Nothing runs. Start: dvc repro, or dvc exp run -n adam -S model.optimizer=adam")
    ended = [(each.run, _end(each), now - each.seen) for each in runs if each not in running]
    ended = [each for each in ended if each[-1] < SECONDS_SHOWN]
    known = {each.run for each in runs}
    failed = [(task.name, f"failed: {reason}", None) for task, reason in reasons.items() if task.name not in known]
    if lines := [*ended, *failed][:MOST_ENDED]:
        parts.append(_ended(lines))
    return Group(*(each for part in parts for each in (part, "")))


def _running(runs: Sequence[RunStatus], now: float, width: int) -> RenderableType:
    from rich.progress_bar import ProgressBar
    from rich.table import Table
    from tqdm import tqdm

    table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim")
    for name in ("run", "stage", "", "left", "loss", "validation", ""):
        table.add_column(name, no_wrap=True, max_width=24 if name == "run" else None)
    stages = {each.run: f"{each.stage} {each.epoch}/{each.epochs}" if _trains(each) else each.stage for each in runs}
    room = width - 40 - min(24, max(map(len, stages))) - max(map(len, stages.values()))  # for bar and curve
    for each in sorted(runs, key=lambda each: each.run):
        left = each.seconds_left if _trains(each) else None
        table.add_row(
            each.run,
            stages[each.run],
            ProgressBar(1, each.share, width=max(8, min(30, room // 2))) if _trains(each) else "",
            "" if left is None else tqdm.format_interval(max(0, left - (now - each.seen))),
            f"{each.loss:.4f}" if _trains(each) and each.loss is not None else "",
            f"{each.accuracies[-1]:.4f}" if each.accuracies else "",
            curve(each.accuracies, max(8, min(40, room // 2))),
        )
    return table


def _trains(status: RunStatus) -> bool:
    return status.epochs > 0 and not status.ended


def curve(values: Sequence[float], width: int) -> str:
    """Return values as blocks from the lowest to the highest; of more than ``width``, as many at equal distances."""
    if len(values) > width:
        values = [values[round(place * (len(values) - 1) / (width - 1))] for place in range(width)]
    span = max(values, default=0.0) - min(values, default=0.0)
    return "".join(BLOCKS[round(7 * (value - min(values)) / span) if span else 3] for value in values)


def _end(status: RunStatus) -> str:
    accuracy = f", validation accuracy {status.accuracies[-1]:.4f}" if status.accuracies else ""
    if status.ended == DONE:
        return f"ended after {status.stage}{accuracy}"
    place = f"{status.stage}, epoch {status.epoch}/{status.epochs}" if status.epochs else status.stage
    return f"{'failed' if status.ended else 'was killed'} in {place}{f': {status.ended}' if status.ended else accuracy}"


def _ended(lines: Sequence[tuple[str, str, float | None]]) -> RenderableType:
    from rich.table import Table

    table = Table(box=None, padding=(0, 2, 0, 0), show_header=False)
    for name, text, ago in lines:
        when = "" if ago is None else f"{ago:.0f} s ago" if ago < 60 else f"{ago / 60:.0f} min ago"
        table.add_row(name, text, when, style="dim" if text.startswith("ended") else "")
    table.columns[0].max_width, table.columns[2].no_wrap = 24, True
    return table


def _names(names: Sequence[str]) -> str:
    more = f" and {len(names) - 3} more" if len(names) > 3 else ""
    return f"{', '.join(names[:3])}{more}"
