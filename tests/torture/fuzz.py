"""Inputs of strangers, made by Hypothesis: each is read, or refused with a ``PipelineError``."""

from __future__ import annotations

import io
import resource
import sys
import tempfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import numpy as np
import torch
import yaml
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st
from PIL import Image

from mnist_pipeline.core.arrays import load_arrays, save_arrays
from mnist_pipeline.core.errors import PipelineError
from mnist_pipeline.core.yaml import parse_yaml
from mnist_pipeline.data.csv import read_blocks, write_rows
from mnist_pipeline.data.schema import Schema
from mnist_pipeline.deploy.reading import Reader
from mnist_pipeline.ingest import idx
from mnist_pipeline.ingest.download import Limits, download
from mnist_pipeline.models.classifier import UNIT, load_classifier, new_classifier, save_classifier
from mnist_pipeline.models.prediction import predict
from mnist_pipeline.params.schema import load_params
from tests.conftest import DIGITS, PARAMS, synthetic_dataset
from tests.deploy.drawn import draw
from tests.ingest.servers import raw, serving

MEMORY = 6 << 30
DATASET = synthetic_dataset(20, side=3)
FOLDER = Path(tempfile.mkdtemp())
CLASSIFIER = new_classifier(28, DIGITS, UNIT, load_params(PARAMS).model, 0).eval()
READER = Reader(CLASSIFIER, FOLDER / "no training images")
INTERESTING = [
    b"",
    b"\0",
    b"\n",
    b"\r\n",
    b",",
    b'"',
    b"-1",
    b"1e999",
    b"\xff" * 8,
    b"9" * 40,
    b"[" * 500,
    b"&a *a",
    b"<<: ",
    b"..",
    b"\x1b[2J",
]


def damaged(contents: list[bytes]) -> st.SearchStrategy[bytes]:
    """Valid contents with some parts replaced, repeated or removed; or bytes of any kind."""

    def change(content: bytes, edits: list[tuple[float, int, bytes]]) -> bytes:
        for place, length, new in edits:
            start = int(place * len(content))
            content = content[:start] + new + content[start + length :]
        return content

    part = st.binary(max_size=8) | st.sampled_from(INTERESTING)
    edit = st.tuples(st.floats(0, 1, exclude_max=True), st.integers(0, 8) | st.integers(0, 2000), part)
    return st.builds(change, st.sampled_from(contents), st.lists(edit, max_size=4)) | st.binary(max_size=300)


def table() -> bytes:
    file = io.BytesIO()
    write_rows(file, DATASET.labels, DATASET.images)
    return file.getvalue()


def read_table(content: bytes) -> None:
    path = FOLDER / "table.csv"
    path.write_bytes(content)
    list(read_blocks(path, Schema(3, DIGITS)))


def read_params(content: bytes) -> None:
    parse_yaml(content, "params.yaml")
    path = FOLDER / "params.yaml"
    path.write_bytes(content)
    load_params(path)


def model_file() -> bytes:
    path = FOLDER / "model"
    save_classifier(path, new_classifier(8, DIGITS, UNIT, load_params(PARAMS).model, 0))
    return path.read_bytes()


def read_model(content: bytes) -> None:
    path = FOLDER / "model.safetensors"
    path.write_bytes(content)
    classifier = load_classifier(path)
    side = classifier.image_side
    outputs = predict(classifier, torch.zeros(1, side, side, dtype=torch.uint8))
    assert torch.isfinite(classifier.probabilities(outputs)).all()


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda below: st.lists(below, max_size=3) | st.dictionaries(st.text(max_size=5), below, max_size=3),
    max_leaves=5,
)


def models() -> st.SearchStrategy[bytes]:
    """Model files with a right checksum, of which something in the description or a weight is another."""
    path = FOLDER / "valid"
    path.write_bytes(model_file())
    file = load_arrays(path, "a model")

    def changed(keys: list[str], value: object, number: float, dtype: str) -> bytes:
        description = yaml.safe_load(yaml.safe_dump(file.metadata["classifier"]))
        below = description
        for key in keys[:-1]:
            below = below[key] if isinstance(below.get(key), dict) else below
        below[keys[-1]] = value
        arrays = {name: array.copy() for name, array in file.arrays.items()}
        name = next(iter(arrays))
        arrays[name].flat[0] = number
        with np.errstate(all="ignore"):
            arrays[name] = arrays[name].astype(dtype)
        save_arrays(path, arrays, {"classifier": description})
        return path.read_bytes()

    names = st.sampled_from(
        ["model", "mlp", "cnn", "hidden_units", "channels", "image_side", "classes", "scaling", "sd"]
    )
    values = JSON | st.sampled_from([2**62, 4096, [[2**31]], [10**9] * 3, "\x1b[2J", ["a\u2028b", "c"]])
    dtypes = st.sampled_from(["float32", "float16", "float64", "int32", "uint8"])
    built = st.builds(changed, st.lists(names, min_size=1, max_size=3), values, st.floats(width=32), dtypes)
    return built | damaged([model_file()])


def pictures() -> list[bytes]:
    found = []
    for form in ("PNG", "JPEG", "TIFF", "GIF", "BMP", "WEBP"):
        file = io.BytesIO()
        Image.fromarray(np.asarray(draw("3", size=(60, 60)))).convert("L").save(file, form)
        found.append(file.getvalue())
    return found


ANSWERS = [
    b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello",
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
    b"HTTP/1.1 302 Found\r\nLocation: /again\r\nContent-Length: 0\r\n\r\n",
]


def read_answer(content: bytes) -> None:
    with serving(raw(content)) as server:
        download(f"{server.url}/file", io.BytesIO(), Limits(timeout=0.3, retries=0, min_rate=1000, max_bytes=100_000))


KINDS: dict[str, tuple[Callable[[bytes], object], Callable[[], st.SearchStrategy[bytes]]]] = {
    "CSV": (read_table, lambda: damaged([table(), table().replace(b"\n", b"\r\n"), b"label,group\n" + table()])),
    "IDX": (
        lambda content: idx.parse(content, 3),
        lambda: damaged([b"\0\0\x08\x03" + bytes([0, 0, 0, 2] * 3) + bytes(8)]),
    ),
    "YAML": (read_params, lambda: damaged([PARAMS.read_bytes(), b"a: &a {b: 1}\nc: {<<: *a}\n"])),
    "model": (read_model, models),
    "picture": (READER.read, lambda: damaged(pictures())),
    "HTTP": (read_answer, lambda: damaged(ANSWERS)),
}


def main(kind: str, number: int, examples: int) -> None:
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    read, strategy = KINDS[kind]

    @seed(number)
    @settings(
        max_examples=examples,
        deadline=60_000,
        database=None,
        suppress_health_check=list(HealthCheck),
        phases=[Phase.generate],
    )
    @given(strategy())
    def is_read_or_refused(content: bytes) -> None:
        with suppress(PipelineError):
            read(content)

    is_read_or_refused()


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))
