"""Sweeps: the same points everywhere, halving that only scores decide, and a report of planted effects."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
import yaml

from mnist_pipeline.core.errors import PipelineError
from mnist_pipeline.params.overrides import settings_of
from mnist_pipeline.sweeps.report import best_settings, describe, draw_trials, importance
from mnist_pipeline.sweeps.search import Trial, confirmation, rounds, winner_of
from mnist_pipeline.sweeps.spec import Sweep, load_sweep
from tests.conftest import PARAMS, ROOT

RATE, BATCH, MOMENTUM = "optimizers.sgd.learning_rate", "train.batch_size", "optimizers.sgd.momentum"
CONTENT: dict[str, Any] = {
    "name": "rates",
    "trials": 16,
    "space": {RATE: {"log": [0.01, 1.0]}, MOMENTUM: {"range": [0.5, 0.9]}, BATCH: {"choices": [32, 64, 128]}},
    "halving": {"param": "train.epochs", "values": [1, 2, 4]},
}


def make_sweep(folder: Path, **changes: Any) -> Sweep:
    content = {name: value for name, value in {**CONTENT, **changes}.items() if value is not None}
    (folder / "sweep.yaml").write_text(yaml.safe_dump(content))
    return load_sweep(folder / "sweep.yaml", PARAMS)


def test_points_are_those_of_the_seed_and_fill_the_space(tmp_path: Path) -> None:
    points = make_sweep(tmp_path).points()
    assert points == make_sweep(tmp_path).points() != make_sweep(tmp_path, seed=1).points()
    assert points[0] == {RATE: 0.06605, MOMENTUM: 0.8856, BATCH: 128}
    assert len(points) == 16
    for name, low, high in ((RATE, 0.01, 1.0), (MOMENTUM, 0.5, 0.9)):
        values = sorted(float(str(point[name])) for point in points)
        axis = make_sweep(tmp_path).space[name]
        quarters = [int(4 * axis.place(value)) for value in values]
        assert [quarters.count(each) for each in range(4)] == [4] * 4  # a Sobol sequence is balanced
        assert low <= values[0] < values[-1] <= high
    assert {point[BATCH] for point in points} == {32, 64, 128}


def test_a_grid_is_the_product_and_nothing_is_tried_twice(tmp_path: Path) -> None:
    space = {
        RATE: {"log": [0.01, 1.0]},
        BATCH: {"range": [10, 20], "points": 2},
        "model.loss": {"choices": ["mse", "cross_entropy"]},
    }
    points = make_sweep(tmp_path, space=space, method="grid", trials=None).points()
    assert len(points) == 12
    assert points[0] == {RATE: 0.01, BATCH: 10, "model.loss": "mse"}
    assert {point[RATE] for point in points} == {0.01, 0.1, 1.0}
    only = {"train.shuffle": {"choices": [True, False]}}
    assert len(make_sweep(tmp_path, space=only, trials=16).points()) == 2


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"name": "Rates"}, "name"),
        ({"trials": None}, "trials must be given for sobol"),
        ({"method": "grid"}, "and left out for a grid"),
        ({"space": {RATE: {"log": [0.0, 1.0]}}}, r"must rise, from above 0, was \[0.0, 1.0\]"),
        ({"space": {RATE: {"range": [0.2, 0.1]}}}, "must rise"),
        ({"space": {RATE: {"range": [0.1, 0.2], "choices": [1, 2]}}}, "one of choices, range and log"),
        ({"space": {"train.seed": {"range": [1, 5]}}}, "leave train.seed alone"),
        ({"space": {"train.epochs": {"range": [1, 5]}}}, "name each setting once"),
        ({"space": {"train.speed": {"range": [1, 5]}}}, "has no key train.speed"),
        ({"space": {RATE: {"range": [-1.0, 1.0]}}}, "optimizers.sgd.learning_rate must be above 0|greater than 0"),
        ({"halving": {"param": "train.epochs", "values": [4, 2]}}, r"values must rise, was \[4, 2\]"),
        ({"axes": {}}, "axes is not a known key"),
    ],
)
def test_what_is_no_sweep_is_refused(tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(PipelineError, match=message):
        make_sweep(tmp_path, **changes)


def test_the_sample_sweep_is_valid() -> None:
    assert len(load_sweep(ROOT / "sweep.yaml", ROOT / "params.yaml").points()) == 8


def play(sweep: Sweep, worth: dict[int, float]) -> tuple[list[list[Trial]], dict[str, float]]:
    """All rounds, where each trial is worth as much in each of them."""
    scores: dict[str, float] = {}
    played = []
    for trials in rounds(sweep, scores):
        scores |= {trial.name: worth.get(trial.number, 0.1) for trial in trials}
        played.append(trials)
    return played, scores


def test_the_best_half_goes_on_whoever_ends_first(tmp_path: Path) -> None:
    sweep = make_sweep(tmp_path)
    worth = {3: 0.9, 7: 0.8, 11: 0.8, 15: 0.5, 0: -math.inf}
    played, scores = play(sweep, worth)
    assert [[trial.number for trial in trials] for trials in played[1:]] == [[1, 2, 3, 4, 5, 7, 11, 15], [3, 7, 11, 15]]
    assert played[1][2].name == "rates-003-2"
    assert (played[1][2].settings["train.epochs"], played[1][2].settings["train.seed"]) == (2, 0)
    assert winner_of(played[-1], scores).number == 3
    assert winner_of(played[-1], {**scores, "rates-003-4": 0.8}).number == 3  # of equal ones the first
    halted = dict(list(scores.items())[:10])
    assert [len(trials) for trials in rounds(sweep, halted)] == [16]  # the first round is not complete
    sides = confirmation(sweep, winner_of(played[-1], scores))
    assert [trial.name for trial in sides["best"]] == [f"rates-best-003-4-{seed}" for seed in range(1, 6)]
    assert sides["default"][0].settings == {"train.seed": 1}


def test_the_report_finds_what_matters(tmp_path: Path) -> None:
    sweep = make_sweep(tmp_path, trials=32)
    points = sweep.points()
    worth = {n: 0.9 - abs(math.log10(float(str(point[RATE]))) + 1) / 10 for n, point in enumerate(points)}
    worth[5] = -math.inf
    played, scores = play(sweep, worth)
    shares = importance(sweep, played[0], scores)
    assert sum(shares.values()) == pytest.approx(1)
    assert shares[RATE] > 0.8  # although it has its optimum inside
    lines = describe(sweep, played, scores).splitlines()
    winner = winner_of(played[-1], scores)
    assert lines[0].split() == [
        "trial", "learning_rate", "momentum", "batch_size", "train.epochs=1", "train.epochs=2", "train.epochs=4",
    ]  # fmt: skip
    assert lines[1].startswith(f"{winner.number:03d} ")
    assert lines[-1].split()[::4] == ["005", "diverged"]
    settings = settings_of(winner.settings)
    assert best_settings(winner) == " ".join(f"-S {each}" for each in settings if "seed" not in each)
    texts = [text.get_text() for text in draw_trials(sweep, played[0], scores, winner.number).axes[0].texts]
    assert {RATE, MOMENTUM, BATCH, "validation_accuracy", "0.01", "1.0", "128"} <= set(texts)
