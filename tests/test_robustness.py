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


def test_experiments_give_the_same_bits_however_they_are_run(tmp_path_factory: pytest.TempPathFactory) -> None:
    """One by one, all in a row, two at a time; each in a clone of its own, so that no cache answers for a run."""
    origin = make_repository(tmp_path_factory.mktemp("origin"), tmp_path_factory.mktemp("data"))
    results = []
    for way in ("one by one", "dvc exp run --run-all", "dvc queue start -j 2"):
        clone = Repository(tmp_path_factory.mktemp("clones") / "clone")
        origin.run(f"git clone -q . {clone.path}")
        for name, setting in (("first", "train.seed=1"), ("second", "model.optimizer=adam")):
            queue = "" if way == "one by one" else "--queue"
            clone.run(f"dvc exp run {queue} -n {name} -m 'a reason' -S {setting}")
            if not queue:
                clone.run("git checkout -q .")
        if way != "one by one":
            clone.run(way)
        deadline = time.monotonic() + 300
        while len(locks := experiment_locks(clone)) < 2 and time.monotonic() < deadline:
            time.sleep(0.5)
        results.append(locks)
    assert set(results[0]) == {"first", "second"}
    assert results[0] == results[1] == results[2]


def experiment_locks(clone: Repository) -> dict[str, str]:
    """The dvc.lock of every finished experiment, by name."""
    refs = [
        ref for ref in clone.run("git for-each-ref --format='%(refname)' refs/exps").split() if "/celery/" not in ref
    ]
    names = {ref.rpartition("/")[2]: ref for ref in refs}
    return {name: clone.run(f"git show {names[name]}:dvc.lock") for name in ("first", "second") if name in names}
