"""Overrides by dotted name, the settings that a result depends on, and what earlier experiments changed."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest

from mnist_pipeline.core.yaml import flatten
from mnist_pipeline.params.overrides import settings_to_restore, used_settings, with_overrides
from mnist_pipeline.params.schema import Params


def test_overrides_change_their_keys_in_a_copy(params_content: dict[str, Any]) -> None:
    before = copy.deepcopy(params_content)
    changed = with_overrides(params_content, {"model.mlp.layer_norm": False, "plot": {"mistakes": 1}})
    assert params_content == before
    assert changed["plot"] == {"mistakes": 1}
    differing = {key for key in flatten(before) if flatten(before)[key] != flatten(changed)[key]}
    assert differing == {"model.mlp.layer_norm", "plot.mistakes"}


@pytest.mark.parametrize("name", ["model.los", "models.loss", "model.loss.x", "model.loss.x.y", "los"])
def test_an_unknown_key_is_an_error(params_content: dict[str, Any], name: str) -> None:
    with pytest.raises(KeyError) as caught:
        with_overrides(params_content, {name: 1})
    assert caught.value.args == (name,)


@pytest.mark.parametrize(
    ("changes", "used", "unused"),
    [
        (
            {},
            {"data.validation_size", "model.mlp.layer_norm", "optimizers.sgd.momentum"},
            {"data.dataset", "data.deskew", "model.test_time_shift", "train.augmentation.shift", "train.shards"},
        ),
        ({"train.shards": 2}, {"train.shards"}, {"plot.mistakes"}),
        ({"data.deskew": True}, {"data.deskew"}, set()),
        ({"model.test_time_shift": 1}, {"model.test_time_shift"}, set()),
        ({"model.architecture": "cnn"}, {"model.cnn.kernel_size", "train.epochs"}, {"model.mlp.layer_norm"}),
        ({"model.optimizer": "adam"}, {"optimizers.adam.beta1", "evaluate.record"}, {"optimizers.sgd.momentum"}),
        ({"train.augmentation.shift": 1}, {"train.augmentation.elastic_sigma", "runtime.numerics"}, set()),
        ({"data.dataset": "custom"}, {"data.dataset"}, set()),
    ],
)
def test_used_settings_are_those_that_are_on_and_chosen(
    make_params: Callable[..., Params], changes: dict[str, Any], used: set[str], unused: set[str]
) -> None:
    found = flatten(used_settings(make_params(changes)))
    assert found.keys() >= used
    assert not found.keys() & unused


def test_changed_settings_of_training_are_restored_unless_they_are_set(params_content: dict[str, Any]) -> None:
    changes = {
        "model.loss": "mse",
        "optimizers.adam.beta1": 0.5,
        "train.epochs": 3,
        "runtime.numerics": "fast",
        "data.deskew": True,
        "data.scaling": "standard",
        # Not about training:
        "data.dataset": "custom",
        "data.validation_size": 0,
        "plot.mistakes": 1,
    }
    restored = settings_to_restore({"train.epochs": 5}, with_overrides(params_content, changes), params_content)
    before = flatten(params_content)
    expected = ["data.deskew", "data.scaling", "model.loss", "optimizers.adam.beta1", "runtime.numerics"]
    assert list(restored.items()) == [(key, before[key]) for key in expected]


def test_settings_that_one_of_the_two_lacks_are_not_restored(params_content: dict[str, Any]) -> None:
    without = copy.deepcopy(params_content)
    del without["train"]["seed"]
    assert settings_to_restore({}, without, params_content) == {}
    assert settings_to_restore({}, params_content, without) == {}
