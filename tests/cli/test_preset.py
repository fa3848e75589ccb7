"""Presets: listed, run as an experiment of DVC, refused."""

from __future__ import annotations

import shlex
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import yaml

from mnist_pipeline.cli.main import main
from mnist_pipeline.core.yaml import parse_yaml
from mnist_pipeline.params.overrides import with_overrides
from tests.experiments.runs import make_ladder
from tests.repository import git, write_params

QUICK = {"model.mlp.hidden_units": [50, 20], "optimizers.sgd.weight_decay": 1e-5, "train.epochs": 1}
LONG = {"model.architecture": "cnn", "model.test_time_shift": 1, "data.deskew": True, "train.epochs": 40}
PRESETS = {
    "quick": {"title": "A small network", "budget_seconds": 10, "overrides": QUICK},
    "long": {"title": "A convolutional one", "budget_seconds": 600, "overrides": LONG},
}


@pytest.fixture(autouse=True)
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Committed params and presets; the current folder."""
    write_params(tmp_path)
    make_ladder(tmp_path, {"base": {}}, presets=PRESETS)
    git(tmp_path, "init", "-q", "-b", "main")
    git(tmp_path, "add", ".")
    git(tmp_path, "commit", "-q", "-m", "Presets")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def params_after(command: str, content: Any) -> Any:
    """The params that a command of DVC gives."""
    words = shlex.split(command)
    settings = [word.split("=", 1) for flag, word in pairwise(words) if flag == "-S"]
    return with_overrides(content, {key: parse_yaml(f"value: {value}", "-S")["value"] for key, value in settings})


def test_without_a_name_presets_are_listed(capsys: pytest.CaptureFixture[str]) -> None:
    main(["preset"])
    assert capsys.readouterr().out.splitlines() == [
        "preset  seconds  what",
        "quick   10       A small network",
        "long    600      A convolutional one",
    ]


def test_a_preset_is_an_experiment_with_its_settings(repository: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main(["preset", "quick", "--dry-run", "-S", "train.seed=7"])
    command = capsys.readouterr().out
    assert command.startswith("dvc exp run -n quick -m 'A small network' -S ")
    content = yaml.safe_load((repository / "params.yaml").read_text("utf-8"))
    assert params_after(command, content) == with_overrides(content, QUICK | {"train.seed": 7})
    main(["preset", "long", "--dry-run", "-n", "mine", "--force"])
    assert capsys.readouterr().out.startswith("dvc exp run -n mine -m 'A convolutional one' -f -S ")


def test_the_command_of_dvc_is_run_and_its_status_passed_on(
    repository: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    (repository / "dvc").mkdir()  # `python -m dvc` looks in the current folder first
    (repository / "dvc" / "__init__.py").touch()
    (repository / "dvc" / "__main__.py").write_text("import sys\nprint(*sys.argv[1:5])\nsys.exit(3)\n")
    with pytest.raises(SystemExit) as ended:
        main(["preset", "quick"])
    assert ended.value.code == 3
    assert capfd.readouterr().out == "exp run -n quick\n"


def test_settings_of_earlier_experiments_are_restored(repository: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """All but which data is used and what is drawn."""
    content = yaml.safe_load((repository / "params.yaml").read_text("utf-8"))
    kept = {"data.validation_size": 0.1, "evaluate.record": 3}
    changed = with_overrides(content, {**LONG, "model.optimizer": "adam", **kept})
    (repository / "params.yaml").write_text(yaml.safe_dump(changed), "utf-8")
    main(["preset", "quick", "--dry-run"])
    assert params_after(capsys.readouterr().out, changed) == with_overrides(content, {**QUICK, **kept})


def test_an_unknown_preset_is_refused() -> None:
    with pytest.raises(SystemExit, match="mnist preset: unknown preset 'longer'; there are quick, long"):
        main(["preset", "longer"])
