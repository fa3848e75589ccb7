"""The whole pipeline through DVC, in a repository of its own with tiny data, as the README has it typed."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
import yaml

from tests.repository import Repository, make_repository


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Repository:
    return make_repository(tmp_path_factory.mktemp("clone"), tmp_path_factory.mktemp("data"))


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


def test_a_changed_setting_reruns_the_stages_that_read_it(repository: Repository) -> None:
    path = repository.path / "params.yaml"
    before = path.read_text("utf-8")
    params = yaml.safe_load(before)
    params["plot"]["mistakes"] = 3
    path.write_text(yaml.safe_dump(params), "utf-8")
    drawn = repository.run("dvc status")
    params["optimizers"]["sgd"]["learning_rate"] = 0.5
    path.write_text(yaml.safe_dump(params), "utf-8")
    trained = repository.run("dvc status")
    path.write_text(before, "utf-8")
    assert "plot:" in drawn
    assert "train:" not in drawn
    assert "train:" in trained
    assert "validate:" not in trained


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
    repository.run("git checkout -q params.yaml metrics models dvc.lock")
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
