"""The runs of the ladder: which are done, and (slow) running them through DVC's own queue."""

from __future__ import annotations

import hashlib
import json
import signal
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil
import pytest
import yaml

from mnist_pipeline.experiments.queue import PipelineError, check_ready, finished
from mnist_pipeline.experiments.spec import Ladder, Run, load_ladder
from mnist_pipeline.provenance.dvc import stages_of
from tests.conftest import ROOT
from tests.repository import Repository, make_repository
from tests.test_revisions import git

RUNGS = {
    "base": {"title": "Base", "why": "A start", "overrides": {"train.epochs": 1}},
    "longer": {"title": "Longer", "why": "Learns more", "builds_on": "base", "overrides": {"train.epochs": 2}},
}


def write_ladder(folder: Path, rungs: dict[str, Any]) -> None:
    (folder / "experiments.yaml").write_text(yaml.safe_dump({"seeds": 2, "rungs": rungs}, sort_keys=False), "utf-8")


def md5(path: Path) -> str:
    return hashlib.md5(path.read_bytes()).hexdigest()


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """Params, a ladder, one module, and a dvc.lock of two stages that name it."""
    git(tmp_path, "init", "-q", "-b", "main")
    (tmp_path / "params.yaml").write_bytes((ROOT / "params.yaml").read_bytes())
    write_ladder(tmp_path, RUNGS)
    (tmp_path / "train.py").write_text("print()\n")
    write_lock(tmp_path, load(tmp_path), Run("base", 0))
    git(tmp_path, "add", ".")
    git(tmp_path, "commit", "-q", "-m", "base")
    return tmp_path


def load(folder: Path) -> Ladder:
    return load_ladder(folder / "experiments.yaml", folder / "params.yaml")


def write_lock(folder: Path, ladder: Ladder, run: Run, data: str = "d" * 32) -> None:
    content = ladder.params_of(run).model_dump(mode="json")
    code = {"path": "train.py", "md5": md5(folder / "train.py")}
    stages = {
        "validate": {"outs": [{"path": "data/prepared/train.safetensors", "md5": data}]},
        "train": {
            "deps": [code, {"path": "data/prepared/train.safetensors", "md5": data}],
            "params": {"params.yaml": {name: content[name] for name in ("train", "model", "optimizers")}},
        },
        "evaluate": {"deps": [code, {"path": "models/classifier.safetensors", "md5": "any"}]},
    }
    (folder / "dvc.lock").write_text(yaml.safe_dump({"schema": "2.0", "stages": stages}), "utf-8")


def add_experiment(folder: Path, run: Run, data: str = "d" * 32) -> str:
    """An experiment as DVC leaves it: a commit of its own behind a ref, and a clean tree."""
    base = git(folder, "rev-parse", "HEAD")
    write_lock(folder, load(folder), run, data)
    git(folder, "commit", "-q", "--allow-empty", "-a", "-m", run.name)
    commit = git(folder, "rev-parse", "HEAD")
    git(folder, "update-ref", f"refs/exps/{base[:2]}/{base[2:]}/{run.name}", commit)
    git(folder, "reset", "-q", "--hard", base)
    return commit


RUN = Run("longer", 1)


def test_an_experiment_of_the_same_code_data_and_params_stands(repository: Path) -> None:
    commit = add_experiment(repository, RUN)
    assert finished(repository, load(repository), [RUN, Run("longer", 0)]) == {RUN: commit}


def test_other_code_other_data_and_other_params_do_not(repository: Path) -> None:
    add_experiment(repository, RUN)
    (repository / "train.py").write_text("print(1)\n")
    assert finished(repository, load(repository), [RUN]) == {}
    git(repository, "checkout", "-q", "train.py")
    assert finished(repository, load(repository), [RUN]) != {}

    write_lock(repository, load(repository), Run("base", 0), data="e" * 32)
    assert finished(repository, load(repository), [RUN]) == {}
    git(repository, "checkout", "-q", "dvc.lock")

    write_ladder(repository, {**RUNGS, "longer": {**RUNGS["longer"], "overrides": {"train.epochs": 3}}})
    assert finished(repository, load(repository), [RUN]) == {}


def test_a_setting_that_no_stage_reads_changes_nothing(repository: Path) -> None:
    commit = add_experiment(repository, RUN)
    path = repository / "params.yaml"
    path.write_text(path.read_text().replace("mistakes: 20", "mistakes: 30"))
    assert finished(repository, load(repository), [RUN]) == {RUN: commit}


def test_uncommitted_changes_are_refused_by_name(repository: Path) -> None:
    (repository / "train.py").write_text("print(2)\n")
    with pytest.raises(PipelineError, match=r"commit or stash first: train\.py"):
        check_ready(repository)


def test_data_that_is_not_here_is_refused(repository: Path) -> None:
    with pytest.raises(PipelineError, match=r"data/prepared/train\.safetensors is not here.*run dvc repro"):
        check_ready(repository)
    arrays = repository / "data" / "prepared" / "train.safetensors"
    arrays.parent.mkdir(parents=True)
    arrays.touch()
    check_ready(repository)


def test_the_lock_of_a_commit_is_read_as_dvc_wrote_it(repository: Path) -> None:
    commit = git(repository, "rev-parse", "HEAD")
    epsilon = stages_of(repository, commit)["train"]["params"]["params.yaml"]["optimizers"]["adam"]["epsilon"]
    assert epsilon == pytest.approx(1e-8)


@pytest.fixture(scope="module")
def clone(tmp_path_factory: pytest.TempPathFactory) -> Repository:
    """A pipeline with tiny data and a ladder of two rungs, two seeds each."""
    repository = make_repository(tmp_path_factory.mktemp("clone"), tmp_path_factory.mktemp("data"))
    write_ladder(repository.path, RUNGS)
    (repository.path / "README.md").write_text("<!-- ladder -->\n<!-- /ladder -->\n")
    repository.run("git add . && git commit -q -m 'A ladder'")
    return repository


@pytest.mark.slow
def test_an_interrupted_ladder_goes_on_and_runs_everything_once(clone: Repository) -> None:
    running = clone.start("exec mnist ladder run --jobs 1")
    assert running.stdout is not None
    for line in running.stdout:
        if "test accuracy" in line:
            break
    running.send_signal(signal.SIGINT)
    rest, _ = running.communicate(timeout=60)
    assert "goes on in DVC's queue" in rest
    assert running.returncode == 1

    again = clone.run("mnist ladder run --jobs 2")
    assert "all done" in again or "4 of them done already" in again
    refs = clone.run("git for-each-ref --format='%(refname:lstrip=4)' refs/exps").split()
    assert sorted(refs) == ["base-0", "base-1", "longer-0", "longer-1"]
    assert clone.run("mnist ladder run").splitlines() == ["4 runs, 4 of them done already, 2 at once"]


@pytest.mark.slow
def test_then_each_run_is_an_ordinary_experiment_and_the_report_shows_it(clone: Repository) -> None:
    if "longer-1" not in clone.run("git for-each-ref refs/exps"):
        clone.run("mnist ladder run")
    report = clone.run("mnist ladder report")
    assert report.splitlines()[2].startswith("longer")
    assert "| `base`: Base |" in (clone.path / "README.md").read_text("utf-8")
    assert len((clone.path / "metrics" / "ladder_runs.csv").read_text("utf-8").splitlines()) == 5
    clone.run("git checkout -q README.md && git clean -qf metrics")

    assert "longer-1" in clone.run("dvc exp show --csv --no-pager")
    assert json.loads(clone.run("mnist compare base-0 longer-0 --json"))["params"]["train.epochs"] == {
        "before": 1,
        "after": 2,
    }
    clone.run("dvc plots diff base-0 longer-0")
    clone.run("dvc exp apply longer-1")
    params = yaml.safe_load((clone.path / "params.yaml").read_text("utf-8"))
    assert (params["train"]["epochs"], params["train"]["seed"]) == (2, 1)
    clone.run("git checkout -q . && dvc checkout -q")
    clone.run("dvc exp branch longer-1 kept")
    assert "kept" in clone.run("git branch")


@pytest.mark.slow
def test_a_failure_is_shown_with_the_end_of_its_log_and_the_others_run(clone: Repository) -> None:
    overrides = {"optimizers.sgd.learning_rate": 1e30, "train.schedule": "constant"}
    broken = {"title": "Broken", "why": "Diverges", "builds_on": "base", "overrides": overrides}
    well = {"title": "Well", "why": "Does not", "builds_on": "base", "overrides": {"train.epochs": 3}}
    write_ladder(clone.path, {**RUNGS, "broken": broken, "well": well})
    clone.run("git commit -q -a -m 'A rung that fails'")
    running = clone.start("mnist ladder run broken well --seeds 1")
    printed, _ = running.communicate(timeout=120)
    assert running.returncode == 1
    assert "broken-0" in printed
    assert "FAILED; the end of its log:" in printed
    assert "lower optimizers.sgd.learning_rate" in printed
    assert "1 of 2 failed: broken-0" in printed
    assert "well-0 " in printed
    assert "well-0" in clone.run("git for-each-ref refs/exps")


def processes_below(folder: Path) -> list[psutil.Process]:
    """The processes that work in a folder."""
    return [process for process in psutil.process_iter(["cwd"]) if str(process.info["cwd"]).startswith(str(folder))]


def commands_below(folder: Path) -> list[list[str]]:
    found = []
    for process in processes_below(folder):
        with suppress(psutil.Error):
            found.append(process.cmdline())
    return found


@pytest.mark.slow
def test_after_a_power_cut_what_was_running_is_run_anew(clone: Repository) -> None:
    """Every process of the queue is killed in the middle of a run; DVC goes on to call it running."""
    slow = {"title": "Slow", "why": "Takes a while", "builds_on": "base", "overrides": {"train.epochs": 400}}
    write_ladder(clone.path, {**RUNGS, "slow": slow})
    clone.run("git commit -q -a -m 'A slow rung'")
    running = clone.start("exec mnist ladder run slow --seeds 1")
    deadline = time.monotonic() + 60
    while not any("stages/train.py" in words for words in commands_below(clone.path)):
        assert time.monotonic() < deadline
        time.sleep(0.1)
    time.sleep(1)
    for process in processes_below(clone.path):
        with suppress(psutil.Error):
            process.kill()
    running.communicate(timeout=30)
    write_ladder(clone.path, {**RUNGS, "slow": slow})
    printed = clone.run("mnist ladder run slow --seeds 1")
    assert "slow-0" in printed
    assert "test accuracy" in printed
