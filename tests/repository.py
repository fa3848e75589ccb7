"""Repositories in which commands run as a user would type them: the pipeline with tiny data, and a simpler one."""

from __future__ import annotations

import hashlib
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from mnist_pipeline.core.numerics import PORTABLE_ENVIRONMENT
from mnist_pipeline.core.yaml import read_yaml
from mnist_pipeline.params.overrides import with_overrides
from tests.conftest import DATA_FILES, PARAMS, ROOT, synthetic_dataset, write_csv_file

COPIED_FOLDERS = ("stages", "src", ".dvc/plots")
COPIED_FILES = ("dvc.yaml", "requirements.lock", ".dvc/config", ".dvc/plots.html", ".dvcignore", ".gitignore")


LONGEST_SECONDS = 900
"""A command that takes longer hangs."""


def git(folder: Path, *arguments: str) -> str:
    """Run git, with a name for commits; what it printed."""
    identity = ["-c", "user.name=test", "-c", "user.email=test@localhost"]
    ran = subprocess.run(["git", *identity, *arguments], cwd=folder, capture_output=True, text=True, check=True)
    return ran.stdout.strip()


class Repository:
    """A clone in which commands run as a user would type them."""

    printed = ""
    """What the first run of its pipeline printed."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @property
    def environment(self) -> dict[str, str]:
        """This process's, with this Python's commands first and no settings of the user's or of tests/conftest.py."""
        unset = ("GIT_", "DVC_", *PORTABLE_ENVIRONMENT)
        environment = {name: value for name, value in os.environ.items() if not name.startswith(unset)}
        names = [f"GIT_{role}_{what}" for role in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")]
        path = f"{Path(sys.executable).parent}:{environment['PATH']}"
        others = {"PATH": path, "GIT_CONFIG_GLOBAL": os.devnull, "PYTHONFAULTHANDLER": "1"}
        return environment | dict.fromkeys(names, "test@localhost") | others

    def run(self, command: str) -> str:
        """Run a command line, which must succeed; its standard output."""
        pipes: Any = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        with subprocess.Popen(command, shell=True, start_new_session=True, **pipes, **self._options) as process:
            try:
                printed, errors = process.communicate(timeout=LONGEST_SECONDS)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGABRT)  # each Python says where it is: PYTHONFAULTHANDLER
                printed, errors = process.communicate()
        assert process.returncode == 0, f"{command}\n{printed}\n{errors}"
        return str(printed)

    def enter(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Let this process run commands here."""
        for name, value in self.environment.items():
            monkeypatch.setenv(name, value)
        monkeypatch.chdir(self.path)

    def start(self, command: str) -> subprocess.Popen[str]:
        """Start a command line and leave it running, in a process group of its own; its output is one pipe."""
        pipes: Any = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}
        return subprocess.Popen(command, shell=True, start_new_session=True, **pipes, **self._options)

    @property
    def _options(self) -> Any:
        return {"cwd": self.path, "env": self.environment, "text": True}

    def commit(self, message: str) -> str:
        """Commit everything; the hash."""
        git(self.path, "add", ".")
        git(self.path, "commit", "-q", "--allow-empty", "-m", message)
        return git(self.path, "rev-parse", "HEAD")

    def lock(self) -> str:
        return (self.path / "dvc.lock").read_text("utf-8")


def run_and_commit(folder: Path) -> Repository:
    """Make a folder with a pipeline a repository, in which it was run."""
    repository = Repository(folder)
    git(folder, "init", "-q", "-b", "main")
    repository.printed = repository.run("dvc repro")
    repository.commit("First run")
    return repository


def write_params(folder: Path, changes: dict[str, Any] | None = None) -> None:
    """Write the tests' params.yaml and data.yaml, with changes such as {"train.epochs": 1}."""
    for path in (PARAMS, DATA_FILES):
        content = read_yaml(path)
        own = {name: value for name, value in (changes or {}).items() if name.split(".")[0] in content}
        (folder / path.name).write_text(yaml.safe_dump(with_overrides(content, own)), "utf-8")


def make_repository(folder: Path, data: Path, epochs: int = 3, training: str = "") -> Repository:
    """The pipeline for images of 8 × 8 pixels, run once and committed; ``training`` is code to add to its training."""
    for name in COPIED_FOLDERS:
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__", "*.egg-info"))
    for name in COPIED_FILES:
        (folder / name).parent.mkdir(exist_ok=True)
        shutil.copyfile(ROOT / name, folder / name)
    with (folder / "src" / "mnist_pipeline" / "training" / "__init__.py").open("a", encoding="utf-8") as module:
        module.write(training)
    for name in ("own", "corrections"):
        (folder / "data" / name).mkdir(parents=True)
        (folder / "data" / name / ".gitkeep").touch()
    write_csv_file(data / "mnist_train.csv", synthetic_dataset(600, seed=0))
    write_csv_file(data / "mnist_test.csv", synthetic_dataset(200, seed=1))
    changes = {
        "fetch.sources": [{"kind": "folder", "path": str(data)}],
        "csv.image_side": 8,
        "csv.rows": {"train": 600, "test": 200},
        "data.validation_size": 100,
        "train.epochs": epochs,
        "train.batch_size": 20,
    }
    for split in ("train", "test"):
        changes[f"fetch.sha256.{split}"] = hashlib.sha256((data / f"mnist_{split}.csv").read_bytes()).hexdigest()
    write_params(folder, changes)
    shutil.copyfile(folder / "params.yaml", folder / "baseline.yaml")
    return run_and_commit(folder)


ROWS = " ".join(f"class{place % 4}" for place in range(20))
QUICK_PIPELINE = """
stages:
  evaluate:
    cmd: python code/stage.py evaluate
    deps: [code, data/prepared/train.txt, models/steps.csv]
    params: [train]
    metrics: [metrics/test_details.json: {cache: false}]
    plots: [metrics/predictions.csv: {cache: false}]
  train:
    cmd: python code/stage.py train
    deps: [code, data/prepared/train.txt]
    params: [model, optimizers, train]
    outs: [models/steps.csv]
    metrics: [metrics/train_details.json: {cache: false}]
  validate:
    cmd: python code/stage.py validate
    deps: [code, rows.txt]
    outs: [data/prepared/train.txt]
"""
QUICK_STAGE = """
import json, sys, time, yaml
from pathlib import Path

def write(path, text):
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    Path(path).write_text(text)

train = yaml.safe_load(Path("params.yaml").read_text())["train"]
rows = Path("rows.txt").read_text().split()
if sys.argv[1] == "validate":
    write("data/prepared/train.txt", " ".join(rows))
elif sys.argv[1] == "train":
    if train["epochs"] == 13:
        sys.exit("train: 13 epochs bring bad luck")
    write("models/steps.csv", "step,loss\\n" + "".join(f"{step},{train['epochs'] / step}\\n" for step in range(1, 5)))
    write("metrics/train_details.json", json.dumps({"train_rows": 256, "validation_accuracy": 0.5}))
    print(f"train: {train['epochs']} epochs in 2.5 s")
else:
    right = min(len(rows), train["epochs"] + train["seed"])
    lines = [f"{i},{row},{row if i < right else 'none'}" for i, row in enumerate(rows)]
    write("metrics/predictions.csv", "\\n".join(["index,actual,predicted", *lines, ""]))
    write("metrics/test_details.json", json.dumps({"accuracy": right / len(rows), "machine": "any"}))
"""


def make_quick_repository(folder: Path, made: list[Path] = []) -> Repository:  # noqa: B006
    """A pipeline of three stages that compute next to nothing, run once and committed; made once, then copied.

    It gets epochs + seed of 20 test samples right. With 13 epochs, training fails.
    """
    if not made:
        original = folder.with_name("quick")
        for path, text in (
            ("dvc.yaml", QUICK_PIPELINE),
            ("code/stage.py", QUICK_STAGE),
            ("rows.txt", ROWS),
            (".dvc/config", "[core]\n    analytics = false\n"),
            (".gitignore", ".scratch/\n.*.tmp\n"),
        ):
            (original / path).parent.mkdir(parents=True, exist_ok=True)
            (original / path).write_text(text, "utf-8")
        content = with_overrides(read_yaml(PARAMS), {"train.epochs": 2})
        del content["model"]["cnn"]  # as a user may do who has another architecture
        (original / "params.yaml").write_text(yaml.safe_dump(content), "utf-8")
        made.append(run_and_commit(original).path)
    shutil.copytree(made[0], folder, symlinks=True, dirs_exist_ok=True)
    return Repository(folder)


def name_experiment(folder: Path, name: str, commit: str) -> None:
    """Give a commit the ref of a DVC experiment on its parent."""
    base = git(folder, "rev-parse", f"{commit}~1")
    git(folder, "update-ref", f"refs/exps/{base[:2]}/{base[2:]}/{name}", commit)


def make_experiment(repository: Repository, name: str, changes: dict[str, Any]) -> str:
    """What DVC leaves of an experiment with other settings: a commit behind a ref, and its outputs in the cache."""
    content = with_overrides(read_yaml(repository.path / "params.yaml"), changes)
    (repository.path / "params.yaml").write_text(yaml.safe_dump(content), "utf-8")
    repository.run("dvc repro --quiet")
    commit = repository.commit(name)
    name_experiment(repository.path, name, commit)
    git(repository.path, "reset", "-q", "--hard", "HEAD~1")
    return commit
