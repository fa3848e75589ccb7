"""The table of runs: it comes back as it was written, and collects what experiments gave."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch.nn import functional as F  # noqa: N812

from mnist_pipeline.cli.main import main
from mnist_pipeline.cluster.origin import with_trailers
from mnist_pipeline.core.errors import PipelineError
from mnist_pipeline.ladder.results import gather, read_runs, uniform_loss, write_runs
from mnist_pipeline.ladder.spec import Ladder, Run
from mnist_pipeline.provenance.git import SECONDS
from tests.ladder.runs import make_ladder, make_run
from tests.repository import Repository, make_experiment, make_quick_repository, name_experiment

RUNGS = {
    "base": {"overrides": {"train.batch_size": 128, "train.epochs": 2}},
    "whole": {"builds_on": "base", "overrides": {"train.batch_size": 256, "train.epochs": 4}},
}


def test_the_table_comes_back_as_it_was_written(tmp_path: Path) -> None:
    bare = make_run("base", 9, set(), validation_accuracy=0.9, seconds=None, early_loss=None, swing=None)
    runs = [make_run("base", 0, {3, 20, 1999}), bare]
    write_runs(runs, tmp_path / "runs.csv")
    assert read_runs(tmp_path / "runs.csv") == runs
    assert read_runs(tmp_path / "none.csv") == []


@pytest.mark.parametrize(("old", "new", "message"), [("rung,seed", "rung,sed", "lacks seed"), ("1 2", "1 x", "'x'")])
def test_a_damaged_table_is_refused(tmp_path: Path, old: str, new: str, message: str) -> None:
    path = tmp_path / "runs.csv"
    write_runs([make_run("base", 0, {1, 2})], path)
    path.write_text(path.read_text().replace(old, new))
    with pytest.raises(PipelineError, match=f"{message}.*git checkout .*runs.csv restores it"):
        read_runs(path)


def test_the_uniform_loss_is_that_of_a_uniform_prediction() -> None:
    outputs, labels = torch.full((1, 10), 0.1), torch.tensor([3])
    target = F.one_hot(labels, 10).float()
    assert uniform_loss("mse", 10) == pytest.approx(F.mse_loss(outputs, target).item())
    assert uniform_loss("bce", 10) == pytest.approx(F.binary_cross_entropy(outputs, target).item())
    assert uniform_loss("cross_entropy", 10) == pytest.approx(F.cross_entropy(outputs, labels).item())
    with pytest.raises(ValueError, match="hinge"):
        uniform_loss("hinge", 10)


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Repository:
    """Experiments base-0, whose training time is known, and whole-1."""
    repository = make_quick_repository(tmp_path_factory.mktemp("repository"))
    ladder = load(repository)
    repository.commit("A ladder")
    for run in (Run("base", 0), Run("whole", 1)):
        commit = make_experiment(repository, run.name, {**ladder.overrides[run.rung], "train.seed": run.seed})
        if run.rung == "base":
            name_experiment(repository.path, run.name, with_trailers(repository.path, commit, {SECONDS: "2.5"}))
    return repository


def load(repository: Repository) -> Ladder:
    return make_ladder(repository.path, RUNGS, repository.path / "params.yaml", seeds=1)


def test_results_are_gathered_from_experiments(repository: Repository) -> None:
    ladder = load(repository)
    base, added = gather(repository.path, ladder, [])  # a seed beyond those of the file counts, too
    assert (added.rung, added.seed) == ("whole", 1)
    assert (base.rung, base.seed, base.params) == ("base", 0, ladder.digest(Run("base", 0)))
    assert (base.accuracy, base.samples, base.wrong) == (0.1, 20, tuple(range(2, 20)))
    assert (base.validation_accuracy, base.seconds) == (0.5, 2.5)
    # Of losses 2, 2/2, 2/3, 2/4, two in each epoch of 256 rows:
    uniform = uniform_loss("cross_entropy", 4)
    assert base.early_loss == pytest.approx(1.5 / uniform, abs=1e-6)
    assert base.swing == pytest.approx((2 / 3 - 2 / 4) / 2 / uniform, abs=1e-6)


def test_recorded_runs_of_the_same_settings_stand_for_those_made_elsewhere(repository: Repository) -> None:
    ladder = load(repository)
    elsewhere = make_run("whole", 0, {1}, params=ladder.digest(Run("whole", 0)))
    further = make_run("base", 2, {1}, params=ladder.digest(Run("base", 2)))
    outdated = make_run("base", 1, {1})
    repeated = make_run("whole", 1, {1}, params=ladder.digest(Run("whole", 1)), seconds=7.0)
    found = gather(repository.path, ladder, [elsewhere, further, outdated, repeated])
    assert [(run.rung, run.seed) for run in found] == [("base", 0), ("base", 2), ("whole", 0), ("whole", 1)]
    assert found[1:3] == [further, elsewhere]
    assert (found[3].samples, found[3].seconds) == (20, 7.0)  # of the experiment; its time is known from the table
    recorded = make_run("base", 0, {1}, params=ladder.digest(Run("base", 0)), seconds=9.0)
    assert gather(repository.path, ladder, [recorded])[0].seconds == 9.0  # not those of its repetition here
    (early,) = (run for run in gather(repository.path, ladder, [replace(repeated, params="0" * 12)]) if run.seed)
    assert early.seconds is None


def test_a_course_without_enough_losses_is_unknown(repository: Repository) -> None:
    """One step for each epoch has no spread."""
    whole = gather(repository.path, load(repository), [make_run("whole", 1, set())])[-1]
    assert whole.early_loss == pytest.approx(4 / uniform_loss("cross_entropy", 4), abs=1e-6)
    assert whole.swing is None


def test_the_report_has_the_results(
    repository: Repository, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(repository.path)
    load(repository)
    (repository.path / "docs").mkdir()
    (repository.path / "docs" / "ladder.md").write_text("<!-- ladder -->\n<!-- /ladder -->\n")
    main(["ladder", "report"])
    assert capsys.readouterr().out.splitlines()[1].startswith("base")
    assert "| `base`: Base |" in (repository.path / "docs" / "ladder.md").read_text("utf-8")
    assert [run.rung for run in read_runs(repository.path / "metrics" / "ladder_runs.csv")] == ["base", "whole"]
