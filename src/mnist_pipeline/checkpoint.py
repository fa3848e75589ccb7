"""Go on after a kill: the whole state of a training run in a file outside DVC's outputs, which DVC would delete.

A checkpoint belongs to one run: its key covers the settings, the data, the code, the packages and, where the bits
depend on it, the machine. The file is in the safetensors format: no code in it, and floats come back bit for bit.
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

from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from mnist_pipeline.files import replacing

PACKAGES = ("numpy", "safetensors", "scikit-learn", "scipy", "torch")
METADATA_KEY = "checkpoint"
SECONDS_BETWEEN = 30.0  # at most; one is written at the end of every epoch, too


@dataclass(frozen=True)
class State:
    """All that training needs to go on as if it had never stopped.

    Attributes:
        tensors: weights and optimizer state, by name.
        progress: everything else, as JSON has it.
    """

    tensors: dict[str, Tensor]
    progress: dict[str, Any]


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
        """Whether the last one is so old that too much would be lost."""
        return time.monotonic() - self._saved >= SECONDS_BETWEEN

    def save(self, state: State) -> None:
        """Write the state, whole or not at all."""
        metadata = {METADATA_KEY: json.dumps({"key": self.key, "progress": state.progress})}
        with replacing(self.path) as temporary:
            temporary.write_bytes(save(state.tensors, metadata))
        self._saved = time.monotonic()

    def load(self) -> State | None:
        """Read the state, if there is one; set a damaged or a foreign one aside, with a warning."""
        if not self.path.exists():
            return None
        try:
            with safe_open(self.path, framework="pt") as opened:
                file: Any = opened
                metadata = json.loads(file.metadata()[METADATA_KEY])
                # Copies: memory that torch allocates is aligned, and alignment can change the last bits.
                tensors = {name: file.get_tensor(name).clone() for name in file.keys()}  # noqa: SIM118
            if metadata["key"] == self.key:
                return State(tensors, metadata["progress"])
            reason = "belongs to another run"
        except (OSError, SafetensorError, KeyError, TypeError, ValueError) as error:
            reason = f"is damaged ({error})"
        self._set_aside(reason)
        return None

    def _set_aside(self, reason: str) -> None:
        aside = self.path.with_suffix(".unusable")
        self.path.replace(aside)
        print(f"train: the checkpoint {self.path} {reason}; it is now {aside.name}, and not used", file=sys.stderr)

    def discard(self) -> None:
        """Remove the state, once the run's outputs are written."""
        self.path.unlink(missing_ok=True)


def run_key(settings: dict[str, Any], data: Path, code: list[Path], machine: dict[str, Any] | None) -> str:
    """A name for all that determines a run's result.

    Args:
        settings: the params that the run reads, as JSON has them.
        data: the file that it trains on.
        code: every source file that takes part.
        machine: what the bits depend on besides, for numerics that are not portable.

    Returns:
        32 hexadecimal digits.
    """
    with data.open("rb") as file:
        data_hash = hashlib.file_digest(file, "sha256").hexdigest()
    content = {
        "settings": settings,
        "data": data_hash,
        "code": sorted(hashlib.sha256(path.read_bytes()).hexdigest() for path in code),
        "packages": {name: version(name) for name in PACKAGES},
        "machine": machine,
    }
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode("utf-8")).hexdigest()[:32]


def own_modules() -> list[Path]:
    """The source files of this package that are loaded, and the script that runs."""
    names = [name for name in sys.modules if name.startswith("mnist_pipeline.")]
    files = [sys.modules[name].__file__ for name in names] + [getattr(sys.modules["__main__"], "__file__", None)]
    return [Path(file) for file in files if file is not None]


def flatten_optimizer(state: dict[int, dict[str, Any]]) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """An optimizer's per-parameter state as named tensors, and what in it is no tensor."""
    tensors, rest = {}, {}
    for index, values in state.items():
        for name, value in values.items():
            if isinstance(value, Tensor):
                tensors[f"optimizer.{index}.{name}"] = value
            else:
                rest[f"{index}.{name}"] = value
    return tensors, rest


def unflatten_optimizer(tensors: dict[str, Tensor], rest: dict[str, Any]) -> dict[int, dict[str, Any]]:
    """What ``flatten_optimizer`` was given."""
    state: dict[int, dict[str, Any]] = {}
    for full, tensor in tensors.items():
        kind, _, name = full.partition(".")
        if kind == "optimizer":
            index, _, key = name.partition(".")
            state.setdefault(int(index), {})[key] = tensor
    for name, value in rest.items():
        index, _, key = name.partition(".")
        state.setdefault(int(index), {})[key] = value
    return state
