"""Slow: real training that goes on elsewhere, and a sample of the failures of benchmarks/failures.py."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.repository import Repository, git, make_repository

pytestmark = pytest.mark.slow


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    """The pipeline on tiny data, pushed to a bare origin and a folder as DVC's remote."""
    repository = make_repository(tmp_path / "mine", tmp_path / "data")
    repository.run(f"dvc remote add -q --default store {tmp_path / 'store'}")
    repository.commit("A remote")
    repository.run("git init -q --bare -b main ../origin && git remote add origin ../origin")
    repository.run("git push -q origin main && dvc push -q")
    return repository


def test_a_run_whose_worker_is_killed_goes_on_elsewhere_to_the_same_bits(repository: Repository) -> None:
    folder = repository.path.parent
    commit = git(repository.path, "rev-parse", "HEAD")
    command = f"mnist work long-1 --commit {commit} --origin {folder / 'origin'} -S train.epochs=400 -S train.seed=1"
    with_checkpoints = f"{command} --checkpoints {folder / 'shared'}"
    running = repository.start(f"{with_checkpoints} --clones {folder / 'first'} --worker first")
    kept = folder / "shared" / "checkpoints"
    while not list(kept.rglob("*.safetensors")):
        assert running.poll() is None
    os.killpg(running.pid, signal.SIGKILL)
    running.communicate()
    assert "published" in repository.run(f"{with_checkpoints} --clones {folder / 'second'} --worker second")
    (log,) = (folder / "second").glob("*.log")
    assert "train: resuming at epoch" in log.read_text()
    assert not list(kept.rglob("*.safetensors"))
    assert "confirmed" in repository.run(f"{command} --again --clones {folder / 'third'} --worker third")


def test_a_sweep_gives_the_same_winner_however_it_is_run(repository: Repository) -> None:
    (repository.path / "sweep.yaml").write_text(
        "name: tiny\ntrials: 4\nspace:\n  optimizers.sgd.learning_rate: {log: [0.01, 100.0]}\n"
        "halving: {param: train.epochs, values: [1, 2]}\nconfirm: 2\n"
    )
    repository.commit("A sweep")
    clone = Repository(repository.path.with_name("clone"))
    git(repository.path, "clone", "-q", ".", str(clone.path))
    clone.run("dvc pull -q")
    interrupted = clone.start("exec env --default-signal=INT mnist sweep run sweep.yaml --jobs 1")
    while "[1/4]" not in (interrupted.stdout.readline() if interrupted.stdout else ""):
        assert interrupted.poll() is None
    interrupted.send_signal(signal.SIGINT)
    interrupted.communicate(timeout=60)
    assert interrupted.returncode == 130
    printed = [each.run(f"mnist sweep run sweep.yaml --jobs {jobs}") for each, jobs in ((repository, 2), (clone, 1))]
    tables = [text[text.index("trial ") :] for text in printed]
    assert tables[0] == tables[1] == repository.run("mnist sweep report sweep.yaml")
    assert "With 2 fresh seeds, on the validation set: best " in tables[0]
    assert "Best: -S optimizers.sgd.learning_rate=" in tables[0]
    assert "diverged" in tables[0]
    trials = json.loads(repository.run("mnist runs --json --filter 'tiny-0*'"))
    assert {each["test_accuracy"] for each in trials} == {None}  # the test accuracy at hand is that of another model
    settings = tables[0].partition("Best: ")[2].splitlines()[0]
    repository.run(f"dvc exp run -q -n best {settings}")


@pytest.mark.skipif(os.geteuid() != 0, reason="network namespaces need root")
def test_a_sample_of_failures_loses_nothing() -> None:
    cases = ["kill-worker", "kill-driver", "store-down", "falsified"]
    command = [sys.executable, "-m", "benchmarks.failures", *cases, "-n", "1", "--check"]
    subprocess.run(command, cwd=Path(__file__).parents[2], check=True)
