"""Runs and groups by name, and what is refused."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from mnist_pipeline.core.errors import PipelineError
from mnist_pipeline.experiments.runs import Group, check_comparable, load_group, names_of
from mnist_pipeline.provenance.paths import PREDICTIONS
from tests.experiments.repository import CLASSES, commit_all, make_experiments, write_run
from tests.repository import git


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_experiments(tmp_path_factory.mktemp("repository"))


def load(repository: Path, pattern: str) -> Group:
    return load_group(repository, pattern, PREDICTIONS, CLASSES)


@pytest.mark.parametrize(
    ("pattern", "names"),
    [
        ("workspace", ["workspace"]), ("good-2,HEAD", ["good-2", "HEAD"]), ("good-[02]", ["good-0", "good-2"]),
        ("good-*", ["good-0", "good-1", "good-2"]), ("good-1,good-*,good-0", ["good-1", "good-0", "good-2"]),
    ],
)  # fmt: skip
def test_a_pattern_stands_for_names(repository: Path, pattern: str, names: list[str]) -> None:
    assert names_of(repository, pattern) == names


def test_a_group_has_predictions_and_settings_of_its_runs(repository: Path) -> None:
    group = load(repository, "good-*")
    assert [run.params["train.seed"] for run in group.runs] == [0, 1, 2]
    assert [(run.predictions["actual"] != run.predictions["predicted"]).sum() for run in group.runs] == [10, 11, 12]
    assert group.settings == {"train.epochs": 9}
    (run,) = load(repository, "workspace").runs
    assert (run.commit, run.params) == (None, {"train.epochs": 10, "train.seed": 0, "train.dropout": 0.5})


@pytest.mark.parametrize(
    ("pattern", "message"),
    [
        ("goood-0", "'goood-0' is neither an experiment nor a git revision; did you mean 'good-0'"),
        ("bad-*", r"'bad-\*' matches no experiment; there are base-0, base-1"),
        ("HEAD~14", r"metrics/predictions.csv is not in commit \w+, nor an output of its stages"),
        ("base-0,other-slow", "mixes runs of different settings: base-0 and other-slow differ in train.rate;"),
        ("base-*,good-0", "base-0 and good-0 differ in train.epochs"),
        ("base-*,other-twin", "two runs with the same train.seed"),
        ("HEAD,workspace", "differ in train.epochs, train.dropout"),
    ],
)
def test_names_that_are_no_group_are_refused(repository: Path, pattern: str, message: str) -> None:
    with pytest.raises(PipelineError, match=message):
        load(repository, pattern)


@pytest.mark.parametrize("other", ["data", "fewer", "turned"])
def test_runs_of_different_test_sets_are_refused(repository: Path, other: str) -> None:
    with pytest.raises(PipelineError, match=rf"different test sets .*: base-0 has 300 samples.*other-{other} \d+"):
        check_comparable(load(repository, "base-*"), load(repository, f"other-{other}"))


@pytest.mark.parametrize("other", ["code", "packages"])
def test_runs_of_other_code_or_packages_are_named(repository: Path, other: str) -> None:
    good, mixed = load(repository, "good-*"), load(repository, f"base-*,other-{other}")
    assert check_comparable(good, mixed) == [f"of other {other} than good-0: other-{other}"]
    assert check_comparable(good, load(repository, "base-*")) == []


@pytest.mark.parametrize(
    ("path", "content", "message"),
    [
        (PREDICTIONS, "index,actual\n0,one\n", "workspace: its metrics/predictions.csv is not what dvc.lock records"),
        (PREDICTIONS, None, "metrics/predictions.csv: no such file in the workspace; run dvc repro"),
        ("dvc.lock", "[", "dvc.lock of workspace: must be YAML"),
        ("params.yaml", "train: [", "params.yaml of workspace: must be YAML"),
    ],
)
def test_a_damaged_run_is_refused(tmp_path: Path, path: str, content: str | None, message: str) -> None:
    git(tmp_path, "init", "-q")
    write_run(tmp_path, ())
    (tmp_path / path).unlink()
    if content is not None:
        (tmp_path / path).write_text(content)
    with pytest.raises(PipelineError, match=message):
        load(tmp_path, "workspace")


def test_without_params_the_same_commit_twice_is_still_the_same_run_twice(tmp_path: Path) -> None:
    git(tmp_path, "init", "-q", "-b", "main")
    (tmp_path / "own.csv").write_text("actual,predicted\na,a\n")
    commit_all(tmp_path)
    commit_all(tmp_path)
    group = load_group(tmp_path, "HEAD,HEAD~1", "own.csv", CLASSES)
    with pytest.raises(PipelineError, match="the same run twice"):
        load_group(tmp_path, "HEAD,main", "own.csv", CLASSES)
    with pytest.raises(PipelineError, match="has 1 samples; a comparison needs two"):
        check_comparable(group, group)


def test_settings_that_were_edited_after_the_run_are_not_those_of_its_results(tmp_path: Path) -> None:
    git(tmp_path, "init", "-q", "-b", "main")
    write_run(tmp_path, range(30))
    lock = yaml.safe_load((tmp_path / "dvc.lock").read_text())
    lock["stages"]["metrics"]["params"] = {"params.yaml": {"train": {"epochs": 3, "seed": 0}}}
    lock["stages"]["other"] = {"outs": [], "params": {"params.yaml": {"plot": 1}}}
    (tmp_path / "dvc.lock").write_text(yaml.safe_dump(lock))
    assert load(tmp_path, "workspace").runs[0].params["train.epochs"] == 3
    (tmp_path / "params.yaml").write_text(yaml.safe_dump({"train": {"epochs": 20, "seed": 0}, "plot": 2}))
    commit_all(tmp_path)
    for name in ("workspace", "HEAD"):
        message = rf"^{name}: params\.yaml was edited after the run: train\.epochs is 20, its results are of 3; run dvc"
        with pytest.raises(PipelineError, match=message):
            load(tmp_path, name)
