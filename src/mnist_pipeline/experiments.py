"""The runs of the ladder as experiments of DVC: what is done, what is to do, and DVC's own queue to do it."""

from __future__ import annotations

import hashlib
import json
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

from mnist_pipeline.ladder import Ladder, Run
from mnist_pipeline.layout import LOCK, PARAMS
from mnist_pipeline.lockfile import parse_lock, stages_of
from mnist_pipeline.revisions import experiments, list_experiments, resolve

DECISIVE_STAGES = ("train", "evaluate")
"""The stages whose inputs say whether an experiment still stands for its run."""

SECONDS_FOLDER = Path(".scratch/ladder")
"""Where it is kept, outside git, how long a run trained."""

POLL_SECONDS = 1.0
LOST_AFTER_SECONDS = 30.0
MOST_RESTARTS = 3
LOG_LINES = 12


class ExperimentError(RuntimeError):
    """Experiments cannot be run here."""


@dataclass(frozen=True)
class Outcome:
    """How a run ended.

    Attributes:
        run: which.
        commit: of the experiment; None: it failed.
        seconds: how long it trained; None: not known, since DVC had its result at hand, or it failed.
        log: the end of what it printed, if it failed.
    """

    run: Run
    commit: str | None
    seconds: float | None
    log: str = ""


def check_ready(repository: Path) -> None:
    """See that experiments made now are of the commit, and that they find the data.

    Raises:
        ExperimentError: something that git tracks is changed, or the data was never prepared here.
    """
    changed = _run(repository, "git", "status", "--porcelain", "--untracked-files=no")
    if changed:
        files = ", ".join(line[3:] for line in changed.splitlines())
        raise ExperimentError(f"an experiment would take uncommitted changes with it; commit or stash first: {files}")
    for out in stages_of(repository, resolve(repository, "HEAD"))["validate"]["outs"]:
        if not Path(repository, out["path"]).exists():
            raise ExperimentError(f"{out['path']} is not here, and each experiment would make it anew; run dvc repro")


def finished(repository: Path, ladder: Ladder, runs: list[Run]) -> dict[Run, str]:
    """The experiments that stand for runs: of their name, with the code, data and params of now; their commits."""
    stages = parse_lock((repository / LOCK).read_text("utf-8"), LOCK)
    now = {name: _content_of_deps(repository, stages[name]) for name in DECISIVE_STAGES}
    known = experiments(repository)
    found = {}
    for run in runs:
        wanted = ladder.params_of(run).model_dump(mode="json")
        for commit in known.get(run.name, []):
            if _stands(repository, commit, now, wanted):
                found[run] = commit
                break
    return found


def _content_of_deps(repository: Path, stage: dict[str, Any]) -> dict[str, str]:
    """The MD5 of each dependency of a stage: of code as it is now, of data as the lock has it; of the model, none."""
    return {
        dep["path"]: dep["md5"]
        if dep["path"].startswith("data/")
        else hashlib.md5((repository / dep["path"]).read_bytes(), usedforsecurity=False).hexdigest()
        for dep in stage["deps"]
        if not dep["path"].startswith("models/")
    }


def _stands(repository: Path, commit: str, now: dict[str, dict[str, str]], wanted: dict[str, Any]) -> bool:
    locked = stages_of(repository, commit)
    for name, deps in now.items():
        stage = locked.get(name)
        if stage is None:
            return False
        theirs = {dep["path"]: dep["md5"] for dep in stage["deps"]}
        if any(theirs.get(path) != md5 for path, md5 in deps.items()):
            return False
        for section, values in stage.get("params", {}).get(PARAMS, {}).items():
            if values != wanted.get(section):
                return False
    return True


def run_all(repository: Path, ladder: Ladder, runs: list[Run], jobs: int) -> Iterator[Outcome]:
    """Run experiments through DVC's queue and give each outcome as it comes.

    What stands in the queue already, from a call that was interrupted, is waited for and not queued again. When an
    experiment is done, older ones of its name are removed.
    """
    from dvc.repo import Repo

    with Repo(str(repository)) as repo:
        queue = repo.experiments.celery_queue
        dead = _dead_entries(repository, queue)
        watch = _Watch(repository, queue, runs, jobs, ignored=set(dead))
        waiting = {entry.name for entry in [*queue.iter_queued(), *queue.iter_active()] if entry.stash_rev not in dead}
        for number, run in enumerate(runs, start=1):
            if run.name not in waiting:
                _queue(repository, ladder, run)
            if number in (jobs, len(runs)):  # the first start at once: queueing a hundred takes a minute
                _start_workers(repository, jobs)
        while watch.left:
            time.sleep(POLL_SECONDS)
            yield from watch.ended()


class _Watch:
    """Waits for runs that are in the queue.

    Attributes:
        left: the runs that have not ended, by name.
    """

    def __init__(self, repository: Path, queue: Any, runs: list[Run], jobs: int, ignored: set[str]) -> None:
        self.left = {run.name: run for run in runs}
        self._repository = repository
        self._queue = queue
        self._before = {commit for commits in experiments(repository).values() for commit in commits}
        self._failed_before = ignored | {done.entry.stash_rev for done in queue.iter_failed()}
        self._jobs = jobs
        self._idle_since: float | None = None
        self._restarts = 0

    def ended(self) -> Iterator[Outcome]:
        """The runs that ended since the last call."""
        known = experiments(self._repository)
        for name in list(self.left):
            if new := [commit for commit in known.get(name, []) if commit not in self._before]:
                _remove_others(self._repository, name, new[0])
                seconds = _note_seconds(self._repository, self._queue, name, new[0])
                yield Outcome(self.left.pop(name), new[0], seconds)
        for done in list(self._queue.iter_failed()):
            if done.entry.stash_rev not in self._failed_before and done.entry.name in self.left:
                log = _log_end(self._queue, done.entry.stash_rev)
                yield Outcome(self.left.pop(done.entry.name), None, None, log)
        if self._is_lost():
            for name in list(self.left):
                reason = "it left the queue without a result; see .dvc/tmp/exps/celery/*.out"
                yield Outcome(self.left.pop(name), None, None, reason)

    def _is_lost(self) -> bool:
        """Whether nothing has run for so long that no result will come; workers that died are started again."""
        queued = any(True for _ in self._queue.iter_queued())
        if any(not _is_dead(self._queue, entry) for entry in self._queue.iter_active()):
            self._idle_since = None
            return False
        self._idle_since = self._idle_since or time.monotonic()
        if time.monotonic() - self._idle_since < LOST_AFTER_SECONDS:
            return False
        if queued and self._restarts < MOST_RESTARTS:
            self._restarts += 1
            self._idle_since = None
            _start_workers(self._repository, self._jobs)
            return False
        return True


def _queue(repository: Path, ladder: Ladder, run: Run) -> None:
    rung = ladder.rungs[run.rung]
    settings = [word for setting in ladder.settings(run) for word in ("--set-param", setting)]
    message = f"{rung.title} (seed {run.seed}): {rung.why}"
    _run(repository, "dvc", "exp", "run", "--queue", "--name", run.name, "--message", message, *settings)


def _start_workers(repository: Path, jobs: int) -> None:
    # No pipe for its output: the workers would inherit it, and reading it would wait for their end.
    command = [sys.executable, "-m", "dvc", "queue", "start", "--jobs", str(jobs)]
    ran = subprocess.run(command, cwd=repository, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False)
    if ran.returncode:
        raise ExperimentError(f"{' '.join(command[2:])} ended with {ran.returncode}; run it to see why")


def _dead_entries(repository: Path, queue: Any) -> list[str]:
    """The entries whose process is gone though DVC takes them for running, as after a power cut; DVC is told."""
    dead = [entry for entry in queue.iter_active() if _is_dead(queue, entry)]
    for entry in dead:
        _run(repository, "dvc", "queue", "kill", "--force", entry.stash_rev)
    return [entry.stash_rev for entry in dead]


def _is_dead(queue: Any, entry: Any) -> bool:
    """Whether the process of an experiment that DVC takes for running is gone."""
    process = queue.proc.get(entry.stash_rev)
    if process is None:  # being set up, by a worker
        return not queue.worker_status()
    try:
        return bool(psutil.Process(process.pid).status() == psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return True


def _remove_others(repository: Path, name: str, commit: str) -> None:
    """Remove the experiments of a name but one, so that the name stands for it alone."""
    for each in list_experiments(repository):
        if each.name == name and each.commit != commit:
            _run(repository, "git", "update-ref", "-d", each.ref, each.commit)


def _note_seconds(repository: Path, queue: Any, name: str, commit: str) -> float | None:
    """How long training took, from what the run printed; kept for later reports."""
    for done in queue.iter_success():
        if done.entry.name == name and done.result is not None:
            found = re.findall(r"^train: \d+ epochs in ([0-9.]+) s$", _log(queue, done.entry.stash_rev), re.MULTILINE)
            if found:
                folder = repository / SECONDS_FOLDER
                folder.mkdir(parents=True, exist_ok=True)
                (folder / f"{commit}.json").write_text(json.dumps({"seconds": float(found[-1])}), "utf-8")
                return float(found[-1])
    return None


def seconds_of(repository: Path, commit: str) -> float | None:
    """How long an experiment trained here; None: not known."""
    path = repository / SECONDS_FOLDER / f"{commit}.json"
    return float(json.loads(path.read_text("utf-8"))["seconds"]) if path.exists() else None


def _log(queue: Any, stash_rev: str) -> str:
    process = queue.proc.get(stash_rev)
    if process is None or not Path(process.stdout).exists():
        return ""
    return Path(process.stdout).read_text("utf-8", errors="replace")


def _log_end(queue: Any, stash_rev: str) -> str:
    lines = [line for line in _log(queue, stash_rev).splitlines() if line.strip()]
    return "\n".join(lines[-LOG_LINES:]) or "it failed before its first stage; see .dvc/tmp/exps/celery/*.out"


def _run(repository: Path, *command: str) -> str:
    words = [sys.executable, "-m", *command] if command[0] == "dvc" else list(command)
    ran = subprocess.run(words, cwd=repository, capture_output=True, text=True, check=False)
    if ran.returncode:
        raise ExperimentError(f"{' '.join(command[:3])}: {(ran.stderr or ran.stdout).strip()}")
    return ran.stdout
