"""The headline of the page of plots: numbers and settings, as an SVG."""

from __future__ import annotations

from typing import Any
from xml.etree import ElementTree

from mnist_pipeline.figures.headline import WIDTH, headline

SETTINGS: dict[str, Any] = {
    "data": {"validation_size": 5000, "scaling": "unit"},
    "model": {
        "architecture": "mlp",
        "mlp": {"hidden_units": [200, 100], "layer_norm": True},
        "hidden_activation": "relu",
        "output_activation": "none",
        "loss": "cross_entropy",
    },
    "optimizers": {"sgd": {"learning_rate": 0.2, "nesterov": False}},
    "train": {"epochs": 10, "batch_size": 128, "schedule": "one_cycle", "seed": 7},
    "runtime": {"numerics": "portable", "device": "cpu"},
}
TRAIN = {"validation_accuracy": 0.98176, "validation_rows": 5000}
TEST = {"accuracy": 0.9844, "accuracy_low": 0.981779, "accuracy_high": 0.986649}
CORRECTED = {"rows": 9995, "accuracy": 0.985393, "low": 0.982847, "high": 0.987565}


def lines(measured: dict[str, Any] = TRAIN, test: dict[str, Any] = TEST, **changes: dict[str, Any]) -> list[str]:
    settings = {name: {**section, **changes.get(name, {})} for name, section in SETTINGS.items()}
    picture = ElementTree.fromstring(headline(settings, measured, test))
    assert picture.get("viewBox") == f"0 0 {WIDTH} {picture.get('height')}"
    texts = [each for each in picture if each.tag.endswith("text")]
    assert max(float(each.get("y", 0)) for each in texts) < float(picture.get("height", 0))
    return [each.text or "" for each in texts]


def test_accuracies_are_shown_with_intervals() -> None:
    shown = lines(test={**TEST, "corrected": CORRECTED})
    assert {"98.44 %", "95 % interval 98.18 to 98.66", "98.54 %", "95 % interval 98.28 to 98.76", "98.18 %"} <= {*shown}
    assert not any("corrected" in line for line in lines())
    assert "no validation set" in lines(measured={"validation_accuracy": None, "validation_rows": 0})


def test_settings_are_shown_and_those_that_are_off_are_not() -> None:
    text = " ".join(lines())
    for words in ("mlp: hidden units 200-100, layer norm on", "sgd: learning rate 0.2, nesterov off", "seed 7", "unit"):
        assert words in text
    assert "Augmentation" not in text
    assert "output" not in text
    augmented = " ".join(lines(train={"augmentation": {"rotation": 15, "shear": 0.0}}))
    assert "rotation 15" in augmented
    assert "shear" not in augmented
    assert "a < b & c" in lines(data={"scaling": "unit"}, model={"loss": "a < b & c"})


def test_long_settings_continue_on_another_line() -> None:
    many = lines(model={"mlp": {"hidden_units": [1000] * 30}})
    assert len(many) > len(lines())
    assert max(map(len, many)) < 80
