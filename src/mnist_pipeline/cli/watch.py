"""``mnist watch``: what runs now, live."""

from __future__ import annotations

import argparse
import shutil
import textwrap
import time
from collections.abc import Collection, Sequence
from contextlib import suppress
from pathlib import Path
from threading import Thread

from mnist_pipeline.core.errors import PipelineError
from mnist_pipeline.core.progress import DONE, RunStatus, read_progress
from mnist_pipeline.core.tables import text_table
from mnist_pipeline.provenance.dvc import Queue, read_queue
from mnist_pipeline.provenance.recovery import CLONES

DESCRIPTION = (
    "Show what runs now, in the workspace, with --temp, in DVC's queue, and here for ladders and sweeps: for each run "
    "the stage, how much of the training is done, the loss of the last batches, and the validation accuracy after each "
    "epoch. Ctrl-C ends this command, and no run."
)
REFRESH_SECONDS = 0.5
QUEUE_SECONDS = 10.0  # between two questions to DVC, which computes for half a second to answer
SECONDS_BETWEEN_STAGES = 15.0  # a run that ended a stage so recently still runs
SECONDS_SHOWN, MOST_ENDED = 3600.0, 8  # of runs that ended
LONGEST_NAME = 16


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("--once", action="store_true", help="print once and end, as without a terminal")


def run(args: argparse.Namespace) -> None:
    """Print once, or again and again until Ctrl-C."""
    from rich.console import Console
    from rich.live import Live
    from rich.text import Text

    here, console = Path.cwd(), Console()
    if args.once or not console.is_terminal:
        queue = read_queue(here)  # takes a second or more, after which what was read before it would be wrong
        print(view(_known(here), queue, time.time()))
        return
    queues = [Queue()]
    Thread(target=_keep_asking, args=(here, queues), daemon=True).start()
    with suppress(KeyboardInterrupt), Live(console=console, auto_refresh=False) as live:
        while True:
            live.update(Text(view(_known(here), queues[-1], time.time())), refresh=True)
            time.sleep(REFRESH_SECONDS)


def _known(repository: Path) -> list[RunStatus]:
    """Return the runs of this folder, and of the clones in which ladders and sweeps run."""
    folders = [repository, *(lock.with_suffix("") for lock in (repository / CLONES).glob("*.lock"))]
    return [status for folder in folders for status in read_progress(folder).values()]


def _keep_asking(repository: Path, queues: list[Queue]) -> None:
    while True:
        with suppress(PipelineError):  # another command of DVC has locked it
            queues[:] = [read_queue(repository)]
        time.sleep(QUEUE_SECONDS)


def view(runs: Collection[RunStatus], queue: Queue, now: float) -> str:
    """Return what is shown of the known runs and of DVC's queue at a time (``time.time()``)."""
    width = shutil.get_terminal_size().columns
    running = [each for each in runs if _runs(each, now)]
    parts = [_running(running, now, width)] if running else []
    if waiting := [task.name for task in queue.with_state("Queued")]:
        more = f" and {len(waiting) - 5} more" if len(waiting) > 5 else ""
        parts.append(f"Queued: {', '.join(waiting[:5])}{more}")
        parts += [] if queue.workers else ["No worker of the queue runs; start two: dvc queue start -j 2"]
    elif not running:
        parts.append("Nothing runs. Start: dvc repro, or dvc exp run -n adam -S model.optimizer=adam")
    recent = [each for each in runs if each not in running and now - each.seen < SECONDS_SHOWN]
    ended = [_end(each, now) for each in sorted(recent, key=lambda each: -each.seen)]
    names = {each.run for each in runs}
    failed = [task for task in queue.with_state("Failed") if task.name not in names]
    ended += [f"{task.name}: failed: {task.reason}" for task in failed]
    parts += ["\n".join(textwrap.fill(line, width, subsequent_indent="  ") for line in ended[:MOST_ENDED])]
    return "\n\n".join(parts).rstrip()


def _runs(status: RunStatus, now: float) -> bool:
    return status.alive if not status.ended else status.ended == DONE and now - status.seen < SECONDS_BETWEEN_STAGES


def _running(runs: Collection[RunStatus], now: float, width: int) -> str:
    from tqdm import tqdm

    names, places = [each.run[:LONGEST_NAME] for each in runs], [_place(each) for each in runs]
    room = max(14, min(40, (width - 21 - max(map(len, names)) - max(map(len, places))) // 2))  # for a bar, and a curve
    form = "{percentage:3.0f} % {bar} {remaining}"
    rows = [["run", "stage", "training", "loss", "validation accuracy"]]
    for each, name, place in sorted(zip(runs, names, places, strict=True), key=lambda row: row[1]):
        seconds, before = now - each.began, each.batch_before
        meter = tqdm.format_meter(each.batch, each.batches, seconds, room, bar_format=form, initial=before)
        loss = "" if each.loss is None else f"{each.loss:.4f}"
        accuracy = f"{each.accuracies[-1]:.4f} {curve(each.accuracies, room)}" if each.accuracies else ""
        rows.append([name, place, meter if each.epochs else "", loss, accuracy])
    return text_table(rows)


def curve(values: Sequence[float], width: int) -> str:
    """Return values as blocks from the lowest to the highest; of more than ``width``, as many at equal distances."""
    if len(values) > width:
        values = [values[round(place * (len(values) - 1) / (width - 1))] for place in range(width)]
    low, high = min(values), max(values)
    return "".join("▁▂▃▄▅▆▇█"[round(7 * (value - low) / (high - low)) if high > low else 3] for value in values)


def _place(status: RunStatus) -> str:
    return f"{status.stage} {status.epoch}/{status.epochs}" if status.epochs else status.stage


def _end(status: RunStatus, now: float) -> str:
    seconds = now - status.seen
    ago = f"{seconds:.0f} s ago" if seconds < 60 else f"{seconds / 60:.0f} min ago"
    if status.ended not in ("", DONE):
        return f"{status.run}: failed in {_place(status)} {ago}: {status.ended}"
    how = f"ended after {status.stage}" if status.ended else f"was killed in {_place(status)}"
    accuracy = f", validation accuracy {status.accuracies[-1]:.4f}" if status.accuracies else ""
    return f"{status.run}: {how} {ago}{accuracy}"
