"""Kills, full disks, and runs at once: nothing is lost or mixed, and the next `dvc repro` ends in the same bits.

Real processes at random moments, so minutes long: `make test-slow`.
"""

from __future__ import annotations

import os
import random
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import psutil
import pytest

from tests.conftest import ROOT, synthetic_dataset, write_csv_file
from tests.repository import Repository, make_repository, write_params

pytestmark = pytest.mark.slow

STAGES = ("fetch", "validate", "audit", "train", "evaluate", "card", "plot")
KILLS = 50
SEED = int(os.environ.get("KILL_SEED", "20261124"))
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


def test_make_repro_mends_the_lock_of_dvc(repository: Repository) -> None:
    """DVC writes it in place: a kill of dvc itself, or a full disk, can leave it empty."""
    (repository.path / ".dvc" / "tmp" / "rwlock").write_bytes(b"")
    failed = repository.start("dvc repro")
    assert "rwlock" in failed.communicate()[0]
    assert failed.returncode
    (command,) = re.findall(r"^\t@(find .*rwlock.*)$", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE)
    repository.run(command)
    repository.run("dvc repro")


def test_two_at_once_give_one_result(repository: Repository) -> None:
    lock = repository.lock()
    both = [repository.start("dvc repro --force") for _ in range(2)]
    outputs = [each.communicate()[0] for each in both]
    assert any(each.returncode == 0 for each in both)
    assert all(each.returncode == 0 or "lock" in output for each, output in zip(both, outputs, strict=True)), outputs
    repository.run("dvc repro")
    assert repository.lock() == lock


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 64 KiB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", folder], capture_output=True, check=False
    )
    if mounted.returncode:
        pytest.skip("mounting a file system needs to be root")
    yield folder
    subprocess.run(["umount", "--lazy", folder], check=True)


def run_stage(stage: str, folder: Path, flags: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, str(ROOT / "stages" / f"{stage}.py"), "--params", "params.yaml", *flags.split()],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Params and CSV files of 8 × 8 pixels, where stages can run without DVC."""
    rows = {"train": None, "test": None}
    write_params(tmp_path, {"csv.image_side": 8, "csv.rows": rows, "data.validation_size": 100, "train.epochs": 1})
    (tmp_path / "corrections").mkdir()
    write_csv_file(tmp_path / "train.csv", synthetic_dataset(2000))
    write_csv_file(tmp_path / "test.csv", synthetic_dataset(200, seed=1))
    return tmp_path


VALIDATE = (
    "--data-files data.yaml --train-csv train.csv --test-csv test.csv --corrections corrections "
    "--train {0}/train.safetensors --test test.safetensors "
    "--summary data.json --balance balance.csv --preview preview.png"
)
TRAIN = (
    "--scratch {0} --train train.safetensors --model {0}/m.safetensors --steps s.csv --history h.csv --metrics t.json "
    "--details d.json "
    "--validation v.csv --examples x.safetensors"
)


def test_a_full_disk_is_named_and_nothing_is_lost(folder: Path, small_disk: Path) -> None:
    earlier = small_disk / "train.safetensors"
    earlier.write_bytes(b"what was there")
    ran = run_stage("validate", folder, VALIDATE.format(small_disk))
    assert ran.returncode == 1
    assert "No space left on device" in ran.stderr
    assert "Traceback" not in ran.stderr
    assert earlier.read_bytes() == b"what was there"
    assert [path.name for path in small_disk.iterdir()] == ["train.safetensors"]

    assert run_stage("validate", folder, VALIDATE.format(".")).returncode == 0
    ran = run_stage("train", folder, TRAIN.format(small_disk))
    assert ran.returncode == 1
    assert "No space left on device" in ran.stderr
    assert [path.name for path in small_disk.iterdir()] == ["train.safetensors"]


def test_a_read_only_folder_is_named_and_nothing_is_lost(folder: Path, small_disk: Path) -> None:
    (small_disk / "train.safetensors").write_bytes(b"what was there")
    subprocess.run(["mount", "-o", "remount,ro", small_disk], check=True)
    ran = run_stage("validate", folder, VALIDATE.format(small_disk))
    assert ran.returncode == 1
    assert "Read-only file system" in ran.stderr
    assert "Traceback" not in ran.stderr
    assert (small_disk / "train.safetensors").read_bytes() == b"what was there"


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
