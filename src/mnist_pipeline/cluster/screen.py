"""The progress of all runs: one screen on a terminal, else a line for each run that ends; and a summary at the end."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from rich.console import Console, Group
from rich.live import Live
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from mnist_pipeline.cluster.jobs import JobState, Result
from mnist_pipeline.cluster.origin import WAITS
from mnist_pipeline.core.files import write_json

SHOWN = 16
"""Runs that are shown while they run; others are counted."""


class Screen:
    """Shows runs as they start and end.

    Args:
        total: number of runs.
        describe: says in a few words what a run gave.
        dashboard: address of Dask's; empty: there is none.
    """

    def __init__(self, total: int, describe: Callable[[Result], str], dashboard: str = "") -> None:
        self._total, self._describe, self._dashboard = total, describe, dashboard
        self._says: dict[str, tuple[str, str, float]] = {}  # run: worker, what it says, since when
        self._ended = self._failed = 0
        self._began = time.monotonic()
        self._console = Console(highlight=False, soft_wrap=True)
        eta = TextColumn("{task.fields[left]}")
        self._bar = Progress(TextColumn("runs"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), eta)
        self._task = self._bar.add_task("runs", total=total, left="")
        self._live = Live(console=self._console, auto_refresh=False, transient=True)

    def __enter__(self) -> Screen:
        if self._console.is_terminal:
            self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._live.stop()

    def on_event(self, event: Any) -> None:
        """Take what a run says; an event of Dask's topic."""
        said = event[1] if isinstance(event, (tuple, list)) else event
        if isinstance(said, Mapping):
            since = self._says.get(said["run"], ("", "", time.monotonic()))[2]
            self._says[said["run"]] = (said["who"], said["says"], since)
            if said["says"].startswith(WAITS) and not self._live.is_started:
                self._console.print(escape(f"{said['run']} on {said['who']}: {said['says']}"))

    def result(self, state: JobState, result: Result) -> None:
        """Show how a run ended."""
        self._says.pop(result.name, None)
        final = state.result is result
        self._ended += final
        prefix = f"[{min(self._ended, self._total):>{len(str(self._total))}}/{self._total}] {result.name:<24}"
        match result.status:
            case "failed" | "different" | "refused":
                self._failed += final
                what = "FAILED" if final else f"{result.status} on {result.worker or 'its worker'}"
                log = "\n".join(f"    {line}" for line in result.log.splitlines())
                line = f"{prefix} {what}; the end of its log:\n{log}"
            case "confirmed" if not final:
                line = f"{prefix} confirmed by {result.worker}"
            case _:
                line = f"{prefix} {self._describe(result)}"
        self._console.print(escape(line))

    def tick(self, running: Collection[str]) -> None:
        """Draw the screen."""
        if not self._live.is_started:
            return
        table = Table("run", "worker", "since", "", box=None, padding=(0, 2, 0, 0))
        shown = [name for name in running if name in self._says]
        for name in shown[:SHOWN]:
            worker, says, since = self._says[name]
            table.add_row(name, worker, f"{time.monotonic() - since:.0f} s", says)
        elapsed = time.monotonic() - self._began
        left = elapsed / self._ended * (self._total - self._ended) if self._ended else None
        eta = "" if left is None else f"about {left / 60:.0f} min left" if left > 90 else f"about {left:.0f} s left"
        self._bar.update(self._task, completed=self._ended, left=eta)
        rest = f"{len(shown) - SHOWN} more; " if len(shown) > SHOWN else ""
        foot = f"{rest}{self._failed} failed" + (f"; {self._dashboard}" if self._dashboard else "")
        self._live.update(Group(table, self._bar, foot), refresh=True)


def print_trust(states: Iterable[JobState], distrusted: Mapping[str, str], refusing: Mapping[str, str]) -> None:
    """Print which results were made twice, and which workers got no more runs."""
    for worker, why in distrusted.items():
        print(f"{worker} gave other bits than two others, and what it published is set aside: {why}")
    for worker, why in refusing.items():
        print(f"{worker} takes no runs: {why}")
    if confirmed := [state.job.name for state in states if state.confirmed_by]:
        print(f"{len(confirmed)} made twice, by different workers, with equal hashes: {', '.join(confirmed)}")


def write_summary(path: Path, states: Iterable[JobState], workers: Mapping[str, Mapping[str, str]]) -> None:
    """Write what happened, as JSON: each run with all its attempts, and workers that got no more runs, with why."""
    runs = {
        state.job.name: {
            "status": state.result.status if state.result else "missing",
            "worker": state.result.worker if state.result else None,
            "confirmed_by": state.confirmed_by,
            "attempts": [asdict(each) for each in state.attempts],
        }
        for state in states
    }
    write_json(path, {"runs": runs, **workers})
