"""The whole pipeline through DVC, in a repository of its own with tiny data, as the README has it typed."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.conftest import ROOT, synthetic_split, write_csv_file

pytestmark = pytest.mark.xdist_group("pipeline")  # one repository for all of them

COPIED = (
    "dvc.yaml",
    "requirements.lock",
    "stages",
    "src",
    ".dvc/config",
    ".dvc/plots.html",
    ".dvcignore",
    ".gitignore",
)


class Repository:
    """A clone in which commands run as a user would type them."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def run(self, command: str) -> str:
        """Run a command line, which must succeed; its standard output."""
        environment = {name: value for name, value in os.environ.items() if not name.startswith(("GIT_", "DVC_"))}
        environment |= {
            "PATH": f"{Path(sys.executable).parent}:{environment['PATH']}",
            "GIT_CONFIG_GLOBAL": os.devnull,
            **{
                f"GIT_{role}_{what}": "test@localhost" for role in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")
            },
        }
        ran = subprocess.run(
            command, shell=True, cwd=self.path, env=environment, capture_output=True, text=True, check=False
        )
        assert ran.returncode == 0, f"{command}\n{ran.stdout}\n{ran.stderr}"
        return ran.stdout

    def metrics(self) -> Any:
        return json.loads((self.path / "metrics" / "test.json").read_text("utf-8"))

    def lock(self) -> str:
        return (self.path / "dvc.lock").read_text("utf-8")


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Repository:
    """The pipeline, run once on images of 8 × 8 pixels, and committed."""
    folder = tmp_path_factory.mktemp("clone")
    for name in COPIED:
        source, target = ROOT / name, folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        if source.is_dir():
            shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__", "*.egg-info"))
        else:
            shutil.copyfile(source, target)
    data = tmp_path_factory.mktemp("data")
    write_csv_file(data / "mnist_train.csv", synthetic_split(600, seed=0))
    write_csv_file(data / "mnist_test.csv", synthetic_split(200, seed=1))
    params: Any = yaml.safe_load((ROOT / "params.yaml").read_text("utf-8"))
    params["fetch"]["sources"] = [{"kind": "folder", "path": str(data)}]
    for split in ("train", "test"):
        params["fetch"]["sha256"][split] = hashlib.sha256((data / f"mnist_{split}.csv").read_bytes()).hexdigest()
    params["csv"] |= {"image_side": 8, "rows": {"train": 600, "test": 200}}
    params["data"]["validation_size"] = 100
    params["train"] |= {"epochs": 3, "batch_size": 20}
    (folder / "params.yaml").write_text(yaml.safe_dump(params), "utf-8")
    repository = Repository(folder)
    repository.run("git init -q -b main")
    repository.run("dvc repro")
    repository.run("git add . && git commit -q -m 'First run'")
    return repository


def test_repro_learns_and_leaves_a_clean_tree(repository: Repository) -> None:
    assert repository.metrics()["accuracy"] > 0.9
    assert repository.run("git status --porcelain") == ""
    assert len((repository.path / "metrics" / "predictions.csv").read_text().splitlines()) == 201


def test_a_second_repro_has_nothing_to_do(repository: Repository) -> None:
    assert "Running stage" not in repository.run("dvc repro")


def test_a_changed_figure_does_not_retrain(repository: Repository) -> None:
    path = repository.path / "src" / "mnist_pipeline" / "figures" / "loss.py"
    before = path.read_text("utf-8")
    path.write_text(before + "\n# changed\n", "utf-8")
    status = repository.run("dvc status")
    path.write_text(before, "utf-8")
    assert status.splitlines()[0] == "plot:"
    assert "train:" not in status


def test_the_settings_of_an_optimizer_not_in_use_do_not_retrain(repository: Repository) -> None:
    path = repository.path / "params.yaml"
    before = path.read_text("utf-8")
    params = yaml.safe_load(before)
    params["optimizers"]["adam"]["learning_rate"] = 0.5
    path.write_text(yaml.safe_dump(params), "utf-8")
    unused = repository.run("dvc status")
    params["optimizers"]["sgd"]["learning_rate"] = 0.5
    path.write_text(yaml.safe_dump(params), "utf-8")
    used = repository.run("dvc status")
    path.write_text(before, "utf-8")
    assert "up to date" in unused
    assert "train:" in used


def test_an_experiment_then_its_difference_then_its_plots(repository: Repository) -> None:
    committed = repository.metrics()
    lock = repository.lock()
    repository.run("dvc exp run -S model.optimizer=adam")
    assert "optimizer: adam" in (repository.path / "params.yaml").read_text("utf-8")
    assert repository.lock() != lock

    ended = repository.metrics()
    assert ended["log_loss"] != committed["log_loss"]
    (row,) = (line.split() for line in repository.run("dvc metrics diff").splitlines() if "log_loss" in line)
    assert row[:2] == ["metrics/test.json", "log_loss"]
    assert [float(value) for value in row[2:4]] == pytest.approx([committed["log_loss"], ended["log_loss"]], abs=1e-5)

    page = Path(repository.run("dvc plots show").strip().removeprefix("file://")).read_text("utf-8")
    for title in ("Loss by epoch", "Accuracy by epoch", "Confusion on the test set", "metrics/figures/mistakes.png"):
        assert title in page
    assert "<script src" not in page

    # Back to the first run: nothing is computed again, since the run cache has it.
    repository.run("git checkout -q params.yaml metrics dvc.lock")
    assert "Running stage" not in repository.run("dvc repro")
    assert repository.run("git status --porcelain") == ""


def test_an_experiment_in_a_folder_of_its_own_runs_that_folders_code(repository: Repository) -> None:
    """An editable install points to one checkout; what DVC runs elsewhere must use its own."""
    training = repository.path / "src" / "mnist_pipeline" / "training.py"
    before = training.read_text("utf-8")
    marked = before.replace('"train_rows": len(train),', '"train_rows": 123456,')
    assert marked != before
    training.write_text(marked, "utf-8")
    repository.run("git commit -q -a -m 'A mark'")
    repository.run("dvc exp run --temp -n marked -m 'Is it this code that runs?' train")
    (experiment,) = re.findall(r"refs/exps/\S+/marked", repository.run("git for-each-ref refs/exps"))
    shown = json.loads(repository.run(f"git show {experiment}:metrics/train.json"))
    repository.run("git reset -q --hard HEAD~1")
    assert shown["train_rows"] == 123456
