"""The data of runs: to a worker before it runs, to DVC's remote after it, and from there to who asked for the run."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Collection, Iterable
from pathlib import Path
from typing import Any

from mnist_pipeline.cluster.jobs import Job
from mnist_pipeline.provenance.dvc import hashes_of, outputs_of, run_dvc, stages_of, with_upstream
from mnist_pipeline.provenance.git import object_hashes

BATCH = 16
"""Results whose data are pulled together."""


def pull_data(clone: Path, job: Job) -> None:
    """Fetch the data that the stages read, unless they are what was fetched last."""
    mark, needed = clone / ".git" / "pulled", data_of(clone, job.commit, job.targets)
    text = "\n".join(f"{md5} {path}" for path, md5 in needed)
    if needed and not (mark.exists() and mark.read_text("utf-8") == text):
        run_dvc(clone, "pull", "--quiet", *(path for path, _ in needed))
        mark.write_text(text, "utf-8")


def data_of(repository: Path, commit: str, targets: tuple[str, ...] = ()) -> list[tuple[str, str]]:
    """List what stages read that is in DVC's cache rather than in git, with its hash.

    Args:
        repository: of git.
        commit: whose dvc.lock counts.
        targets: the stages, with all that they build on; (): all stages.
    """
    stages = stages_of(repository, commit)
    made = outputs_of(stages)
    read = {path for stage in with_upstream(stages, targets or stages).values() for path in hashes_of(stage, "deps")}
    return [(path, made[path]) for path in _not_in_git(repository, commit, read & made.keys())]


def _not_in_git(repository: Path, commit: str, paths: Collection[str]) -> list[str]:
    return sorted(set(paths) - object_hashes(repository, commit, sorted(paths)).keys()) if paths else []


def push_data(clone: Path, job: Job, commit: str) -> None:
    """Push the data that this run made."""
    before, now = (outputs_of(stages_of(clone, each)) for each in (job.commit, commit))
    if data := _not_in_git(clone, commit, [path for path in now if now[path] != before.get(path)]):
        run_dvc(clone, "push", "--quiet", *data)


class BackgroundPull:
    """Pulls the outputs of results, a batch at a time, while other runs go on: DVC takes a while for many."""

    def __init__(self, repository: Path, origin: str) -> None:
        self._repository, self._origin = repository, origin
        self._pending: list[str] = []
        self._batch: list[str] = []
        self._process: subprocess.Popen[bytes] | None = None

    def add(self, name: str) -> None:
        """Note that a run has a result, or another one than before."""
        self._pending.append(name)

    def start(self) -> None:
        """Start to pull a batch, if one is full and no other is being pulled."""
        if self._process is not None and self._process.poll() is not None:
            self.wait()
        if self._process is None and len(self._pending) >= BATCH:
            self._batch, self._pending = self._pending, []
            command = [sys.executable, "-m", "dvc", "exp", "pull", self._origin, *self._batch]
            silent: Any = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.DEVNULL)
            self._process = subprocess.Popen(command, cwd=self._repository, **silent)

    def wait(self) -> None:
        """Wait for the batch that is being pulled; if that failed, it is pending again."""
        if self._process is not None and self._process.wait():
            self._pending += self._batch
        self._process = None

    def pull_rest(self) -> None:
        """Pull what is pending; call ``wait`` first."""
        fetch_data(self._repository, self._origin, self._pending)


def fetch_data(repository: Path, origin: str, names: Iterable[str]) -> None:
    """Fetch the outputs of experiments from DVC's remote."""
    if wanted := list(names):
        run_dvc(repository, "exp", "pull", origin, *wanted)
