"""The whole pipeline through DVC, in a repository of its own with tiny data, with the commands of the documentation."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from mnist_pipeline.core.numerics import PORTABLE_ENVIRONMENT
from mnist_pipeline.core.yaml import read_yaml
from tests.repository import Repository, make_repository


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Repository:
    return make_repository(tmp_path_factory.mktemp("clone"), tmp_path_factory.mktemp("data"))


def test_repro_learns_and_leaves_a_clean_tree(repository: Repository) -> None:
    assert json.loads((repository.path / "metrics" / "test.json").read_text())["accuracy"] > 0.9
    assert repository.run("git status --porcelain") == ""
    assert len((repository.path / "metrics" / "predictions.csv").read_text().splitlines()) == 201


@pytest.mark.parametrize(
    ("path", "old", "new", "stages"),
    [
        ("src/mnist_pipeline/figures/loss.py", "def ", "\n\ndef ", {"validate", "plot"}),
        ("params.yaml", "mistakes: 20", "mistakes: 3", {"plot", "card"}),
        ("params.yaml", "learning_rate: 0.2", "learning_rate: 0.5", {"train", "card"}),
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


MARK = """
import atexit, json, os

def report():
    import threadpoolctl, torch
    pools = [pool["num_threads"] for pool in threadpoolctl.threadpool_info()]
    capability = torch.backends.cpu.get_cpu_capability()
    print("seen:", json.dumps([torch.get_num_threads(), *pools, capability, os.environ.get("MKL_CBWR")]))

atexit.register(report)
"""


def test_an_experiment_runs_the_code_of_its_own_folder_with_portable_numerics(repository: Repository) -> None:
    """An editable install points to one checkout; what DVC runs elsewhere must use its own."""
    module = repository.path / "src" / "mnist_pipeline" / "training" / "__init__.py"
    module.write_text(module.read_text("utf-8") + MARK, "utf-8")
    repository.commit("A mark")
    free = " ".join(f"-u {name}" for name in PORTABLE_ENVIRONMENT if name in os.environ)
    printed = repository.run(f"env {free} dvc exp run --temp -n adam -S model.optimizer=adam train")
    (seen,) = (json.loads(line.removeprefix("seen: ")) for line in printed.splitlines() if line.startswith("seen: "))
    *threads, capability, mkl = seen
    assert set(threads) == {1}
    assert capability in ("AVX2", "DEFAULT")
    assert mkl == "COMPATIBLE"

    repository.run("dvc exp apply adam")
    assert read_yaml(repository.path / "params.yaml")["model"]["optimizer"] == "adam"
    differences = json.loads(repository.run("dvc metrics diff --json"))["metrics/train.json"]
    assert differences["validation_loss"]["old"] != differences["validation_loss"]["new"]
    page = Path(repository.run("dvc plots show").strip().removeprefix("file://")).read_text("utf-8")
    for title in ("Loss by epoch", "Accuracy by epoch", "Confusion on the test set", "metrics/figures/mistakes.png"):
        assert title in page
    assert "<script src" not in page

    # Back to the first run: nothing is computed again, since the run cache has it.
    repository.run("git reset -q --hard HEAD~1")
    assert "Running stage" not in repository.run("dvc repro")
    assert repository.run("git status --porcelain") == ""
