"""Changes of settings: overrides by dotted name, and the settings that a result depends on."""

from __future__ import annotations

import copy
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from mnist_pipeline.core.yaml import flatten
from mnist_pipeline.params.model import architectures
from mnist_pipeline.params.schema import Params, problems_of

RESULT_SECTIONS = ("data", "model", "optimizers", "train", "evaluate", "runtime")
"""The sections of params.yaml on which a result depends."""

TRAINING_SECTIONS = ("model", "optimizers", "train", "runtime")
"""The sections that say how to train, whatever the data."""


def used_settings(params: Params) -> dict[str, Any]:
    """Return the settings that can change a result: nothing of what is switched off or not chosen."""
    content = params.model_dump(mode="json")
    result = {section: content[section] for section in RESULT_SECTIONS}
    if params.data.dataset == "mnist":
        del result["data"]["dataset"]
    if params.data.corrections is None:
        del result["data"]["corrections"]
    if not params.train.temperature_scaling:
        del result["train"]["temperature_scaling"]
    if params.train.shards == 1:
        del result["train"]["shards"]
    if not params.data.deskew:
        del result["data"]["deskew"]
    if not params.model.test_time_shift:
        del result["model"]["test_time_shift"]
    if params.model.members == 1:
        del result["model"]["members"]
    for name in set(architectures()) - {params.model.architecture}:
        del result["model"][name]
    result["optimizers"] = {params.model.optimizer: result["optimizers"][params.model.optimizer]}
    if not params.train.augmentation.enabled:
        del result["train"]["augmentation"]
    return result


def with_overrides(content: dict[str, Any], overrides: Mapping[str, Any]) -> dict[str, Any]:
    """Return the content of a params.yaml with new values of some keys, such as {"model.loss": "bce"}.

    Raises:
        KeyError: there is no such key; its argument is the key.
    """
    result = copy.deepcopy(content)
    for name, value in overrides.items():
        *sections, key = name.split(".")
        section: Any = result
        for each in sections:
            section = section.get(each) if isinstance(section, dict) else None
        if not isinstance(section, dict) or key not in section:
            raise KeyError(name)
        section[key] = value
    return result


def settings_to_restore(overrides: Mapping[str, Any], now: dict[str, Any], committed: dict[str, Any]) -> dict[str, Any]:
    """Return the committed values of what earlier experiments changed in params.yaml about how to train.

    Args:
        overrides: settings that are set anyway.
        now: params.yaml as it is.
        committed: params.yaml as it was in the last commit.
    """
    before, after = flatten(committed), flatten(now)
    of_training = {key for key in before if key.split(".")[0] in TRAINING_SECTIONS} | {"data.deskew", "data.scaling"}
    changed = sorted(key for key in of_training - overrides.keys() if before.get(key) != after.get(key))
    return {key: before[key] for key in changed if key in before and key in after}


def resolved_params(base: dict[str, Any], overrides: Mapping[str, Any], where: str, name: Path) -> Params | list[str]:
    """Return the params with these overrides, or the problems with them.

    Args:
        base: content of params.yaml.
        overrides: by dotted name.
        where: they stand, for the problems.
        name: of params.yaml.
    """
    try:
        return Params.model_validate(with_overrides(base, overrides))
    except KeyError as error:
        return [f"{where}.overrides: {name} has no key {error.args[0]}"]
    except ValidationError as error:
        return [f"{where}: with it, {problem}" for problem in problems_of(error, Params)]


def settings_of(overrides: Mapping[str, Any]) -> list[str]:
    """Return the arguments of -S, such as ["model.loss=bce", "train.seed=3"]."""
    return [f"{key}={value if isinstance(value, str) else json.dumps(value)}" for key, value in overrides.items()]
