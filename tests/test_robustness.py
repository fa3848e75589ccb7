"""Kills, and two runs at once: nothing is lost or mixed, and the next `dvc repro` ends in the same bits.

Real processes at random moments, so minutes long: `make test-slow`.
"""

from __future__ import annotations

import os
import random
import re
import subprocess
import time
from contextlib import suppress

import psutil
import pytest

from tests.repository import Repository, make_repository

pytestmark = pytest.mark.slow

STAGES = ("fetch", "validate", "train", "export", "evaluate", "card", "plot")
KILLS = 50
SEED = int(os.environ.get("KILL_SEED", "20261124"))
TRAIN = "dvc repro --single-item --force train"


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


def seconds_of(repository: Repository, stage: str) -> float:
    """How long the process of a stage runs if it is left alone."""
    running = repository.start(f"dvc repro --single-item --force {stage}")
    process = stage_process(running, stage)
    started = time.monotonic()
    assert process is not None
    process.wait()
    seconds = time.monotonic() - started
    running.communicate()
    return seconds


def test_a_killed_stage_leaves_nothing_behind_that_matters(repository: Repository) -> None:
    print(f"KILL_SEED={SEED}")
    chance = random.Random(SEED)
    lock = repository.lock()
    duration = {stage: seconds_of(repository, stage) for stage in STAGES}
    killed = number = 0
    while killed < KILLS:
        assert number < 3 * KILLS, "most kills come after the end of the stage"
        stage = STAGES[number % len(STAGES)]
        number += 1
        delay = chance.uniform(0, duration[stage])
        running = repository.start(f"dvc repro --single-item --force {stage}")
        process = stage_process(running, stage)
        time.sleep(delay)
        with suppress(psutil.Error):
            if process is not None:
                process.kill()
        running.communicate()
        killed += running.returncode != 0
        where = f"kill {number} of seed {SEED}: {stage} after {delay:.3f} s"
        repository.run(f"dvc repro --single-item --force {stage}")  # DVC would take the outputs out of its cache
        repository.run("dvc repro")
        assert repository.lock() == lock, where
        assert repository.run("git status --porcelain") == "", where
        folders = [repository.path / folder for folder in ("data", "metrics", "models")]
        assert [path for folder in folders for path in folder.rglob(".*.tmp")] == [], where


def test_training_resumes_where_it_was_killed(repository: Repository) -> None:
    lock = repository.lock()
    running = repository.start(TRAIN)
    checkpoints = repository.path / ".scratch" / "train"
    while not list(checkpoints.glob("*.safetensors")):
        assert running.poll() is None
    process = stage_process(running, "train")
    assert process is not None
    process.kill()
    running.communicate()
    assert re.search(r"train: resuming at epoch \d+, batch \d+", repository.run(f"{TRAIN} 2>&1"))
    assert repository.lock() == lock
    assert not list(checkpoints.glob("*.safetensors"))


def test_two_at_once_give_one_result(repository: Repository) -> None:
    lock = repository.lock()
    both = [repository.start("dvc repro --force") for _ in range(2)]
    outputs = [each.communicate()[0] for each in both]
    assert any(each.returncode == 0 for each in both)
    assert all(each.returncode == 0 or "lock" in output for each, output in zip(both, outputs, strict=True)), outputs
    repository.run("dvc repro")
    assert repository.lock() == lock
