"""The model card: its numbers are those of the files it is made from, and its example runs."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from mnist_pipeline.core.yaml import read_yaml
from mnist_pipeline.deploy.model_card import Results, model_card
from mnist_pipeline.params.data import DataFiles
from mnist_pipeline.params.schema import Params
from tests.conftest import DATA_FILES, ROOT

Card = Callable[..., str]


@pytest.fixture
def card_of(make_params: Callable[..., Params], make_data_files: Callable[..., DataFiles], files: list[Path]) -> Card:
    """The card of the tests' settings, with changes of params.yaml and of data.yaml."""

    def make(results: Results | None = None, params: Any = None, data_files: Any = None) -> str:
        return model_card(make_params(params), make_data_files(data_files), results or RESULTS, files)

    return make


@pytest.fixture
def files(tmp_path: Path) -> list[Path]:
    paths = [tmp_path / "a.safetensors", tmp_path / "a.onnx"]
    for path in paths:
        path.write_bytes(f"content of {path.name}".encode() * 100)
    return paths


TRAIN = {"parameters": 4321, "multiply_adds": 98765, "validation_rows": 200, "validation_accuracy": 0.875}
ACCURACY = {"accuracy": 0.91237, "accuracy_low": 0.9, "accuracy_high": 0.93, "errors": 1050}
RESULTS = Results(
    summary={"train": {"rows": 1234}, "test": {"rows": 5670, "images_also_in_train": 3}},
    train=TRAIN,
    test=ACCURACY | {"log_loss": 0.25, "macro_f1": 0.91, "expected_calibration_error": 0.01},
    classes=[{"class": "a|b", "precision": "0.1234567", "recall": "1.0", "f1": "0.5"}],
)


def test_numbers_are_those_that_were_measured(card_of: Card) -> None:
    card = card_of()
    for text in (
        *("4,321 parameters", "98,765 MACs", "91.24 % (95 % interval 90.00 % to 93.00 %)"),
        *("1,234 training rows, of which 200 ", "5,670 test rows, 3 of them", "accuracy: 0.8750."),
        *("| accuracy | 0.9124 |", "| 0.9000 to 0.9300 |", "| errors | 1,050 |", "| log loss | 0.2500 |"),
        *("| expected calibration error | 0.0100 |", "| macro F1 | 0.9100 |"),
        "| a\\|b | 0.1235 | 1.0000 | 0.5000 |",
    ):
        assert text in card, text


def test_files_are_named_with_their_size_and_sha256(card_of: Card, files: list[Path]) -> None:
    card = card_of()
    for path in files:
        content = path.read_bytes()
        assert f"| `{path}` | {len(content):,} | `{hashlib.sha256(content).hexdigest()}` |" in card
    assert f'mnist_pipeline.models.classifier.load_classifier(Path("{files[0]}"))' in card
    assert f'InferenceSession("{files[1]}")' in card


def test_without_a_validation_set_or_duplicates_the_card_says_so(card_of: Card) -> None:
    summary = {"train": {"rows": 1234}, "test": {"rows": 5670, "images_also_in_train": 0}}
    results = replace(RESULTS, summary=summary, train=TRAIN | {"validation_accuracy": None})
    card = card_of(results)
    assert "no validation set" in card
    assert "5,670 test rows, none of them" in card


def test_settings_are_those_that_decide(card_of: Card) -> None:
    card = card_of(params={"model.optimizer": "adam"})
    (text,) = re.findall(r"```yaml\n(.*?)```", card, re.DOTALL)
    settings: Any = yaml.safe_load(text)
    assert list(settings) == ["data", "model", "optimizers", "train", "runtime"]
    assert list(settings["optimizers"]) == ["adam"]
    assert settings["model"]["mlp"] == {"hidden_units": [200], "layer_norm": True}
    assert "cnn" not in settings["model"]
    assert "A fully connected network" in card
    assert yaml.safe_load(card.split("---\n")[1])["tags"][:2] == ["image-classification", "mnist"]
    for digest in read_yaml(DATA_FILES)["fetch"]["sha256"].values():
        assert f"`{digest}`" in card


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"custom.test": "b.csv", "custom.test_fraction": None}, "`mine.csv` and `b.csv`."),
        ({}, "`mine.csv`; a stratified share of 0.2 of its rows is the test set."),
    ],
)
def test_own_data_are_named(card_of: Card, changes: dict[str, Any], text: str) -> None:
    own = {"custom.train": "mine.csv", "custom.image_side": 6, "custom.classes": ["cat", "dog"]}
    card = card_of(params={"data.dataset": "custom"}, data_files=own | changes)
    for each in (text, "# Classifier of 6 × 6 ", " in 2 classes\n", "(1, 6, 6)", "(1, 2)", "Classes: cat, dog."):
        assert each in card
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
