"""The file of a trained model: its weights, and a description from which the network can be built again.

Safetensors: no code in it, so loading a stranger's file is safe, and the same model gives the same bytes. Needs
no torch, so that what only looks at a model stays light.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from mnist_pipeline.files import replacing

# One key only: the library writes metadata in the order of a hash map, which differs in every process.
METADATA_KEY = "classifier"


class ModelFileError(ValueError):
    """A file is missing or holds no model of this project."""


@dataclass(frozen=True)
class ModelFile:
    """A trained model as plain data.

    Attributes:
        description: what the network is built from; see ``classifier.py``.
        tensors: float32 arrays by the name of the parameter.
    """

    description: dict[str, Any]
    tensors: dict[str, NDArray[np.float32]]


def save_model(path: Path, model: ModelFile) -> None:
    """Write a model, whole or not at all."""
    metadata = {METADATA_KEY: json.dumps(model.description, sort_keys=True)}
    # The library writes an array as it lies in memory, which is not its order where it is a transposed view.
    tensors: dict[str, Any] = {name: np.asarray(tensor, order="C") for name, tensor in model.tensors.items()}
    with replacing(path) as temporary:
        temporary.write_bytes(save(tensors, metadata))


def load_model(path: Path) -> ModelFile:
    """Read a model.

    Raises:
        ModelFileError: the file is missing, damaged, or another kind of safetensors file.
    """
    try:
        with safe_open(path, framework="numpy") as opened:
            file = cast("Any", opened)
            description = json.loads(file.metadata()[METADATA_KEY])
            return ModelFile(description, {name: file.get_tensor(name) for name in file.keys()})  # noqa: SIM118
    except (OSError, SafetensorError, KeyError, TypeError, ValueError) as error:
        raise ModelFileError(f"{path}: must be a model that the train stage wrote; {error}") from None
