"""What runs now: a stage that DVC runs keeps a small file about itself, and ``mnist watch`` reads it.

DVC names its root folder and the experiment in the environment of a stage. All files are in that root, also those of
experiments that work in folders of their own (DVC's queue, ``--temp``), which DVC removes. Git ignores them.
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

FOLDER = Path(".scratch/progress")
DONE = "done"
SECONDS_BETWEEN = 1.0  # two writes, at least
SECONDS_BETWEEN_STAGES = 60.0  # of one run, at most: DVC hashes outputs meanwhile
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
        epoch: that trains, from 1, of ``epochs``; 0: nothing trains.
        batch: how many of the ``batches`` of all epochs are done.
        loss: of the last batches.
        accuracies: on the validation set, after each epoch.
        began: when this process began to train.
        batch_before: how many batches were done then, by a process that was killed.
    """

    run: str
    stage: str
    process: int
    seen: float = 0.0
    ended: str = ""
    epoch: int = 0
    epochs: int = 0
    batch: int = 0
    batches: int = 0
    loss: float | None = None
    accuracies: list[float] = field(default_factory=list)
    began: float = 0.0
    batch_before: int = 0

    @property
    def alive(self) -> bool:
        """Whether the process still runs: not another one that got its id."""
        import psutil

        with suppress(psutil.NoSuchProcess):
            process = psutil.Process(self.process)
            started = process.create_time()  # to a second or two: Linux derives it from the time of booting
            return process.status() != psutil.STATUS_ZOMBIE and bool(started < self.seen + SECONDS_BETWEEN_STAGES)
        return False


_reporting: list[tuple[Path, RunStatus]] = []
"""The file and the status of this process, if it is a stage that DVC runs."""


@contextmanager
def reported(stage: str) -> Iterator[None]:
    """Report that a stage runs, and how it ended, if DVC runs it."""
    if (root := os.environ.get("DVC_ROOT")) is None:
        yield
        return
    folder = os.path.relpath(Path.cwd(), root).strip(".").replace(os.sep, "-")
    path = Path(root) / FOLDER / f"{folder or 'workspace'}.json"
    status = RunStatus(os.environ.get("DVC_EXP_NAME") or "workspace", stage, os.getpid())
    for other, found in read_progress(Path(root)).items():
        silent = time.time() - found.seen
        if (other, found.run, found.ended) == (path, status.run, DONE) and silent < SECONDS_BETWEEN_STAGES:
            status.accuracies = found.accuracies  # of an earlier stage of this run
        elif silent > SECONDS_KEPT:
            with suppress(OSError):
                other.unlink()
    _reporting.append((path, status))
    try:
        report()
        yield
        report(ended=DONE)
    except BaseException as error:
        report(ended=str(error) or type(error).__name__)
        raise
    finally:
        _reporting.clear()


def report(**changes: Any) -> None:
    """Report fields of ``RunStatus``: written at most once a second; nothing stops if that is impossible."""
    for path, status in _reporting:
        vars(status).update(changes)
        if begins := status.epochs > 0 and not status.began:
            status.began, status.batch_before = time.time(), status.batch
        if begins or status.ended or time.time() - status.seen >= SECONDS_BETWEEN:
            status.seen = time.time()
            temporary = path.with_suffix(".tmp")
            with suppress(OSError):
                path.parent.mkdir(parents=True, exist_ok=True)
                temporary.write_text(json.dumps(asdict(status)), "utf-8")
                temporary.replace(path)  # atomic; not flushed to the disk, which would cost more than all else


def read_progress(repository: Path) -> dict[Path, RunStatus]:
    """Return the runs that are known, by their files."""
    runs = {}
    for path in (repository / FOLDER).glob("*.json"):
        with suppress(OSError, ValueError, TypeError):  # removed meanwhile, or of another version
            runs[path] = RunStatus(**json.loads(path.read_text("utf-8")))
    return runs
