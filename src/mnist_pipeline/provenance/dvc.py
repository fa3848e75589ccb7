"""Run dvc; read dvc.lock of a commit; find outputs in DVC's cache; the state of DVC's queue."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

from mnist_pipeline.core.errors import PipelineError, RevisionError
from mnist_pipeline.core.files import md5_of, write_text
from mnist_pipeline.core.yaml import parse_yaml
from mnist_pipeline.provenance.git import EXPERIMENTS, read_file, run_git
from mnist_pipeline.provenance.paths import LOCK

REASONS = Path(".scratch/queue")
"""Where the reasons of failed runs are kept: DVC takes half a second to print a log."""
PATIENCE = 20
"""Seconds that dvc has to put things back before it is killed."""


def run_dvc(repository: Path, *arguments: str) -> str:
    """Run dvc and return what it printed.

    Raises:
        PipelineError: dvc failed; the message is its own.
    """
    command = [sys.executable, "-m", "dvc", *arguments]
    ran = subprocess.run(command, cwd=repository, capture_output=True, text=True, errors="replace", check=False)
    if ran.returncode:
        raise PipelineError(f"dvc {' '.join(arguments[:2])}: {(ran.stderr or ran.stdout).strip()}")
    return ran.stdout


def with_python(environment: Mapping[str, str]) -> dict[str, str]:
    """Return an environment in which the command ``python`` of a stage is this Python."""
    return {**environment, "PATH": f"{Path(sys.executable).parent}{os.pathsep}{environment.get('PATH', '')}"}


def watch_dvc(
    repository: Path, *arguments: str, environment: Mapping[str, str] = os.environ, **options: Any
) -> subprocess.CompletedProcess[str]:
    """Run stages with dvc. If this process is ended meanwhile, dvc gets Ctrl-C, after which it puts things back.

    Args:
        repository: where it runs.
        arguments: of dvc.
        environment: of its process.
        options: of ``subprocess.Popen``.
    """
    command = [sys.executable, "-m", "dvc", *arguments]
    options |= {"cwd": repository, "env": with_python(environment), "start_new_session": True, "text": True}
    with subprocess.Popen(command, **options) as process:
        try:
            output, errors = process.communicate()
        except BaseException:
            with suppress(ProcessLookupError, subprocess.TimeoutExpired):
                os.killpg(process.pid, signal.SIGINT)
                process.wait(PATIENCE)
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            raise
    return subprocess.CompletedProcess(command, process.returncode, output, errors)


def parse_lock(text: str | bytes, name: str) -> dict[str, Any]:
    """Return the stages of a dvc.lock by name.

    Args:
        text: of the file.
        name: of the file in errors.

    Raises:
        PipelineError: it is not a dvc.lock.
    """
    stages = parse_yaml(text, name).get("stages")
    if not isinstance(stages, dict):
        raise PipelineError(f"{name}: must be a dvc.lock, which has stages")
    return stages


@cache
def stages_of(repository: Path, commit: str) -> dict[str, Any]:
    """Return the stages in the dvc.lock of a commit; read once, since a commit never changes.

    Raises:
        RevisionError: the commit has no dvc.lock.
        PipelineError: it is not a dvc.lock.
    """
    return parse_lock(read_file(repository, commit, LOCK), f"{LOCK} of {commit[:10]}")


def hashes_of(stage: Mapping[str, Any], kind: str) -> dict[str, str]:
    """Map the ``deps`` or ``outs`` of a stage in a dvc.lock to their MD5s; empty: it has none."""
    return {each["path"]: each.get("md5", "") for each in stage.get(kind, [])}


def outputs_of(stages: Mapping[str, Any]) -> dict[str, str]:
    """Map all outputs in a dvc.lock to their MD5s."""
    return {path: md5 for stage in stages.values() for path, md5 in hashes_of(stage, "outs").items()}


def with_upstream(stages: Mapping[str, Any], names: Iterable[str]) -> dict[str, Any]:
    """Return some stages of a dvc.lock, and all that they build on, in the order in which they run."""
    maker = {path: name for name, stage in stages.items() for path in hashes_of(stage, "outs")}
    found: dict[str, Any] = {}
    begun: set[str] = set()

    def add(name: str) -> None:
        begun.add(name)
        for path in hashes_of(stages[name], "deps"):
            if path in maker and maker[path] not in begun:
                add(maker[path])
        found[name] = stages[name]

    for name in names:
        if name in stages and name not in begun:
            add(name)
    return found


@cache
def cache_folder(repository: Path) -> Path:
    """Return the folder of DVC's cache."""
    return repository / run_dvc(repository, "cache", "dir").strip()


def cached_file(repository: Path, md5: str) -> Path:
    """Return where DVC's cache has a file with this hash, if it has it; DVC documents the layout."""
    return cache_folder(repository) / "files" / "md5" / md5[:2] / md5[2:]


def checked(cached: Path) -> Path:
    """Return a file of DVC's cache if its content has the MD5 that is its name; DVC itself does not look.

    Raises:
        PipelineError: it has another.
    """
    if md5_of(cached) != cached.parent.name + cached.name:
        raise PipelineError(f"{cached}: this file of DVC's cache is damaged; delete it, then dvc pull or dvc repro")
    return cached


def cached_output(repository: Path, commit: str, path: str) -> Path:
    """Return where DVC's cache has an output as it was in a commit.

    Raises:
        RevisionError: the commit has no dvc.lock, or no such output.
        PipelineError: the file is not in the cache, or damaged.
    """
    outs = outputs_of(stages_of(repository, commit))
    if path not in outs:
        raise RevisionError(f"no stage of commit {commit[:10]} has the output {path}")
    cached = cached_file(repository, outs[path])
    if not cached.exists():
        raise PipelineError(
            f"{path} of commit {commit[:10]} is not in DVC's cache; check that commit out and run dvc pull or dvc repro"
        )
    return checked(cached)


def read_output(repository: Path, commit: str, path: str) -> bytes:
    """Return the content of a file as it was in a commit: from git, or else from DVC's cache.

    Raises:
        PipelineError: neither has it.
    """
    try:
        return read_file(repository, commit, path)
    except RevisionError:
        return cached_output(repository, commit, path).read_bytes()


@dataclass(frozen=True)
class Task:
    """An entry of DVC's queue. Its state is Queued, Running, Failed or Success; ``reason`` says why it failed."""

    id: str
    name: str
    state: str
    reason: str = ""


@dataclass(frozen=True)
class Queue:
    """DVC's queue: its entries, and how many workers run one."""

    tasks: tuple[Task, ...] = ()
    workers: int = 0

    def with_state(self, state: str) -> list[Task]:
        """Return the tasks in a state."""
        return [task for task in self.tasks if task.state == state]


def read_queue(repository: Path) -> Queue:
    """Read DVC's queue. DVC is not asked, and the queue is empty, if git has no ref of a task that waits or failed."""
    if not run_git(repository, "for-each-ref", f"{EXPERIMENTS}/celery"):
        return Queue()
    queue = parse_queue(run_dvc(repository, "queue", "status"))
    with ThreadPoolExecutor(2) as pool:
        return replace(queue, tasks=tuple(pool.map(lambda task: _explained(repository, task), queue.tasks)))


def _explained(repository: Path, task: Task) -> Task:
    """Return a task with the reason if it failed: the last line of its log that is not DVC's own."""
    if task.state != "Failed":
        return task
    kept = repository / REASONS / f"{task.id}.txt"
    if not kept.exists():
        try:
            lines = [line.strip() for line in run_dvc(repository, "queue", "logs", task.id).split("\n")]
        except PipelineError:
            lines = []  # it failed before its first stage
        own = ("> ", "Running stage", "Reproducing experiment", "ERROR: failed to reproduce", "Stage '")
        meaningful = [line for line in lines if line and not line.startswith(own)]
        nothing = "it failed before its first stage; see .dvc/tmp/exps/celery/*.out"
        write_text(kept, meaningful[-1] if meaningful else nothing)
    return replace(task, reason=kept.read_text("utf-8"))


def parse_queue(text: str) -> Queue:
    """Parse what `dvc queue status` prints: a table, then a line about the workers."""
    tasks: list[Task] = []
    header = ""
    for line in text.split("\n"):
        if line.startswith("Task"):
            header = line
        elif not line.strip():
            header = ""
        elif header:
            name, created, state = (header.index(title) for title in ("Name", "Created", "Status"))
            tasks.append(Task(line[:name].strip(), line[name:created].strip(), line[state:].strip()))
    found = re.search(r"^Worker status: (\d+) active", text, re.MULTILINE)
    return Queue(tuple(tasks), int(found[1]) if found else 0)
