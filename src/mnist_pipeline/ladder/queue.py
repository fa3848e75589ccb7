"""Run what is not done of the ladder through DVC's queue."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from mnist_pipeline.core.errors import PipelineError
from mnist_pipeline.core.files import write_json
from mnist_pipeline.ladder.done import check_ready, done_with
from mnist_pipeline.ladder.spec import Ladder, Run
from mnist_pipeline.provenance.dvc import QueueStatus, Task, queue_status, run_dvc
from mnist_pipeline.provenance.git import commits_by_name, list_experiments, resolve, run_git
from mnist_pipeline.provenance.recovery import alone, exclusive

SECONDS_FOLDER = Path(".scratch/ladder")
"""Where the training time of each run is kept, outside git."""

POLL_SECONDS = 1.0
STATUS_SECONDS = 15.0  # between two calls of `dvc queue status`, which takes a second itself
LOST_AFTER_SECONDS = 30.0
MOST_RESTARTS = 3
MOST_ATTEMPTS = 30  # to queue a run
LOG_LINES = 12


@dataclass(frozen=True)
class Outcome:
    """How a run ended.

    Attributes:
        run: which.
        commit: of the experiment; None: it failed.
        seconds: of training; None: unknown, since DVC had its result in the cache, or it failed.
        log: the end of what it printed, if it failed.
    """

    run: Run
    commit: str | None
    seconds: float | None
    log: str = ""


def run_all(repository: Path, ladder: Ladder, runs: list[Run], jobs: int) -> Iterator[Outcome]:
    """Run experiments through DVC's queue and yield each outcome as it comes.

    Runs that are in the queue already, from a call that was interrupted, are waited for and not queued again. When an
    experiment is done, older ones of its name are removed.

    Raises:
        PipelineError: another call waits for the queue, or a tracked file was changed before all runs were queued.
    """
    with exclusive(repository, "ladder", "mnist ladder run"):
        with alone(repository, "mnist ladder run"):
            status = queue_status(repository)
            if not status.workers:
                for task in status.with_state("Running"):  # their process is gone, as after a power cut
                    run_dvc(repository, "queue", "kill", "--force", task.id)
                status = queue_status(repository)
            watch = _Watch(repository, ladder, runs, min(jobs, len(runs)), status)
            watch.fill_queue(status)
        while watch.left:
            time.sleep(POLL_SECONDS)
            yield from watch.ended()


class _Watch:
    """Waits for runs that are in the queue.

    Attributes:
        left: the runs that have not ended, by name.
    """

    def __init__(self, repository: Path, ladder: Ladder, runs: list[Run], jobs: int, status: QueueStatus) -> None:
        self.left = {run.name: run for run in runs}
        self._repository, self._ladder, self._jobs = repository, ladder, jobs
        self._head = resolve(repository, "HEAD")
        self._before = {commit for commits in commits_by_name(repository).values() for commit in commits}
        self._failed_before = {task.id for task in status.with_state("Failed")}
        self._asked = time.monotonic()
        self._idle_since: float | None = None
        self._restarts = 0

    def fill_queue(self, status: QueueStatus) -> None:
        """Queue the runs that are not in it, and start workers."""
        waiting = {task.name for task in [*status.with_state("Running"), *status.with_state("Queued")]}
        for number, run in enumerate(self.left.values(), start=1):
            if run.name not in waiting:
                check_ready(self._repository)
                _queue(self._repository, self._ladder, run)
            if number in (self._jobs, len(self.left)):  # the first start at once: queueing a hundred takes a minute
                _start_workers(self._repository, self._jobs)

    def ended(self) -> Iterator[Outcome]:
        """Yield the runs that ended since the last call."""
        known = commits_by_name(self._repository)
        commits = {name: [each for each in known.get(name, []) if each not in self._before] for name in self.left}
        new = {name: found[0] for name, found in commits.items() if found}  # the newest
        if not new and time.monotonic() - self._asked < STATUS_SECONDS:
            return
        self._asked = time.monotonic()
        status = queue_status(self._repository)
        tasks = {task.name: task for task in status.with_state("Success")}
        for name, commit in new.items():
            run = self.left.pop(name)
            if done_with(self._repository, self._ladder, [run], self._head).get(run) != commit:
                yield Outcome(run, None, None, "it ran with other code, data or settings than the last commit has")
                continue
            _remove_others(self._repository, name, commit)
            yield Outcome(run, commit, _keep_seconds(self._repository, tasks.get(name), commit))
        for task in status.with_state("Failed"):
            if task.id not in self._failed_before and task.name in self.left:
                yield Outcome(self.left.pop(task.name), None, None, _log_end(self._repository, task))
        if self._is_lost(status):
            for name in list(self.left):
                reason = "it left the queue without a result; see .dvc/tmp/exps/celery/*.out"
                yield Outcome(self.left.pop(name), None, None, reason)

    def _is_lost(self, status: QueueStatus) -> bool:
        """Whether no worker has run for so long that no result will come; workers that died are started again."""
        if status.workers:
            self._idle_since = None
            return False
        self._idle_since = self._idle_since or time.monotonic()
        if time.monotonic() - self._idle_since < LOST_AFTER_SECONDS:
            return False
        if status.with_state("Queued") and self._restarts < MOST_RESTARTS:
            self._restarts += 1
            self._idle_since = None
            _start_workers(self._repository, self._jobs)
            return False
        return True


def _queue(repository: Path, ladder: Ladder, run: Run) -> None:
    rung = ladder.rungs[run.rung]
    settings = [word for setting in ladder.settings(run) for word in ("--set-param", setting)]
    message = f"{rung.title} (seed {run.seed}): {rung.why}"
    for attempt in range(1, MOST_ATTEMPTS + 1):
        try:
            run_dvc(repository, "exp", "run", "--queue", "--force", "--name", run.name, "--message", message, *settings)
            return
        except PipelineError as error:
            if "is busy" not in str(error) or attempt == MOST_ATTEMPTS:  # a worker holds DVC's lock for a moment
                raise
        time.sleep(POLL_SECONDS)


def _start_workers(repository: Path, jobs: int) -> None:
    # No pipe for its output: the workers would inherit it, and reading it would wait for their end.
    command = [sys.executable, "-m", "dvc", "queue", "start", "--jobs", str(jobs)]
    ran = subprocess.run(command, cwd=repository, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False)
    if ran.returncode:
        raise PipelineError(f"{' '.join(command[2:])} ended with {ran.returncode}; run it to see why")


def _remove_others(repository: Path, name: str, commit: str) -> None:
    """Remove the experiments of a name but one, so that the name is unambiguous."""
    for each in list_experiments(repository):
        if each.name == name and each.commit != commit:
            run_git(repository, "update-ref", "-d", each.ref, each.commit)


def _keep_seconds(repository: Path, task: Task | None, commit: str) -> float | None:
    """Return how long training took, from what the run printed, and keep it for reports."""
    found = re.findall(r"^train: \d+ epochs in ([0-9.]+) s\b", _log(repository, task), re.MULTILINE)
    if not found:
        return None
    write_json(repository / SECONDS_FOLDER / f"{commit}.json", {"seconds": float(found[-1])})
    return float(found[-1])


def seconds_of(repository: Path, commit: str) -> float | None:
    """Return how long an experiment trained here; None if unknown."""
    try:
        return float(json.loads((repository / SECONDS_FOLDER / f"{commit}.json").read_bytes())["seconds"])
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _log(repository: Path, task: Task | None) -> str:
    if task is None:
        return ""
    try:
        return run_dvc(repository, "queue", "logs", task.id)
    except PipelineError:  # it failed before its first stage
        return ""


def _log_end(repository: Path, task: Task) -> str:
    lines = [line for line in _log(repository, task).splitlines() if line.strip()]
    return "\n".join(lines[-LOG_LINES:]) or "it failed before its first stage; see .dvc/tmp/exps/celery/*.out"
