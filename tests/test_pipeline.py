"""The whole pipeline through DVC, in a repository of its own with tiny data, with the commands of the documentation."""

from __future__ import annotations

import csv
import json
import re
import sys
from pathlib import Path

import pytest

from mnist_pipeline.core.yaml import read_yaml
from tests.repository import Repository, make_repository

MARK = """
import atexit, json, os, sys

def report():
    slow = [name for name in ("sklearn", "torch._dynamo") if name in sys.modules and "cleanlab" not in sys.modules]
    import threadpoolctl, torch
    pools = [pool["num_threads"] for pool in threadpoolctl.threadpool_info()]
    capability = torch.backends.cpu.get_cpu_capability()
    print("seen:", json.dumps([torch.get_num_threads(), *pools, capability, os.environ.get("MKL_CBWR"), slow]))

atexit.register(report)
"""


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Repository:
    return make_repository(tmp_path_factory.mktemp("clone"), tmp_path_factory.mktemp("data"), training=MARK)


def test_repro_learns_and_leaves_a_clean_tree(repository: Repository) -> None:
    assert json.loads((repository.path / "metrics" / "test.json").read_text())["test_accuracy"] > 0.9
    audited = json.loads((repository.path / "metrics" / "audit.json").read_text())
    assert audited["small_class"] == {"train": 0, "test": 10}  # of 60 and of 20 rows
    assert repository.run("git status --porcelain") == ""
    assert len((repository.path / "metrics" / "predictions.csv").read_text().splitlines()) == 201


def test_the_code_of_the_folder_trains_with_portable_numerics(repository: Repository) -> None:
    """The package is installed from another folder, as in the folders in which DVC's queue runs."""
    seen = re.findall(r"^seen: (.*)", repository.printed, re.MULTILINE)
    assert seen  # by training, and by the processes of the audit that ended by themselves
    for line in seen:
        *threads, capability, mkl, slow = json.loads(line)
        assert set(threads) == {1}
        assert slow == []  # each takes a second to import, and nothing needs it
        assert capability in ("AVX2", "DEFAULT")
        assert mkl == "COMPATIBLE"


@pytest.mark.parametrize(
    ("path", "old", "new", "stages"),
    [
        ("src/mnist_pipeline/figures/loss.py", "def ", "\n\ndef ", {"validate", "audit", "plot"}),
        ("params.yaml", "mistakes: 20", "mistakes: 3", {"check", "check_data", "plot", "card"}),
        ("params.yaml", "learning_rate: 0.2", "learning_rate: 0.5", {"check", "check_data", "train", "plot", "card"}),
    ],
)
def test_a_change_reruns_the_stages_that_read_it(
    repository: Repository, path: str, old: str, new: str, stages: set[str]
) -> None:
    file = repository.path / path
    before = file.read_text("utf-8")
    file.write_text(before.replace(old, new, 1), "utf-8")
    status = json.loads(repository.run("dvc status --json"))
    file.write_text(before, "utf-8")
    assert set(status) == stages


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (
            "learning_rate: 0.2",
            "learning_rate: none",
            "optimizers.sgd.learning_rate must be a number, was 'none'",
        ),
        (
            "corrections: null",
            "corrections: no.csv",
            "corrections must be a file of data/corrections or null",
        ),
        ("batch_size: 20", "batch_size: 501", "train.batch_size must be at most the 500 training rows, was 501"),
        ("record: 19", "record: 200", "evaluate.record must be below the 200 rows of the test set, was 200"),
    ],
)
def test_a_wrong_setting_is_refused_before_any_output_is_removed(
    repository: Repository, old: str, new: str, message: str
) -> None:
    lock, params = repository.lock(), repository.path / "params.yaml"
    content = params.read_text("utf-8")
    assert old in content
    params.write_text(content.replace(old, new, 1), "utf-8")
    for command in ("dvc repro", f"PYTHONPATH=src {sys.executable} -m mnist_pipeline.cli.main check"):
        failed = repository.start(command)
        assert message in failed.communicate()[0]
        assert failed.returncode
    outputs = ("models/classifier.safetensors", "metrics/test.json", "data/prepared/train.safetensors")
    assert all((repository.path / path).exists() for path in outputs)
    params.write_text(content, "utf-8")
    repository.run("dvc repro")
    assert repository.lock() == lock
    said = repository.run(f"PYTHONPATH=src {sys.executable} -m mnist_pipeline.cli.main check")
    assert said == "params.yaml and data.yaml are valid. params.yaml fits the data: 600 training and 200 test rows.\n"


def test_an_experiment_and_its_plots_and_back(repository: Repository) -> None:
    lock = repository.lock()
    repository.run("dvc exp run -n few -S plot.mistakes=3 card")
    assert read_yaml(repository.path / "params.yaml")["plot"]["mistakes"] == 3
    assert repository.lock() != lock
    metrics = json.loads((repository.path / "metrics" / "test.json").read_text())
    shown = list(csv.DictReader(repository.run("dvc exp show --csv").splitlines()))
    (row,) = (each for each in shown if each["Experiment"] == "few")
    assert (row["changed"], row["test_accuracy"]) == ("mistakes=3", str(metrics["test_accuracy"]))
    first = list(row)[list(row).index("parent") + 1 :][:4]  # what a terminal has room for
    assert first == ["changed", "validation_accuracy", "test_accuracy", "test_log_loss"]
    page = Path(repository.run("dvc plots show").strip().removeprefix("file://")).read_text("utf-8")
    for title in ("Loss by epoch", "Accuracy by epoch", "Confusion on the test set", "metrics/figures/mistakes.png"):
        assert title in page
    assert "<script src" not in page

    # Back to the first run: nothing is computed again, since the run cache has it.
    repository.run("git checkout -q params.yaml models dvc.lock")
    assert "Running stage" not in repository.run("dvc repro")
    assert repository.run("git status --porcelain") == ""
