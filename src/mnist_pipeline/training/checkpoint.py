"""Checkpoints: resume after a kill, from a file outside DVC's outputs, which DVC would delete.

A checkpoint belongs to one run: its key covers the settings, the data, the code, the packages and, where the bits
depend on it, the machine.
"""

from __future__ import annotations

import hashlib
import json
import sys
import time
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from mnist_pipeline.core.arrays import load_arrays, save_arrays
from mnist_pipeline.core.errors import PipelineError
from mnist_pipeline.core.files import sha256_of
from mnist_pipeline.core.hardware import describe_machine
from mnist_pipeline.params.schema import Params
from mnist_pipeline.training.shards import from_first, rank

PACKAGES = ("numpy", "safetensors", "scipy", "torch")
METADATA_KEY = "checkpoint"
SECONDS_BETWEEN = 30.0  # at most; one is written at the end of every epoch, too


@dataclass(frozen=True)
class Saved:
    """All that training needs to resume as if it had never stopped.

    Attributes:
        tensors: weights and optimizer state, by name.
        rest: everything else, as JSON has it.
    """

    tensors: dict[str, Tensor]
    rest: dict[str, Any]


class Checkpoint:
    """The place for the state of one run.

    Args:
        folder: where checkpoints are kept; made when the first is written.
        key: what ``run_key`` gives for this run.
    """

    def __init__(self, folder: Path, key: str) -> None:
        self.path = folder / f"{key}.safetensors"
        self.key = key
        self._saved = time.monotonic()

    @property
    def due(self) -> bool:
        """Whether the last one is older than ``SECONDS_BETWEEN``."""
        return time.monotonic() - self._saved >= SECONDS_BETWEEN

    def save(self, saved: Saved) -> None:
        """Write the state atomically, in the first process."""
        if rank():
            return
        arrays = {name: tensor.cpu().numpy() for name, tensor in saved.tensors.items()}
        save_arrays(self.path, arrays, {METADATA_KEY: {"key": self.key, "rest": saved.rest}})
        self._saved = time.monotonic()

    def load(self) -> Saved | None:
        """Return the state, if there is one; set a damaged one or that of another run aside, with a warning.

        The first process reads it for all.

        Raises:
            PipelineError: this process belongs to another run than the first one.
        """
        key, saved = from_first(lambda: (self.key, self._read()))
        if key != self.key:
            raise PipelineError(
                "the first process trains with other settings, data, code or packages than this one, or on another "
                "machine with numerics that are not portable"
            )
        return saved

    def _read(self) -> Saved | None:
        if not self.path.exists():
            return None
        try:
            file = load_arrays(self.path, "a checkpoint", [METADATA_KEY])
            content = file.metadata[METADATA_KEY]
            if content["key"] == self.key:
                # Copies: memory that torch allocates is aligned, and alignment can change the last bits.
                tensors = {name: torch.from_numpy(array).clone() for name, array in file.arrays.items()}
                return Saved(tensors, content["rest"])
            reason = "belongs to another run"
        except (PipelineError, KeyError, TypeError) as error:
            reason = f"is damaged ({error})"
        self._set_aside(reason)
        return None

    def _set_aside(self, reason: str) -> None:
        aside = self.path.with_suffix(".unusable")
        self.path.replace(aside)
        print(f"train: the checkpoint {self.path} {reason}; it is not used, and is now {aside.name}", file=sys.stderr)

    def discard(self) -> None:
        """Remove the state, once the run's outputs are written."""
        self.path.unlink(missing_ok=True)


def checkpoint_for(folder: Path, params: Params, data: Path) -> Checkpoint:
    """Return the checkpoint of a run with these params, on the data in this file, by the code that is loaded."""
    settings = {
        "data": params.data.model_dump(mode="json"),
        "model": params.model.model_dump(mode="json"),
        "optimizer": getattr(params.optimizers, params.model.optimizer).model_dump(mode="json"),
        "train": params.train.model_dump(mode="json"),
        "runtime": params.runtime.model_dump(mode="json"),
    }
    portable = params.runtime.numerics == "portable" and params.runtime.device == "cpu"
    return Checkpoint(folder, run_key(settings, data, own_modules(), None if portable else describe_machine()))


def run_key(settings: dict[str, Any], data: Path, code: list[Path], machine: dict[str, Any] | None) -> str:
    """Return a hash of all that determines a run's result.

    Args:
        settings: the params that the run reads, as JSON has them.
        data: the file that it trains on.
        code: every source file that takes part.
        machine: what the bits depend on besides, for numerics that are not portable.

    Returns:
        32 hexadecimal digits.
    """
    content = {
        "settings": settings,
        "data": sha256_of(data),
        "code": sorted(sha256_of(path) for path in code),
        "packages": {name: version(name) for name in PACKAGES},
        "machine": machine,
    }
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode("utf-8")).hexdigest()[:32]


def own_modules() -> list[Path]:
    """List the source files of this package that are loaded, and the script that runs."""
    names = [name for name in sys.modules if name.startswith("mnist_pipeline.")]
    files = [sys.modules[name].__file__ for name in names] + [getattr(sys.modules["__main__"], "__file__", None)]
    return [Path(file) for file in files if file is not None]
