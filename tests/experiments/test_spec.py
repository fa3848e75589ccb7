"""experiments.yaml: what is in it, and what is refused."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from mnist_pipeline.experiments.spec import Ladder, PipelineError, Run, load_ladder
from mnist_pipeline.params.schema import DECIDING, load_params
from tests.conftest import ROOT

PARAMS = ROOT / "params.yaml"


@pytest.fixture(scope="module")
def ladder() -> Ladder:
    return load_ladder(ROOT / "experiments.yaml", PARAMS)


def load(folder: Path, content: Any) -> Ladder:
    path = folder / "experiments.yaml"
    path.write_text(content if isinstance(content, str) else yaml.safe_dump(content, sort_keys=False), "utf-8")
    return load_ladder(path, PARAMS)


def rung(**changes: Any) -> dict[str, Any]:
    return {"title": "A title", "why": "A reason", **changes}


def test_the_last_rung_is_params_yaml(ladder: Ladder) -> None:
    params, rung_params = load_params(PARAMS), ladder.params["default"]
    assert {name: getattr(rung_params, name) for name in DECIDING if name != "optimizers"} == {
        name: getattr(params, name) for name in DECIDING if name != "optimizers"
    }
    assert rung_params.optimizers.sgd == params.optimizers.sgd


def test_the_tutorials_rungs_are_the_tutorials(ladder: Ladder) -> None:
    for name in ("start", "bce", "leaky-relu", "adam", "layer-norm", "together-sgd", "together-adam"):
        params = ladder.params[name]
        assert (params.train.batch_size, params.train.epochs, params.train.shuffle) == (1, 3, False)
        assert (params.data.validation_size, params.train.schedule) == (0, "constant")
        assert params.optimizers.sgd.learning_rate == 0.01
        assert params.optimizers.adam.learning_rate == 0.001
        assert params.model.mlp is not None
        assert params.model.mlp.hidden_units == (200,)
    assert ladder.rungs["bce"].published == 0.9031
    assert ladder.rungs["adam"].published == 0.9597


def test_overrides_are_taken_over_from_below(ladder: Ladder) -> None:
    adam = ladder.params["adam-sigmoid-bce"].model
    assert (adam.hidden_activation, adam.output_activation, adam.optimizer, adam.loss) == (
        "leaky_relu",
        "sigmoid",
        "adam",
        "bce",
    )


def test_published_figures_and_later_rungs_have_seeds_enough(ladder: Ladder) -> None:
    for name, each in ladder.rungs.items():
        assert ladder.seeds[name] >= (3 if each.published is not None else 5), name


def test_settings_are_as_dvc_takes_them(tmp_path: Path) -> None:
    overrides = {
        "model.mlp.hidden_units": [300, 100],
        "model.mlp.layer_norm": False,
        "model.optimizer": "adam",
        "optimizers.adam.epsilon": 1e-8,
    }
    small = load(tmp_path, {"seeds": 2, "rungs": {"deep": rung(overrides=overrides)}})
    assert small.settings(Run("deep", 1)) == [
        "model.mlp.hidden_units=[300, 100]",
        "model.mlp.layer_norm=false",
        "model.optimizer=adam",
        "optimizers.adam.epsilon=1e-08",
        "train.seed=1",
    ]
    assert small.params_of(Run("deep", 1)).train.seed == 1


def test_every_rung_runs_once_before_any_runs_twice(tmp_path: Path) -> None:
    small = load(tmp_path, {"seeds": 2, "rungs": {"one": rung(), "two": rung(seeds=3)}})
    assert [run.name for run in small.runs()] == ["one-0", "two-0", "one-1", "two-1", "two-2"]
    assert [run.name for run in small.runs(["two"], 1)] == ["two-0"]
    with pytest.raises(PipelineError, match="there is no rung 'three'; there are one, two"):
        small.runs(["three"])


def test_the_digest_changes_with_what_decides_and_with_nothing_else(tmp_path: Path) -> None:
    content = {"seeds": 2, "rungs": {"one": rung(), "two": rung(overrides={"plot.mistakes": 3}),
                                     "three": rung(overrides={"train.epochs": 3})}}  # fmt: skip
    small = load(tmp_path, content)
    one, two, three = (small.digest(Run(name, 0)) for name in ("one", "two", "three"))
    assert one == two
    unused = {"optimizers.adam.beta1": 0.5, "model.cnn.kernel_size": 5, "train.augmentation.elastic_sigma": 2}
    others = [{"train.augmentation.shift": 1}, {"model.architecture": "cnn"}]
    rungs = {f"r{place}": rung(overrides=overrides) for place, overrides in enumerate([{}, unused, *others])}
    digests = [load(tmp_path, {"seeds": 1, "rungs": rungs}).digest(Run(name, 0)) for name in rungs]
    assert digests[0] == digests[1] == one
    assert len(set(digests)) == 3
    assert len({one, three, small.digest(Run("one", 1))}) == 3
    assert re.fullmatch("[0-9a-f]{12}", one)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"seeds": 0, "rungs": {"a": rung()}}, "seeds must be greater than or equal to 1, was 0"),
        ({"seeds": 1, "rungs": {}}, "rungs "),
        ({"seeds": 1, "rungs": {"A rung": rung()}}, "rungs.A rung"),
        ({"seeds": 1, "rungs": {"a": {"title": "t"}}}, "rungs.a.why is missing"),
        ({"seeds": 1, "rungs": {"a": rung(overides={})}}, "rungs.a.overides is not a known key"),
        ({"seeds": 1, "rungs": {"a": rung(builds_on="b")}}, "rungs.a.builds_on must be a rung above this one, was 'b'"),
        ({"seeds": 1, "rungs": {"a": rung(builds_on="a")}}, "rungs.a.builds_on must be a rung above this one, was 'a'"),
        ({"seeds": 1, "rungs": {"a": rung(overrides={"model.los": "mse"})}}, "params.yaml has no key model.los"),
        ({"seeds": 1, "rungs": {"a": rung(overrides={"model": "mse"})}}, "rungs.a: with it, model"),
        (
            {"seeds": 1, "rungs": {"a": rung(overrides={"train.epochs": 0})}},
            "rungs.a: with it, train.epochs must",
        ),
        (
            {"seeds": 1, "rungs": {"a": rung(overrides={"model.loss": "bce"})}},
            "loss bce needs output_activation s",
        ),
        ({"seeds": 1, "rungs": {"a": rung(overrides={"train.seed": 3})}}, "must leave train.seed alone"),
        ({"seeds": 1, "rungs": {"a": rung(published=97.0)}}, "rungs.a.published"),
        ({"seeds": 1, "rungs": {"a": rung(published="very good")}}, "rungs.a.published"),
        ("rungs: [", "must be YAML"),
        ("- a", "must be sections with keys below them, was list"),
        ("seeds: 1\nseeds: 2\n", "appears twice"),
    ],
)
def test_nonsense_is_refused_by_name(tmp_path: Path, content: Any, message: str) -> None:
    with pytest.raises(PipelineError) as raised:
        load(tmp_path, content)
    assert message in str(raised.value)
    assert str(raised.value).startswith(str(tmp_path / "experiments.yaml"))


def test_a_missing_file_says_so(tmp_path: Path) -> None:
    with pytest.raises(PipelineError, match="no such file; run from the root"):
        load_ladder(tmp_path / "experiments.yaml", PARAMS)
