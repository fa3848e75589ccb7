"""Arrays in safetensors files: the one reader and the one writer.

The format (https://huggingface.co/docs/safetensors) is a length, a JSON header and the bytes of each array. It holds
no code, so that a file from a stranger is safe to open, and the same arrays give the same bytes. An array ``sha256``
covers all others and the metadata: DVC does not notice a bit that flipped on the disk, and the reader here does.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from mnist_pipeline.core.errors import PipelineError
from mnist_pipeline.core.files import atomic_write

CHECKSUM = "sha256"
HEADER_BYTES = 1 << 16  # reserved where the number of rows is known only at the end; the format allows padding
DTYPE_NAMES: dict[np.dtype[Any], str] = {np.dtype(np.uint8): "U8", np.dtype(np.int32): "I32"}


@dataclass(frozen=True)
class ArrayFile:
    """The content of a file.

    Attributes:
        arrays: by name.
        metadata: values that JSON can hold, by name.
    """

    arrays: dict[str, NDArray[Any]]
    metadata: dict[str, Any]


def save_arrays(path: Path, arrays: Mapping[str, NDArray[Any]], metadata: Mapping[str, Any] | None = None) -> None:
    """Write arrays atomically.

    Args:
        path: of the file.
        arrays: by name.
        metadata: at most one value that JSON can hold, by name: the library writes several in random order.
    """
    assert len(metadata or {}) <= 1
    text = {name: json.dumps(value, sort_keys=True) for name, value in (metadata or {}).items()}
    # The library writes an array as it lies in memory, which is not its order where it is a transposed view.
    ordered = {name: np.asarray(array, order="C") for name, array in arrays.items()}
    content = save(ordered | {CHECKSUM: _checksum(ordered, text)}, text or None)
    with atomic_write(path) as temporary:
        temporary.write_bytes(content)


def load_arrays(path: Path, what: str, names: Iterable[str] = (), *, mapped: bool = False) -> ArrayFile:
    """Read the arrays of a file.

    Args:
        path: of the file.
        what: the file must be, for the error: "a model that the train stage wrote".
        names: of arrays and metadata that it must have.
        mapped: whether to map the arrays into memory instead of reading them: pages are read at first use. Such
            arrays can be changed; the file does not change with them.

    Raises:
        PipelineError: the file is missing, damaged, in another format, or lacks one of ``names``.
    """
    try:
        with safe_open(path, framework="numpy") as opened:  # checks that the header fits the file
            file = cast("Any", opened)
            text = file.metadata() or {}
            if missing := {*names, CHECKSUM} - set(file.keys()) - set(text):
                raise ValueError(f"it lacks {', '.join(sorted(missing))}")
            arrays = _map(path) if mapped else {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        if not np.array_equal(arrays.pop(CHECKSUM), _checksum(arrays, text)):
            raise ValueError(
                "it is damaged: its content does not have its SHA-256; restore it with dvc checkout --force"
            )
        return ArrayFile(arrays, {name: json.loads(value) for name, value in text.items()})
    except (OSError, SafetensorError, KeyError, TypeError, ValueError) as error:
        raise PipelineError(f"{path}: must be {what}; {error}") from None


def _checksum(arrays: Mapping[str, NDArray[Any]], text: Mapping[str, str]) -> NDArray[np.uint8]:
    """The SHA-256 of arrays, with their names, types and shapes, and of metadata; uint8 (32,)."""
    digest = hashlib.sha256(json.dumps(sorted(text.items())).encode())
    for name, array in sorted(arrays.items()):
        digest.update(json.dumps([name, array.dtype.str, array.shape]).encode())
        digest.update(np.ascontiguousarray(array).reshape(-1).view(np.uint8).data)
    return np.frombuffer(digest.digest(), np.uint8)


def _map(path: Path) -> dict[str, NDArray[Any]]:
    with path.open("rb") as file:
        start = 8 + int.from_bytes(file.read(8), "little")
        header = json.loads(file.read(start - 8))
    dtypes = {name: dtype for dtype, name in DTYPE_NAMES.items()}
    return {
        name: np.asarray(
            np.memmap(path, dtypes[entry["dtype"]], "c", start + entry["data_offsets"][0], tuple(entry["shape"]))
        )
        for name, entry in header.items()
        if name != "__metadata__"
    }


def save_blocks(
    path: Path,
    blocks: Iterable[Mapping[str, NDArray[Any]]],
    metadata: Mapping[str, Any],
    derive: Callable[[dict[str, NDArray[Any]]], Mapping[str, NDArray[Any]]] | None = None,
) -> None:
    """Write arrays atomically, block of rows by block of rows.

    Args:
        path: of the file.
        blocks: the next rows of each array, uint8 or int32, at least one block. The first array goes to the disk at
            once, the others stay in memory until the end: name the largest first.
        metadata: values that JSON can hold, by name.
        derive: from all arrays, further ones for the same file.

    Raises:
        OSError: the file cannot be written; ``path`` is unchanged.
        PipelineError: the metadata is too long; likewise.
        Exception: whatever ``blocks`` or ``derive`` raises; likewise.
    """
    first, rows = "", 0
    kept: dict[str, list[NDArray[Any]]] = {}
    shape: tuple[int, ...] = ()
    with atomic_write(path) as temporary, temporary.open("wb") as file:
        file.write(bytes(HEADER_BYTES))
        for block in blocks:
            (first, array), *others = block.items()
            assert array.dtype == np.uint8
            file.write(np.ascontiguousarray(array).data)
            for name, other in others:
                kept.setdefault(name, []).append(np.array(other))  # a copy: a view would keep the block
            shape, rows = array.shape[1:], rows + len(array)
        file.flush()
        largest: NDArray[Any] = np.memmap(temporary, np.dtype(np.uint8), "r", HEADER_BYTES, (rows, *shape))
        arrays = {first: largest} | {name: np.concatenate(each) for name, each in kept.items()}
        if derive is not None:
            arrays |= derive(arrays)
        arrays[CHECKSUM] = _checksum(arrays, {name: json.dumps(value) for name, value in metadata.items()})
        for name, array in arrays.items():
            if name != first:
                file.write(np.ascontiguousarray(array).data)
        text = _header(arrays, metadata).ljust(HEADER_BYTES - 8)
        if len(text) > HEADER_BYTES - 8:
            raise PipelineError(f"{path}: the names of all classes must take less than {HEADER_BYTES} bytes")
        file.seek(0)
        file.write((HEADER_BYTES - 8).to_bytes(8, "little") + text)


def _header(arrays: Mapping[str, NDArray[Any]], metadata: Mapping[str, Any]) -> bytes:
    header: dict[str, Any] = {"__metadata__": {name: json.dumps(value) for name, value in metadata.items()}}
    end = 0
    for name, array in arrays.items():
        start, end = end, end + array.nbytes
        header[name] = {"dtype": DTYPE_NAMES[array.dtype], "shape": array.shape, "data_offsets": [start, end]}
    return json.dumps(header).encode("utf-8")
