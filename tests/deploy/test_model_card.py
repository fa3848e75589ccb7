"""The model card: its numbers are those of the files it is made from, and its example runs."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from mnist_pipeline.deploy.model_card import Results, model_card
from mnist_pipeline.params.schema import Params
from tests.conftest import ROOT

MakeParams = Callable[..., Params]


@pytest.fixture
def files(tmp_path: Path) -> list[Path]:
    paths = [tmp_path / "a.safetensors", tmp_path / "a.onnx"]
    for path in paths:
        path.write_bytes(f"content of {path.name}".encode())
    return paths


def results(validation: float | None = 0.875) -> Results:
    return Results(
        facts={"train": {"rows": 1234}, "test": {"rows": 567, "images_also_in_train": 3}},
        train={"parameters": 4321, "multiply_adds": 98765, "validation_rows": 200, "validation_accuracy": validation},
        test={
            "accuracy": 0.91237, "accuracy_low": 0.9, "accuracy_high": 0.93, "errors": 50, "log_loss": 0.25,
            "macro_f1": 0.91, "expected_calibration_error": 0.01,
        },
        classes=[{"class": "a|b", "precision": "0.1234567", "recall": "1.0", "f1": "0.5"}],
    )  # fmt: skip


def test_numbers_are_those_that_were_measured(make_params: MakeParams, files: list[Path]) -> None:
    card = model_card(make_params({}), results(), files)
    for text in ("4,321 parameters", "98,765 multiply-adds", "91.24 % of the test", "90.00 % to 93.00 %",
                 "1,234 training rows, of which 200", "567 test rows, 3 of them", "| errors | 50 |",
                 "| accuracy | 0.9124 |", "held out: 0.8750.", "| a\\|b | 0.1235 | 1.0000 | 0.5000 |"):  # fmt: skip
        assert text in card, text
    for path in files:
        assert f"| `{path}` | {path.stat().st_size} | `{hashlib.sha256(path.read_bytes()).hexdigest()}` |" in card


def test_no_rows_held_out(make_params: MakeParams, files: list[Path]) -> None:
    assert "No rows were held out." in model_card(make_params({}), results(None), files)


def test_settings_are_those_that_decide(make_params: MakeParams, files: list[Path]) -> None:
    card = model_card(make_params({"model.optimizer": "adam"}), results(), files)
    (text,) = re.findall(r"```yaml\n(.*?)```", card, re.DOTALL)
    settings: Any = yaml.safe_load(text)
    assert list(settings["optimizers"]) == ["adam"]
    assert settings["model"]["mlp"]["hidden_units"] == [200]
    assert "cnn" not in settings["model"]
    assert yaml.safe_load(card.split("---\n")[1])["tags"][:2] == ["image-classification", "mnist"]


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"custom.test": "b.csv", "custom.test_fraction": None}, "`mine.csv` and `b.csv`."),
        ({}, "`mine.csv`, of whose rows a share of 0.2, each class in proportion, is the test set."),
    ],
)
def test_own_data_are_told_of(make_params: MakeParams, files: list[Path], changes: dict[str, Any], text: str) -> None:
    own = {
        "data.dataset": "custom",
        "custom.train": "mine.csv",
        "custom.classes": ["cat", "dog"],
        "custom.image_side": 6,
    }
    card = model_card(make_params(own | changes), results(), files)
    assert text in card
    assert "# A classifier of 6 × 6 grey images in 2 classes" in card
    assert "Classes: cat, dog." in card
    assert "trained on images of its own data set" in card
    assert "MNIST" not in card.replace("mnist", "")


@pytest.mark.slow  # after make repro, which makes the model
def test_the_example_of_the_committed_card_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    card = (ROOT / "models" / "README.md").read_text("utf-8")
    (code,) = re.findall(r"```python\n(.*?)```", card, re.DOTALL)
    monkeypatch.chdir(ROOT)
    scope: dict[str, Any] = {}
    exec(code, scope)
    assert scope["probabilities"].shape == (1, 10)
    assert scope["probabilities"].sum() == pytest.approx(1)
