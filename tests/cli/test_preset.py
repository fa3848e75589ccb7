"""Presets: listed, printed, refused; each of them params that make sense, for the network and the budget it says."""

from __future__ import annotations

import shlex
import shutil
from pathlib import Path

import pytest
import yaml

from mnist_pipeline.cli.main import main
from mnist_pipeline.experiments.spec import PipelineError, load_ladder
from mnist_pipeline.params.schema import Params, with_overrides
from mnist_pipeline.core.yaml import parse_yaml
from tests.conftest import ROOT
from tests.repository import Repository

LADDER = load_ladder(ROOT / "experiments.yaml", ROOT / "params.yaml")


KEPT = {"data.validation_size": 0.1, "evaluate.record": 3}


@pytest.fixture(autouse=True)
def in_the_repository(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)


def test_without_a_name_they_are_listed(capsys: pytest.CaptureFixture[str]) -> None:
    main(["preset"])
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines[1:]] == list(LADDER.presets)


@pytest.mark.parametrize("name", LADDER.presets)
def test_the_command_sets_what_the_preset_says(capsys: pytest.CaptureFixture[str], name: str) -> None:
    main(["preset", name, "--dry-run", "-S", "train.seed=7"])
    words = shlex.split(capsys.readouterr().out)
    assert words[:7] == ["dvc", "exp", "run", "-n", name, "-m", LADDER.presets[name].title]
    settings = dict(setting.split("=", 1) for setting in words[8::2])
    content = yaml.safe_load((ROOT / "params.yaml").read_text("utf-8"))
    overrides = {key: parse_yaml(f"value: {value}", "-S")["value"] for key, value in settings.items()}
    expected = with_overrides(content, {**LADDER.presets[name].overrides, "train.seed": 7})
    assert Params.model_validate(with_overrides(content, overrides)) == Params.model_validate(expected)


def test_what_earlier_experiments_left_is_set_back(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """All but which data and what is drawn."""
    repository = Repository(tmp_path)
    for name in ("params.yaml", "experiments.yaml"):
        shutil.copyfile(ROOT / name, tmp_path / name)
    repository.run("git init -q && git add . && git commit -q -m 'First'")
    content = yaml.safe_load((tmp_path / "params.yaml").read_text("utf-8"))
    changed = with_overrides(content, {**LADDER.presets["mlp-2min"].overrides, "model.optimizer": "adam", **KEPT})
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(changed), "utf-8")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path)
        main(["preset", "cnn-10s", "--dry-run"])
    words = shlex.split(capsys.readouterr().out)
    overrides = dict(setting.split("=", 1) for setting in words[8::2])
    parsed = {key: parse_yaml(f"value: {value}", "-S")["value"] for key, value in overrides.items()}
    expected = with_overrides(content, {**LADDER.presets["cnn-10s"].overrides, **KEPT})
    assert with_overrides(changed, parsed) == expected


def test_presets_of_the_tutorials_network_keep_it() -> None:
    content = yaml.safe_load((ROOT / "params.yaml").read_text("utf-8"))
    for name, preset in LADDER.presets.items():
        model = Params.model_validate(with_overrides(content, preset.overrides)).model
        assert model.architecture == name.split("-")[0]
        if model.architecture == "mlp":
            assert model.mlp is not None
            assert model.mlp.hidden_units == (200,)


def test_one_that_is_not_there_is_refused() -> None:
    with pytest.raises(SystemExit, match="there is no preset 'mlp-1h'; there are mlp-10s, "):
        main(["preset", "mlp-1h"])


def test_nonsense_in_a_preset_is_refused(tmp_path: Path) -> None:
    content = {
        "seeds": 1,
        "rungs": {"one": {"title": "t", "why": "w"}},
        "presets": {
            "a": {"title": "t", "budget_seconds": 1, "overrides": {"train.epoch": 3}},
            "b": {"title": "t", "budget_seconds": 1, "overrides": {"train.epochs": 0}},
        },
    }
    (tmp_path / "experiments.yaml").write_text(yaml.safe_dump(content))
    with pytest.raises(PipelineError) as caught:
        load_ladder(tmp_path / "experiments.yaml", ROOT / "params.yaml")
    assert "presets.a.overrides: " in str(caught.value)
    assert "has no key train.epoch" in str(caught.value)
    assert "presets.b: with it, train.epochs must be greater than or equal to 1, was 0" in str(caught.value)
