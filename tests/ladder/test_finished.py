"""The runs of the ladder that are done."""

from __future__ import annotations

import hashlib
import re
import shutil
from pathlib import Path
from typing import Any

import pytest

from mnist_pipeline.cluster.session import RUNS
from mnist_pipeline.ladder.results import finished_runs
from mnist_pipeline.ladder.spec import Ladder, Run, load_ladder
from mnist_pipeline.provenance.dvc import cached_output
from mnist_pipeline.provenance.paths import STEPS
from mnist_pipeline.provenance.recovery import exclusive
from tests.ladder.runs import make_ladder
from tests.repository import ROWS, Repository, git, make_experiment, make_quick_repository

RUNGS: dict[str, Any] = {
    "base": {"overrides": {"train.epochs": 1}},
    "longer": {"builds_on": "base", "overrides": {"train.epochs": 3}},
}
RUN = Run("longer", 1)


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Repository:
    """A pipeline and a ladder, of which the experiment longer-1 is done."""
    repository = make_quick_repository(tmp_path_factory.mktemp("original"))
    ladder = make_ladder(repository.path, RUNGS, seeds=2)
    (repository.path / "README.md").write_text("The ladder\n")
    repository.commit("A ladder")
    make_experiment(repository, RUN.name, {**ladder.overrides[RUN.rung], "train.seed": RUN.seed})
    return repository


@pytest.fixture
def repository(original: Repository, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Repository:
    """A copy, in which commands run in this process."""
    repository = Repository(tmp_path / "clone")
    shutil.copytree(original.path, repository.path, symlinks=True)
    repository.enter(monkeypatch)
    return repository


def load(repository: Repository) -> Ladder:
    return load_ladder(repository.path / "experiments.yaml", repository.path / "params.yaml")


def commits_of(repository: Repository, name: str) -> list[str]:
    return git(repository.path, "for-each-ref", "--format=%(objectname)", f"refs/exps/*/*/{name}").split()


@pytest.mark.parametrize(
    ("name", "edit", "committed", "stands"),
    [
        ("code/stage.py", ("import json", "import  json"), False, False),
        ("code/stage.py", ("import json", "import  json"), True, False),
        ("code/new.py", ("", "# of a folder that stages depend on"), True, False),
        ("README.md", ("ladder", "rungs"), False, True),
        ("README.md", ("ladder", "rungs"), True, True),
        ("params.yaml", ("mistakes: 20", "mistakes: 30"), False, True),
        ("params.yaml", ("batch_size: 128", "batch_size: 64"), False, False),
        ("dvc.lock", (hashlib.md5(ROWS.encode()).hexdigest(), "d" * 32), True, False),
        ("experiments.yaml", ("train.epochs: 3", "train.epochs: 4"), False, False),
    ],
)
def test_an_experiment_stands_until_its_code_data_or_params_change(
    original: Repository, name: str, edit: tuple[str, str], committed: bool, stands: bool
) -> None:
    runs = [Run("longer", 0), RUN, Run("base", 1)]
    (commit,) = commits_of(original, RUN.name)
    before, path = git(original.path, "rev-parse", "HEAD"), original.path / name
    assert finished_runs(original.path, load(original), runs) == {RUN: commit}
    path.write_text((path.read_text("utf-8") if path.exists() else "").replace(*edit), "utf-8")
    if committed:
        original.commit("A change")
    found = finished_runs(original.path, load(original), runs)
    git(original.path, "reset", "-q", "--hard", before)
    assert found == ({RUN: commit} if stands else {})


@pytest.mark.slow
def test_of_several_experiments_of_a_name_the_one_that_stands_is_found(repository: Repository) -> None:
    (commit,) = commits_of(repository, RUN.name)
    repository.commit("Later")
    make_experiment(repository, RUN.name, {"train.epochs": 5, "train.seed": 1})
    assert len(commits_of(repository, RUN.name)) == 2
    assert finished_runs(repository.path, load(repository), load(repository).runs()) == {RUN: commit}


@pytest.mark.slow
def test_what_dvc_gc_removed_is_run_again(repository: Repository) -> None:
    (commit,) = commits_of(repository, RUN.name)
    cached_output(repository.path, commit, STEPS).unlink()
    assert finished_runs(repository.path, load(repository), [RUN]) == {}
    repository.run("mnist ladder run longer --seeds 2")
    (again,) = commits_of(repository, RUN.name)
    assert again != commit
    assert cached_output(repository.path, again, STEPS).exists()


@pytest.mark.slow
def test_one_ladder_runs_at_a_time(repository: Repository) -> None:
    with exclusive(repository.path / RUNS, "mnist ladder run"):
        printed = repository.start("mnist ladder run base").communicate()[0]
    assert re.search(r"mnist ladder run \(process \d+\) is at work here; wait for its end", printed)
