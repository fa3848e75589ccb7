"""experiments.yaml: what it gives, and what is refused."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from mnist_pipeline.core.errors import PipelineError
from mnist_pipeline.experiments.spec import Ladder, Run, load_ladder
from tests.conftest import PARAMS
from tests.experiments.runs import make_ladder


def load(folder: Path, content: Any) -> Ladder:
    path = folder / "experiments.yaml"
    path.write_text(content if isinstance(content, str) else yaml.safe_dump(content, sort_keys=False), "utf-8")
    return load_ladder(path, PARAMS)


def rung(**changes: Any) -> dict[str, Any]:
    return {"title": "A title", "why": "A reason", **changes}


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
    overrides = {
        "model.mlp.hidden_units": [300, 100],
        "model.mlp.layer_norm": False,
        "model.optimizer": "adam",
        "optimizers.adam.epsilon": 1e-8,
    }
    ladder = make_ladder(tmp_path, {"deep": {"overrides": overrides}})
    assert ladder.settings(Run("deep", 1)) == [
        "model.mlp.hidden_units=[300, 100]",
        "model.mlp.layer_norm=false",
        "model.optimizer=adam",
        "optimizers.adam.epsilon=1e-08",
        "train.seed=1",
    ]
    assert ladder.params_of(Run("deep", 1)).train.seed == 1
    assert ladder.params_of(Run("deep", 1)).model.mlp == ladder.params["deep"].model.mlp


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
        {"plot.mistakes": 3, "optimizers.adam.beta1": 0.5, "model.cnn.kernel_size": 5, "fetch.retries": 9},
    ]
    ladder = make_ladder(tmp_path, {f"r{place}": {"overrides": each} for place, each in enumerate(changes)})
    digests = [ladder.digest(Run(name, 0)) for name in ladder.rungs]
    assert digests[0] == digests[-1]
    assert len({*digests, ladder.digest(Run("r0", 1))}) == len(changes)
    assert re.fullmatch("[0-9a-f]{12}", digests[0])


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"seeds": 0, "rungs": {"a": rung()}}, "seeds must be"),
        ({"seeds": 1, "rungs": {}}, "rungs "),
        ({"seeds": 1, "rungs": {"A rung": rung()}}, "rungs.A rung"),
        ({"seeds": 1, "rungs": {"a": {"title": "t"}}}, "rungs.a.why is missing"),
        ({"seeds": 1, "rungs": {"a": rung(overides={})}}, "rungs.a.overides is not a known key"),
        ({"seeds": 1, "rungs": {"a": rung(seeds=0)}}, "rungs.a.seeds must be"),
        ({"seeds": 1, "rungs": {"a": rung(builds_on="b")}}, "rungs.a.builds_on must be a rung above this one, was 'b'"),
        ({"seeds": 1, "rungs": {"a": rung(builds_on="a")}}, "rungs.a.builds_on must be a rung above this one, was 'a'"),
        ({"seeds": 1, "rungs": {"a": rung(overrides={"model.los": "mse"})}}, "params.yaml has no key model.los"),
        ({"seeds": 1, "rungs": {"a": rung(overrides={"model": "mse"})}}, "rungs.a: with it, model"),
        ({"seeds": 1, "rungs": {"a": rung(overrides={"train.epochs": 0})}}, "rungs.a: with it, train.epochs must"),
        ({"seeds": 1, "rungs": {"a": rung(overrides={"model.loss": "bce"})}}, "loss bce needs output_activation s"),
        ({"seeds": 1, "rungs": {"a": rung(overrides={"train.seed": 3})}}, "must leave train.seed alone"),
        ({"seeds": 1, "rungs": {"a": rung(published=97.0)}}, "rungs.a.published"),
        ({"seeds": 1, "rungs": {"a": rung(published="very good")}}, "rungs.a.published"),
        ("rungs: [", "must be YAML"),
        ("- a", "must be sections with keys below them, was list"),
    ],
)
def test_a_mistake_is_named(tmp_path: Path, content: Any, message: str) -> None:
    with pytest.raises(PipelineError) as raised:
        load(tmp_path, content)
    assert message in str(raised.value)
    assert str(raised.value).startswith(str(tmp_path / "experiments.yaml"))


def test_every_mistake_in_rungs_and_presets_is_named_at_once(tmp_path: Path) -> None:
    overrides: list[dict[str, Any]] = [{"train.epoch": 3}, {"train.epochs": 0}]
    presets = {f"p{n}": {"title": "t", "budget_seconds": 1, "overrides": each} for n, each in enumerate(overrides)}
    with pytest.raises(PipelineError) as raised:
        load(tmp_path, {"seeds": 1, "rungs": {"a": rung(builds_on="b")}, "presets": presets})
    lines = str(raised.value).splitlines()
    assert len(lines) == 3
    assert "rungs.a.builds_on" in lines[0]
    assert "presets.p0.overrides: " in lines[1]
    assert "has no key train.epoch" in lines[1]
    assert "presets.p1: with it, train.epochs must" in lines[2]


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(PipelineError, match=r"experiments\.yaml: cannot be read: No such file"):
        load_ladder(tmp_path / "experiments.yaml", PARAMS)
