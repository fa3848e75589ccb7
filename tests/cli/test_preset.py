"""Presets: run as an experiment of DVC, whatever earlier experiments changed; listed; refused."""

from __future__ import annotations

import shlex
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import yaml

from mnist_pipeline.cli.main import main
from mnist_pipeline.core.yaml import parse_yaml, read_yaml
from mnist_pipeline.params.overrides import with_overrides
from tests.ladder.runs import make_ladder
from tests.repository import Repository, git, write_params

QUICK = {"model.mlp.hidden_units": [50, 20], "optimizers.sgd.weight_decay": 1e-5, "train.epochs": 1}


@pytest.fixture(autouse=True)
def content(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """The content of a params.yaml, which is committed with a preset in the current folder."""
    write_params(tmp_path)
    presets = {"quick": {"title": "A small network", "budget_seconds": 10, "overrides": QUICK}}
    make_ladder(tmp_path, {"base": {}}, presets=presets)
    git(tmp_path, "init", "-q", "-b", "main")
    Repository(tmp_path).commit("A preset")
    monkeypatch.chdir(tmp_path)
    return read_yaml(tmp_path / "params.yaml")


def params_after(command: str, content: Any) -> Any:
    """The params that a command of DVC gives."""
    settings = [word.split("=", 1) for flag, word in pairwise(shlex.split(command)) if flag == "-S"]
    return with_overrides(content, {key: parse_yaml(f"value: {value}", "-S")["value"] for key, value in settings})


def test_a_preset_is_an_experiment_with_its_settings(content: Any, capsys: pytest.CaptureFixture[str]) -> None:
    main(["preset", "quick", "--dry-run", "-S", "train.seed=7"])
    command = capsys.readouterr().out
    assert command.startswith("dvc exp run -n quick -m 'A small network' -S ")
    assert params_after(command, content) == with_overrides(content, QUICK | {"train.seed": 7})
    main(["preset", "quick", "--dry-run", "-n", "mine", "--force"])
    assert capsys.readouterr().out.startswith("dvc exp run -n mine -m 'A small network' -f -S ")


def test_settings_of_earlier_experiments_are_restored(content: Any, capsys: pytest.CaptureFixture[str]) -> None:
    """All but which data is used and what is drawn."""
    kept = {"data.validation_size": 0.1, "evaluate.record": 3}
    others = {"model.architecture": "cnn", "model.test_time_shift": 1, "data.deskew": True, "train.epochs": 40}
    changed = with_overrides(content, others | kept)
    Path("params.yaml").write_text(yaml.safe_dump(changed), "utf-8")
    main(["preset", "quick", "--dry-run"])
    assert params_after(capsys.readouterr().out, changed) == with_overrides(content, QUICK | kept)


def test_without_a_name_presets_are_listed_and_an_unknown_one_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    main(["preset"])
    assert capsys.readouterr().out.splitlines()[1] == "quick   10       A small network"
    with pytest.raises(SystemExit, match="mnist preset: unknown preset 'longer'; there are quick"):
        main(["preset", "longer"])


def test_settings_that_a_kill_left_half_written_are_restored_first(
    content: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("params.yaml").write_bytes(b"")
    main(["preset", "quick", "--dry-run"])
    printed = capsys.readouterr()
    assert "params.yaml is damaged or empty: that of the last commit is restored" in printed.err
    assert params_after(printed.out, content) == with_overrides(content, QUICK)
