"""Training resumes after a kill, and experiments give the same bits however they are run; tests/torture has more."""

from __future__ import annotations

import re
import subprocess
import time
from contextlib import suppress

import psutil
import pytest

from tests.repository import Repository, make_repository

pytestmark = pytest.mark.slow

REPRO_TRAIN = "dvc repro --single-item --force train"


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Repository:
    return make_repository(tmp_path_factory.mktemp("clone"), tmp_path_factory.mktemp("data"), epochs=30)


def stage_process(parent: subprocess.Popen[str], stage: str) -> psutil.Process | None:
    """The Python process of a stage below a process, once there is one; None if it ended without."""
    while parent.poll() is None:
        with suppress(psutil.Error):
            for process in psutil.Process(parent.pid).children(recursive=True):
                with suppress(psutil.Error):
                    if process.cmdline()[1:2] == [f"stages/{stage}.py"]:
                        return process
        time.sleep(0.005)
    return None


def test_training_resumes_where_it_was_killed(repository: Repository) -> None:
    lock = repository.lock()
    running = repository.start(REPRO_TRAIN)
    checkpoints = repository.path / ".scratch" / "train"
    while not list(checkpoints.glob("*.safetensors")):
        assert running.poll() is None
    process = stage_process(running, "train")
    assert process is not None
    process.kill()
    running.communicate()
    assert re.search(r"train: resuming at epoch \d+, batch \d+", repository.run(f"{REPRO_TRAIN} 2>&1"))
    assert repository.lock() == lock
    assert not list(checkpoints.glob("*.safetensors"))


SETTINGS = {"first": "train.seed=1", "second": "model.optimizer=adam"}


def test_experiments_give_the_same_bits_however_they_are_run(tmp_path_factory: pytest.TempPathFactory) -> None:
    """One by one, all in a row, two at a time; each in a clone of its own, so that no cache answers for a run."""
    origin = make_repository(tmp_path_factory.mktemp("origin"), tmp_path_factory.mktemp("data"))

    def new_clone() -> Repository:
        clone = Repository(tmp_path_factory.mktemp("clones") / "clone")
        origin.run(f"git clone -q . {clone.path}")
        return clone

    one_by_one = new_clone()
    for name, setting in SETTINGS.items():
        one_by_one.run(f"dvc exp run -n {name} -m 'a reason' -S {setting}")
        one_by_one.run("git checkout -q .")
    expected = experiment_locks(one_by_one)
    assert set(expected) == set(SETTINGS)
    for command in ("dvc exp run --run-all", "dvc queue start -j 2"):
        clone = new_clone()
        for _ in range(3):  # DVC's queue loses a run now and then, before it begins: dvc#10673
            run_in_queue(clone, command)
            if set(experiment_locks(clone)) == set(SETTINGS):
                break
        assert experiment_locks(clone) == expected, queue_report(clone)


def run_in_queue(clone: Repository, command: str) -> None:
    """Queue the experiments that have no result, and have DVC's workers run them, until none waits or runs."""
    for name in SETTINGS.keys() - experiment_locks(clone).keys():
        clone.run(f"dvc exp run --queue -n {name} -m 'a reason' -S {SETTINGS[name]}")
    log = ".dvc/tmp/queue.log"
    clone.run(f"{command} > {log} 2>&1 || (cat {log}; false)")  # a pipe would stay open as long as a worker lives
    deadline = time.monotonic() + 120
    while re.search("Running|Queued", clone.run("dvc queue status")) and time.monotonic() < deadline:
        time.sleep(1)
    for path in clone.path.glob(".dvc/tmp/exps/celery/*.pid"):  # one of two workers may never hear that it is to end
        with suppress(psutil.Error):
            worker = psutil.Process(int(path.read_text("utf-8")))
            if "queue-worker" in worker.cmdline():
                worker.kill()


def queue_report(clone: Repository) -> str:
    """What DVC says of its queue, and what its workers and experiments printed last."""
    logs = [clone.run(f"dvc queue logs {name} 2>&1 || true") for name in SETTINGS]
    workers = [path.read_text("utf-8") for path in sorted(clone.path.glob(".dvc/tmp/exps/celery/*.out"))]
    return "\n".join([clone.run("dvc queue status"), *(each[-3000:] for each in logs + workers)])


def experiment_locks(clone: Repository) -> dict[str, str]:
    """The dvc.lock of every finished experiment, by name."""
    refs = clone.run("git for-each-ref --format='%(refname)' refs/exps").split()
    names = {ref.rpartition("/")[2]: ref for ref in refs if "/celery/" not in ref}
    return {name: clone.run(f"git show {names[name]}:dvc.lock") for name in SETTINGS if name in names}
