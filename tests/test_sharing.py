"""Two people share data, models and an experiment through a remote, with the commands of docs/sharing.md."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.repository import Repository, git, make_repository


@pytest.mark.slow
def test_two_clones_share_an_experiment(tmp_path: Path) -> None:
    mine = make_repository(tmp_path / "mine", tmp_path / "data", epochs=2)
    mine.run(f"dvc remote add --default storage {tmp_path / 'storage'}")
    mine.commit("A place to share data")
    git(tmp_path, "init", "-q", "--bare", "origin")
    mine.run(f"git remote add origin {tmp_path / 'origin'} && git push -q origin main")
    mine.run("dvc push")
    mine.run("dvc exp run -n adam -S model.optimizer=adam")
    mine.run("dvc exp push origin adam")

    git(tmp_path, "clone", "-q", "-b", "main", "origin", "theirs")
    theirs = Repository(tmp_path / "theirs")
    theirs.run("dvc pull")
    assert theirs.run("dvc status").strip() == "Data and pipelines are up to date."
    assert "adam" in theirs.run("dvc exp list origin")
    theirs.run("dvc exp pull origin adam")
    theirs.run("dvc exp apply adam")
    assert theirs.metrics() == mine.metrics()
    model = "models/classifier.safetensors"
    assert (theirs.path / model).read_bytes() == (mine.path / model).read_bytes()
