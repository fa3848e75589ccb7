"""`mnist doctor` finds every flipped bit, and repairs what it can from what is left."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import pytest

from mnist_pipeline.cli.main import main
from tests.repository import Repository, git, make_quick_repository

STEPS, METRICS, ROWS = "models/steps.csv", "metrics/test_details.json", "rows.txt"


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    make_quick_repository(tmp_path / "here")
    monkeypatch.chdir(tmp_path / "here")
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    # Files that were not written just now, and whose other times, which no program can set, do not count.
    repository = Repository(tmp_path / "here")
    repository.run("git config core.trustctime false; git ls-files | xargs touch -d '1 hour ago'; git status")
    repository.run("dvc status")  # which notes times and hashes
    return repository.path


def flip(path: Path) -> None:
    """Flip a bit as a disk does: neither the size nor the time changes."""
    content, status = bytearray(path.read_bytes()), path.stat()
    content[7] ^= 4
    path.chmod(0o644)
    path.write_bytes(content)
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))


def cached(here: Path, content: bytes) -> Path:
    return next(
        path
        for path in (here / ".dvc" / "cache" / "files").rglob("*")
        if path.is_file() and path.read_bytes() == content
    )


def doctor(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str]:
    """The exit status, and what was printed."""
    status: object = 0
    try:
        main(["doctor", *arguments])
    except SystemExit as ended:
        status = ended.code
    assert isinstance(status, int)
    return status, capsys.readouterr().out


@pytest.mark.slow
def test_a_flipped_bit_is_found_and_repaired(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Of outputs here and in the cache, of a file that git and DVC know, and of one that git alone knows."""
    assert doctor(capsys) == (0, "Outputs, DVC's cache and files of git are what they must be.\n")
    steps = (here / STEPS).read_bytes()
    for path, problems in (
        (here / STEPS, [f"{STEPS} is damaged: with --fix, DVC's cache replaces it"]),
        (cached(here, steps), [f"{STEPS} is damaged in DVC's cache: "]),
        (here / METRICS, [f"{METRICS} is damaged: with --fix, DVC's cache replaces it", f"{METRICS} is damaged: "]),
        (here / ROWS, [f"{ROWS} is damaged: with --fix, git restores it"]),
    ):
        before = path.read_bytes()
        flip(path)
        status, printed = doctor(capsys)
        assert status == 1
        assert all(problem in printed for problem in problems)
        assert doctor(capsys, "--fix")[0] == 0
        assert path.read_bytes() == before
        assert (here / STEPS).read_bytes() == steps
    assert doctor(capsys)[0] == 0


@pytest.mark.slow
def test_what_is_damaged_everywhere_is_removed_and_made_again(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = (here / STEPS).read_bytes()
    for path in (cached(here, before), here / STEPS):
        flip(path)
    assert "run dvc repro" in doctor(capsys, "--fix")[1]
    assert not (here / STEPS).exists()
    status, printed = doctor(capsys)
    assert (status, printed) == (
        1,
        f"1 outputs are missing, such as {STEPS}: dvc checkout, dvc pull or dvc repro restores them\n",
    )
    Repository(here).run("dvc repro")
    assert (here / STEPS).read_bytes() == before
    assert git(here, "status", "--porcelain") == ""


@pytest.mark.slow
def test_a_damaged_file_of_the_run_cache_is_removed(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """DVC would refuse to run the stage, or take another result for that of the run."""
    entries = sorted((here / ".dvc" / "cache" / "runs").glob("*/*/*"))
    for entry, byte in zip(entries, ("\xff", "1"), strict=False):
        text = entry.read_text()
        entry.chmod(0o644)
        entry.write_text(text.replace("md5: ", f"md5: {byte}", 1), "latin-1")
    status, printed = doctor(capsys, "--fix")
    assert status == 0
    assert all(f"{entry} is damaged" in printed for entry in entries[:2])
    assert sorted((here / ".dvc" / "cache" / "runs").glob("*/*/*")) == entries[2:]
    assert doctor(capsys)[0] == 0


@pytest.mark.slow
@pytest.mark.parametrize("in_cache", [True, False])
def test_what_the_user_edited_is_named_and_left(here: Path, capsys: pytest.CaptureFixture[str], in_cache: bool) -> None:
    if not in_cache:
        cached(here, (here / STEPS).read_bytes()).unlink()
    for path in (STEPS, METRICS):
        (here / path).write_text("edited")
    status, printed = doctor(capsys, "--fix")
    assert status == 1
    assert printed.splitlines() == [
        f"{path} is not what dvc.lock says: dvc repro makes it again, or mnist reset goes back"
        for path in (STEPS, METRICS)
    ]
    assert (here / STEPS).read_text() == "edited"


@pytest.mark.slow
def test_what_killed_commands_left_is_removed(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    travelling = ".scratch/checkpoints/checkpoints/ab/cd/adam-0/abc.safetensors"
    left = {
        "models/.steps.csv.4194303.tmp": here / "models" / ".steps.csv.4194303.tmp",
        "mnist-verify-4194303-abc": here.parent / "mnist-verify-4194303-abc" / "clone",
        ".scratch/train/abc.unusable": here / ".scratch" / "train" / "abc.unusable",
        travelling: here / travelling,
        "tmpabc": here / ".dvc" / "tmp" / "exps" / "tmpabc" / "params.yaml",
    }
    for file in left.values():
        file.parent.mkdir(parents=True, exist_ok=True)
        file.touch()
        os.utime(file, (1, 1))
    status, printed = doctor(capsys)
    assert status == 1
    assert [name for name in left if name not in printed] == []
    assert doctor(capsys, "--fix")[0] == 0
    assert [file for file in left.values() if file.exists()] == []


def test_quick_looks_only_at_the_files_of_dvc_and_git(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    flip(here / STEPS)
    assert doctor(capsys, "--quick") == (0, "")
    (here / ".dvc" / "tmp" / "rwlock").write_bytes(b"")
    assert doctor(capsys, "--quick")[0] == 1
    assert doctor(capsys, "--quick", "--fix")[0] == 0
    assert doctor(capsys, "--quick") == (0, "")
