"""Training by several processes, on one machine and on two: the files of a single process, byte for byte."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest

from mnist_pipeline.data.dataset import save_dataset
from tests.conftest import ROOT, make_block, synthetic_dataset
from tests.repository import Repository, make_repository, write_params

pytestmark = pytest.mark.slow

OUTPUTS = ("model", "steps", "history", "metrics", "details", "validation", "examples")
SETTINGS = {
    "model.architecture": "cnn",
    "model.cnn.channels": [[4], [6, 8]],
    "data.validation_size": 92,  # the last batch is a short one
    "train.epochs": 2,
    "train.batch_size": 20,
    "train.shards": 4,
    "train.augmentation.elastic_alpha": 8,
}
TORCHRUN = (sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node")


class Training:
    """The train stage, in a folder with data of 8 × 8 pixels."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.set({})
        dataset = synthetic_dataset(600)
        blocks, groups = [make_block(dataset.labels, dataset.images)], np.arange(600, dtype=np.int32)
        save_dataset(folder / "train", blocks, dataset.classes, lambda _: {"groups": groups})

    def set(self, changes: dict[str, Any]) -> None:
        """Change settings."""
        write_params(self.folder, SETTINGS | changes)

    def start(self, name: str, *prefix: str, **environment: str) -> subprocess.Popen[str]:
        """Start the stage, by a command if one is given; its outputs go into a folder, checkpoints into another."""
        (self.folder / name).mkdir(exist_ok=True)
        flags = ["--params=params.yaml", "--scratch=scratch", "--train=train"]
        flags += [f"--{output}={name}/{output}" for output in OUTPUTS]
        return subprocess.Popen(
            [*(prefix or (sys.executable,)), str(ROOT / "stages" / "train.py"), *flags],
            cwd=self.folder,
            env={**os.environ, "OMP_NUM_THREADS": "1", **environment},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def run(self, name: str, *prefix: str, **environment: str) -> dict[str, bytes]:
        """Run the stage likewise; the content of its outputs."""
        running = self.start(name, *prefix, **environment)
        said = running.communicate()[0]
        assert running.returncode == 0, said
        return self.outputs(name)

    def outputs(self, name: str) -> dict[str, bytes]:
        """What a finished stage wrote, and nothing else."""
        assert not list((self.folder / "scratch").glob("*"))
        return {path.name: path.read_bytes() for path in (self.folder / name).iterdir()}


@pytest.fixture
def training(tmp_path: Path) -> Training:
    """The stage with a small convolutional network."""
    return Training(tmp_path)


@pytest.mark.parametrize("numerics", ["portable", "fast"])
def test_threads_and_processes_change_no_file(training: Training, numerics: str) -> None:
    training.set({"runtime.numerics": numerics})
    alone = training.run("alone")
    assert set(alone) == set(OUTPUTS)
    for threads in ("2", "4"):
        assert training.run(f"{threads} threads", OMP_NUM_THREADS=threads) == alone
    assert training.run("two", *TORCHRUN, "2") == alone
    assert training.run("two times two", *TORCHRUN, "2", OMP_NUM_THREADS="2") == alone
    assert training.run("four", *TORCHRUN, "4") == alone


def test_a_killed_training_is_resumed_by_other_numbers_of_threads_and_processes(training: Training) -> None:
    """By two processes, one of which is killed in turn, then by four threads."""
    training.set({"train.epochs": 60})
    expected = training.run("alone")
    checkpoints = training.folder / "scratch"
    for prefix in ((), (*TORCHRUN, "2")):
        seen = {path: path.stat().st_mtime_ns for path in checkpoints.glob("*.safetensors")}
        running = training.start("killed", *prefix)
        while not {path for path in checkpoints.glob("*.safetensors") if path.stat().st_mtime_ns != seen.get(path)}:
            assert running.poll() is None
            time.sleep(0.01)
        workers = psutil.Process(running.pid).children()
        (workers[-1] if workers else running).kill()
        running.communicate()
        assert running.returncode
    resumed = training.start("resumed", OMP_NUM_THREADS="4")
    assert "train: resuming at epoch" in resumed.communicate()[0]
    assert training.outputs("resumed") == expected


@pytest.fixture
def networks() -> Iterator[tuple[str, str]]:
    """Two network namespaces, as two machines, with a cable between them: 10.99.0.1 and 10.99.0.2."""
    if shutil.which("ip") is None or os.geteuid() != 0:
        pytest.skip("network namespaces need the package iproute2, and to be root")
    one, two = (f"shards-{os.getpid()}-{number}" for number in (1, 2))
    commands = f"ip netns add {one}; ip netns add {two}; ip link add cable netns {one} type veth peer cable netns {two}"
    for number, name in enumerate((one, two), start=1):
        commands += f"; ip -n {name} addr add 10.99.0.{number}/24 dev cable"
        commands += f"; ip -n {name} link set lo up; ip -n {name} link set cable up"
    try:
        subprocess.run(f"set -e; {commands}", shell=True, check=True)
        yield one, two
    finally:
        subprocess.run(f"ip netns delete {one}; ip netns delete {two}", shell=True, check=False)


def test_two_machines_reproduce_the_lock_of_one_by_dvc_and_make_worker(
    tmp_path_factory: pytest.TempPathFactory, networks: tuple[str, str]
) -> None:
    """The commands of docs/reproducibility.md. A second machine with other settings is refused."""
    folders = [tmp_path_factory.mktemp(name) for name in ("first", "data", "second")]
    first, second = make_repository(folders[0], folders[1]), Repository(folders[2] / "clone")
    first.run("dvc exp run -S train.shards=4 train && git commit -qam 'Four shards'")
    lock = first.lock()
    first.run(f"git clone -q . {second.path} && cp -r .dvc/cache {second.path}/.dvc/")
    second.run("dvc checkout data/prepared/train.safetensors models/params_checked")
    (worker,) = re.findall(r"^worker:.*\n\t\$\(RUN\) (.*)$", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE)
    variables = "WORLD_SIZE=2 MASTER_ADDR=10.99.0.1 MASTER_PORT=29500 GLOO_SOCKET_IFNAME=cable"

    def run_both() -> tuple[list[str], list[int]]:
        commands = ((first, "dvc repro --single-item --force train"), (second, worker))
        both = [
            repository.start(f"ip netns exec {networks[rank]} env {variables} RANK={rank} {command}")
            for rank, (repository, command) in enumerate(commands)
        ]
        return [running.communicate()[0] for running in both], [running.returncode for running in both]

    said, statuses = run_both()
    assert statuses == [0, 0], said
    assert first.lock() == lock
    assert not (second.path / "models" / "classifier.safetensors").exists()

    second.run("sed -i 's/seed: 0/seed: 1/' params.yaml")
    said, statuses = run_both()
    assert 0 not in statuses
    assert "train: another process of this training has ended or cannot be reached" in said[0]
    assert "train: the first process trains with other settings, data, code or packages than this one" in said[1]
