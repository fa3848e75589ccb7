"""experiments.yaml: what it gives, and what is refused."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from mnist_pipeline.core.errors import PipelineError
from mnist_pipeline.ladder.spec import Run
from tests.ladder.runs import make_ladder


def test_a_rung_inherits_the_overrides_of_those_it_builds_on(tmp_path: Path) -> None:
    ladder = make_ladder(
        tmp_path,
        {
            "base": {"overrides": {"train.epochs": 3, "train.batch_size": 1}},
            "next": {"builds_on": "base", "overrides": {"train.epochs": 4}},
            "last": {"builds_on": "next", "overrides": {"model.optimizer": "adam"}},
            "other": {},
        },
    )
    train = {name: (params.train.epochs, params.train.batch_size) for name, params in ladder.params.items()}
    assert train == {"base": (3, 1), "next": (4, 1), "last": (4, 1), "other": (10, 128)}
    assert [params.model.optimizer for params in ladder.params.values()] == ["sgd", "sgd", "adam", "sgd"]


def test_settings_are_as_dvc_takes_them(tmp_path: Path) -> None:
    overrides = {"model.mlp.hidden_units": [300, 100], "model.mlp.layer_norm": False, "model.optimizer": "adam"}
    ladder = make_ladder(tmp_path, {"deep": {"overrides": overrides}})
    settings = ["model.mlp.hidden_units=[300, 100]", "model.mlp.layer_norm=false", "model.optimizer=adam"]
    assert ladder.settings(Run("deep", 1)) == [*settings, "train.seed=1"]
    assert ladder.params_of(Run("deep", 1)).train.seed == 1
    assert ladder.params_of(Run("deep", 1)).model == ladder.params["deep"].model


def test_every_rung_runs_once_before_any_runs_twice(tmp_path: Path) -> None:
    ladder = make_ladder(tmp_path, {"one": {}, "two": {"seeds": 3}}, seeds=2)
    assert [run.name for run in ladder.runs()] == ["one-0", "two-0", "one-1", "two-1", "two-2"]
    assert [run.name for run in ladder.runs(["two"], 1)] == ["two-0"]
    with pytest.raises(PipelineError, match="there is no rung 'three'; there are one, two"):
        ladder.runs(["one", "three"])


def test_the_digest_changes_with_what_a_result_depends_on_and_with_nothing_else(tmp_path: Path) -> None:
    changes: list[dict[str, Any]] = [
        {},
        {"train.augmentation.shift": 1},
        {"model.architecture": "cnn"},
        {"train.epochs": 3},
        {"plot.mistakes": 3, "optimizers.adam.beta1": 0.5, "model.cnn.kernel_size": 5, "audit.steps": 9},
    ]
    ladder = make_ladder(tmp_path, {f"r{place}": {"overrides": each} for place, each in enumerate(changes)})
    digests = [ladder.digest(Run(name, 0)) for name in ladder.rungs]
    assert digests[0] == digests[-1]
    assert len({*digests, ladder.digest(Run("r0", 1))}) == len(changes)
    assert re.fullmatch("[0-9a-f]{12}", digests[0])


@pytest.mark.parametrize(
    ("rung", "message"),
    [
        ({"why": None}, "rungs.a.why must"),
        ({"overides": {}}, "rungs.a.overides is not a known key"),
        ({"seeds": 0}, "rungs.a.seeds must be"),
        ({"builds_on": "b"}, "rungs.a.builds_on must be a rung above this one, was 'b'"),
        ({"builds_on": "a"}, "rungs.a.builds_on must be a rung above this one, was 'a'"),
        ({"overrides": {"model.los": "mse"}}, "params.yaml has no key model.los"),
        ({"overrides": {"model": "mse"}}, "rungs.a: with it, model"),
        ({"overrides": {"train.epochs": 0}}, "rungs.a: with it, train.epochs must"),
        ({"overrides": {"model.loss": "bce"}}, "loss bce needs output_activation s"),
        ({"overrides": {"train.seed": 3}}, "must leave train.seed alone"),
        ({"published": 1.1}, "rungs.a.published"),
        ({"published": -0.1}, "rungs.a.published"),
        ({"published": "very good"}, "rungs.a.published"),
    ],
)
def test_a_mistake_in_a_rung_is_named(tmp_path: Path, rung: dict[str, Any], message: str) -> None:
    with pytest.raises(PipelineError) as raised:
        make_ladder(tmp_path, {"a": rung})
    assert message in str(raised.value)
    assert str(raised.value).startswith(str(tmp_path / "experiments.yaml"))


@pytest.mark.parametrize(
    ("rungs", "seeds", "wrong"), [({"a": {}}, 0, "seeds"), ({}, 1, "rungs"), ({"A rung": {}}, 1, "rungs.A rung")]
)
def test_a_mistake_in_the_ladder_is_named(tmp_path: Path, rungs: dict[str, Any], seeds: int, wrong: str) -> None:
    with pytest.raises(PipelineError, match=rf"experiments\.yaml: {wrong}"):
        make_ladder(tmp_path, rungs, seeds=seeds)


def test_every_mistake_in_rungs_and_presets_is_named_at_once(tmp_path: Path) -> None:
    overrides: list[dict[str, Any]] = [{"train.epoch": 3}, {"train.epochs": 0}]
    presets = {f"p{n}": {"title": "t", "budget_seconds": 1, "overrides": each} for n, each in enumerate(overrides)}
    with pytest.raises(PipelineError) as raised:
        make_ladder(tmp_path, {"a": {"builds_on": "b"}}, presets=presets)
    lines = str(raised.value).splitlines()
    wrong = ("rungs.a.builds_on must", "presets.p0.overrides: ", "presets.p1: with it, train.epochs must")
    assert [part in line for part, line in zip(wrong, lines, strict=True)] == [True] * 3
