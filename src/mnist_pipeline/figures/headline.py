"""The headline of the page of plots: what the run reached, and the settings that made it so."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Mapping
from html import escape
from typing import Any

from mnist_pipeline.figures.style import BLUE, GREY

WIDTH, LINE = 680, 24  # pixels
SETTINGS_COLUMN, LONGEST_LINE = 136, 72  # pixels; characters

DARK, PALE = "#222222", "#555555"


def headline(settings: Mapping[str, Any], train: Mapping[str, Any], test: Mapping[str, Any]) -> str:
    """Return an SVG: test and validation accuracy, and below them the settings. Its text stays text, so it is sharp.

    Args:
        settings: sections of params.yaml, without what is switched off or not chosen.
        train: details of training.
        test: details of the evaluation.
    """
    numbers = list(_numbers(train, test))
    parts = [
        _text(24 + place * (WIDTH - 24) // len(numbers), y, size, colour, line)
        for place, lines in enumerate(numbers)
        for y, size, colour, line in zip((32, 70, 94), (14, 34, 14), (PALE, BLUE, PALE), lines, strict=True)
    ]
    y = 132
    for name, text in _settings(settings):
        parts.append(_text(24, y, 14, PALE, name))
        for line in textwrap.wrap(text, LONGEST_LINE):
            parts.append(_text(SETTINGS_COLUMN, y, 14, DARK, line))
            y += LINE
    head = f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{y}" viewBox="0 0 {WIDTH} {y}"'
    ground = f'<rect width="{WIDTH}" height="{y}" fill="white"/>'
    rule = f'<line x1="24" x2="{WIDTH - 24}" y1="110" y2="110" stroke="{GREY}" stroke-opacity="0.4"/>'
    return "\n".join([f'{head} font-family="system-ui, sans-serif">', ground, rule, *parts, "</svg>\n"])


def _numbers(train: Mapping[str, Any], test: Mapping[str, Any]) -> Iterator[tuple[str, str, str]]:
    """The name, the value and a remark of each accuracy."""
    interval = "95 % interval {:.2f} to {:.2f}"
    bounds = interval.format(100 * test["accuracy_low"], 100 * test["accuracy_high"])
    yield ("Test accuracy", f"{100 * test['accuracy']:.2f} %", bounds)
    if corrected := test.get("corrected"):
        bounds = interval.format(100 * corrected["low"], 100 * corrected["high"])
        yield ("On corrected labels", f"{100 * corrected['accuracy']:.2f} %", bounds)
    if (validation := train["validation_accuracy"]) is None:
        yield ("Validation accuracy", "none", "no validation set")
    else:
        yield ("Validation accuracy", f"{100 * validation:.2f} %", f"{train['validation_rows']:,} images")


def _settings(settings: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """The name and the values of each group of settings."""
    model, training, runtime = settings["model"], dict(settings["train"]), settings["runtime"]
    augmentation = training.pop("augmentation", None)
    ((optimizer, its_settings),) = settings["optimizers"].items()
    architecture = model["architecture"]
    network = {**model[architecture], "activation": model["hidden_activation"]}
    if model["output_activation"] != "none":
        network["output"] = model["output_activation"]
    yield "Architecture", f"{architecture}: {_list(network)}"
    yield "Loss", model["loss"]
    yield "Optimizer", f"{optimizer}: {_list(its_settings)}"
    yield "Training", _list({name: training[name] for name in ("epochs", "batch_size", "schedule", "seed")})
    yield "Arithmetic", f"{runtime['numerics']} numerics on {runtime['device']}"
    if augmentation:
        yield "Augmentation", _list({name: value for name, value in augmentation.items() if value})
    yield "Data", _list(settings["data"])
    optional = {"test_time_shift": model, "temperature_scaling": training}
    if chosen := {name: section[name] for name, section in optional.items() if name in section}:
        yield "Prediction", _list(chosen)


def _list(settings: Mapping[str, Any]) -> str:
    return ", ".join(f"{name.replace('_', ' ')} {_value(value)}" for name, value in settings.items())


def _value(value: Any) -> str:
    if isinstance(value, bool):
        return "on" if value else "off"
    return "-".join(map(_value, value)) or "none" if isinstance(value, list) else str(value)


def _text(x: int, y: int, size: int, colour: str, text: str) -> str:
    weight = ' font-weight="600"' if size > 20 else ""
    return f'<text x="{x}" y="{y}" font-size="{size}"{weight} fill="{colour}">{escape(text)}</text>'
