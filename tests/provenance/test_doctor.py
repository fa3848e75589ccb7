"""`mnist doctor` finds every flipped bit, and mends what it can from what is left."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest

from mnist_pipeline.cli.main import main
from tests.repository import Repository, git, make_quick_repository

STEPS, METRICS, ROWS = "models/steps.csv", "metrics/test_details.json", "rows.txt"


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Repository:
    return make_quick_repository(tmp_path_factory.mktemp("original"))


@pytest.fixture
def here(original: Repository, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    shutil.copytree(original.path, tmp_path / "here", symlinks=True)
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


@pytest.mark.parametrize(
    ("path", "in_workspace", "in_cache", "problems"),
    [
        (STEPS, True, False, [f"{STEPS} is damaged: with --fix, DVC's cache replaces it"]),
        (STEPS, False, True, [f"{STEPS} is damaged in DVC's cache: "]),
        (
            METRICS,
            True,
            False,
            [f"{METRICS} is damaged: with --fix, DVC's cache replaces it", f"{METRICS} is damaged: "],
        ),
        (ROWS, True, False, [f"{ROWS} is damaged: with --fix, git restores it"]),
    ],
)
def test_a_flipped_bit_is_found_and_mended(
    here: Path, capsys: pytest.CaptureFixture[str], path: str, in_workspace: bool, in_cache: bool, problems: list[str]
) -> None:
    before = (here / path).read_bytes()
    copy = cached(here, before) if in_cache else here / path
    assert doctor(capsys) == (0, "Outputs, DVC's cache and files of git are what they must be.\n")
    flip(copy)
    assert in_workspace or copy.parent != here
    status, printed = doctor(capsys)
    assert status == 1
    assert all(problem in printed for problem in problems)
    assert doctor(capsys, "--fix")[0] == 0
    assert copy.read_bytes() == (here / path).read_bytes() == before
    assert doctor(capsys)[0] == 0


def test_what_is_damaged_everywhere_is_removed_and_made_again(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = (here / STEPS).read_bytes()
    for path in (cached(here, before), here / STEPS):
        flip(path)
    assert "run dvc repro" in doctor(capsys, "--fix")[1]
    assert not (here / STEPS).exists()
    status, printed = doctor(capsys)
    assert (status, printed) == (
        1,
        f"1 outputs are missing, such as {STEPS}: dvc checkout, dvc pull or dvc repro brings them\n",
    )
    Repository(here).run("dvc repro")
    assert (here / STEPS).read_bytes() == before
    assert git(here, "status", "--porcelain") == ""


def test_what_the_user_edited_is_named_and_left(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for path in (STEPS, METRICS):
        (here / path).write_text("edited")
    status, printed = doctor(capsys, "--fix")
    assert status == 1
    assert printed.splitlines() == [
        f"{path} is not what dvc.lock says: dvc repro makes it again, or mnist reset goes back"
        for path in (STEPS, METRICS)
    ]
    assert (here / STEPS).read_text() == "edited"


def leave_temporary(here: Path) -> Path:
    return here / "models" / ".steps.csv.4194303.tmp"


def leave_verify(here: Path) -> Path:
    return here.parent / "mnist-verify-4194303-abc" / "clone"


def leave_checkpoint(here: Path) -> Path:
    return here / ".scratch" / "train" / "abc.unusable"


def leave_travelling_checkpoint(here: Path) -> Path:
    return here / ".scratch" / "checkpoints" / "checkpoints" / "ab" / "cd" / "adam-0" / "abc.safetensors"


def leave_queue_folder(here: Path) -> Path:
    return here / ".dvc" / "tmp" / "exps" / "tmpabc" / "params.yaml"


@pytest.mark.slow
@pytest.mark.parametrize(
    "leave",
    [leave_temporary, leave_verify, leave_checkpoint, leave_travelling_checkpoint, leave_queue_folder],
)
def test_what_killed_commands_left_is_removed(
    here: Path, capsys: pytest.CaptureFixture[str], leave: Callable[[Path], Path]
) -> None:
    file = leave(here)
    file.parent.mkdir(parents=True, exist_ok=True)
    file.touch()
    os.utime(file, (1, 1))
    assert doctor(capsys)[0] == 1
    assert doctor(capsys, "--fix")[0] == 0
    assert not file.exists()


def test_quick_looks_only_at_the_files_of_dvc_and_git(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    flip(here / STEPS)
    assert doctor(capsys, "--quick") == (0, "")
    (here / ".dvc" / "tmp" / "rwlock").write_bytes(b"")
    assert doctor(capsys, "--quick")[0] == 1
    assert doctor(capsys, "--quick", "--fix")[0] == 0
    assert doctor(capsys, "--quick") == (0, "")
