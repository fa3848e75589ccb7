"""What runs now: a stage that DVC runs keeps a small file about itself, and ``mnist watch`` reads it.

DVC names its root folder and the experiment in the environment of each stage. All files are in that root, also those of
experiments that work in folders of their own (DVC's queue, ``--temp``), so that they are found in one place and are
still there when such a folder is gone. Git ignores them.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from mnist_pipeline.core.errors import PipelineError

FOLDER = Path(".scratch/progress")
DONE = "done"
SECONDS_BETWEEN = 1.0  # two writes
SECONDS_BETWEEN_STAGES = 60.0  # at most; DVC hashes outputs meanwhile
SECONDS_KEPT = 86_400.0


@dataclass
class RunStatus:
    """How far a run is. Times are those of ``time.time()``.

    Attributes:
        run: name of the experiment, or "workspace".
        stage: that runs, or ran last.
        process: its id.
        seen: when it last wrote.
        ended: empty while the stage runs; DONE, or else why it failed.
        epoch: that trains, from 1; 0: nothing trained yet.
        epochs: of the whole training.
        batch: batches of this epoch that are done.
        batches: of an epoch.
        loss: of the last batches.
        accuracies: on the validation set, after each epoch; empty without one.
        began: when this process began to train.
        share_before: of the training that an earlier process had done.
    """

    run: str
    stage: str
    process: int
    seen: float
    ended: str = ""
    epoch: int = 0
    epochs: int = 0
    batch: int = 0
    batches: int = 1
    loss: float | None = None
    accuracies: list[float] = field(default_factory=list)
    began: float = 0.0
    share_before: float = 0.0

    @property
    def share(self) -> float:
        """How much of the training is done, from 0 to 1."""
        return (self.epoch - 1 + self.batch / self.batches) / self.epochs if self.epochs else 0.0

    @property
    def seconds_left(self) -> float | None:
        """How long training will take from now on, if it is as fast as so far."""
        gained = self.share - self.share_before
        return (self.seen - self.began) * (1 - self.share) / gained if gained > 0 else None

    @property
    def alive(self) -> bool:
        """Whether the process that wrote this still runs; its id may have been given to another since."""
        import psutil

        try:
            process = psutil.Process(self.process)
            return process.status() != psutil.STATUS_ZOMBIE and float(process.create_time()) <= self.seen
        except psutil.NoSuchProcess:
            return False


class _Reporter:
    """Writes the progress of this process. A file that cannot be written never stops the stage."""

    def __init__(self, path: Path, status: RunStatus) -> None:
        self.path, self.status = path, status

    def update(self, changes: dict[str, Any]) -> None:
        now, trained = self.status, self.status.epochs
        vars(now).update(changes)
        if not trained and now.epochs:
            now.began, now.share_before = time.time(), now.share
        if time.time() - now.seen >= SECONDS_BETWEEN or not trained:
            self.write()

    def write(self) -> None:
        self.status.seen = time.time()
        temporary = self.path.with_suffix(".tmp")
        with suppress(OSError):
            self.path.parent.mkdir(parents=True, exist_ok=True)
            temporary.write_text(json.dumps(asdict(self.status)), "utf-8")
            temporary.replace(self.path)  # not flushed to the disk, which would cost more than all the rest


_reporters: list[_Reporter] = []
"""That of this process, if DVC started it as a stage."""


@contextmanager
def reported(stage: str) -> Iterator[None]:
    """Report that a stage runs, and how it ended, if DVC started this process."""
    root = os.environ.get("DVC_ROOT")
    if root is None:
        yield
        return
    folder = os.path.relpath(Path.cwd(), root)
    path = Path(root) / FOLDER / f"{folder.strip('.').replace(os.sep, '-') or 'workspace'}.json"
    run, now = os.environ.get("DVC_EXP_NAME") or "workspace", time.time()
    status = RunStatus(run, stage, os.getpid(), now)
    for other, found in _found(path.parent):
        if other == path and (found.run, found.ended) == (run, DONE) and now - found.seen < SECONDS_BETWEEN_STAGES:
            status.accuracies = found.accuracies  # of an earlier stage of this run
        elif now - found.seen > SECONDS_KEPT:
            other.unlink(missing_ok=True)
    reporter = _Reporter(path, status)
    reporter.write()
    _reporters.append(reporter)
    try:
        yield
        status.ended = DONE
    except BaseException as error:
        known = isinstance(error, (PipelineError, OSError))
        status.ended = str(error) if known else "interrupted" if isinstance(error, KeyboardInterrupt) else repr(error)
        raise
    finally:
        _reporters.remove(reporter)
        reporter.write()


def report(**changes: Any) -> None:
    """Report fields of ``RunStatus``; costs nothing more often than once a second."""
    for reporter in _reporters:
        reporter.update(changes)


def read_progress(repository: Path) -> list[RunStatus]:
    """Return all runs that are known, the one that wrote last first."""
    return sorted((found for _, found in _found(repository / FOLDER)), key=lambda each: -each.seen)


def _found(folder: Path) -> Iterator[tuple[Path, RunStatus]]:
    for path in sorted(folder.glob("*.json")):
        with suppress(OSError, ValueError, TypeError):  # removed meanwhile, or of another version
            yield path, RunStatus(**json.loads(path.read_text("utf-8")))
