"""Stages that DVC runs report how far they are: seldom, and without ever stopping for it."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from mnist_pipeline.core.errors import PipelineError
from mnist_pipeline.core.progress import DONE, FOLDER, RunStatus, read_progress, report, reported


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder in which DVC was started, and in which the stage runs."""
    monkeypatch.setenv("DVC_ROOT", str(tmp_path))
    monkeypatch.delenv("DVC_EXP_NAME", raising=False)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def known(root: Path) -> list[RunStatus]:
    """The runs that are known, the one that wrote last first."""
    return sorted(read_progress(root).values(), key=lambda each: -each.seen)


def test_what_a_stage_reports_is_read_and_its_curve_stays_for_the_next_stage_of_the_run(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with reported("train"):
        report(epoch=2, epochs=3, batch=15, batches=30, loss=0.5, accuracies=[0.9])
        (status,) = known(root)
        assert (status.run, status.stage, status.ended, status.process) == ("workspace", "train", "", os.getpid())
        assert (status.batch, status.batch_before, status.loss, status.accuracies) == (15, 15, 0.5, [0.9])
        assert status.alive
    with reported("evaluate"):
        (status,) = known(root)
        assert (status.stage, status.epochs, status.accuracies) == ("evaluate", 0, [0.9])
    assert [each.ended for each in known(root)] == [DONE]
    monkeypatch.setenv("DVC_EXP_NAME", "adam")
    with reported("check"):
        (status,) = known(root)
        assert (status.run, status.accuracies) == ("adam", [])


def test_experiments_in_folders_of_their_own_report_to_the_root(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("a", "b"):
        monkeypatch.setenv("DVC_EXP_NAME", name)
        folder = root / ".dvc" / "tmp" / "exps" / f"tmp{name}"
        folder.mkdir(parents=True)
        monkeypatch.chdir(folder)
        with reported("train"):
            pass
    assert [each.run for each in known(root)] == ["b", "a"]
    assert [path.name for path in root.iterdir() if path.name != ".dvc"] == [FOLDER.parts[0]]


def test_reports_are_written_once_a_second(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    now = time.time()
    monkeypatch.setattr(time, "time", lambda: now)
    with reported("train"):
        report(epoch=1, epochs=2, batches=10)
        for batch in range(1, 4):
            report(batch=batch)
            now += 0.4
        assert known(root)[0].batch == 0
        report(batch=4)
        assert known(root)[0].batch == 4
        report(batch=5)
    assert known(root)[0].batch == 5  # the end is always written


@pytest.mark.parametrize(
    ("error", "ended"),
    [(PipelineError("too large"), "too large"), (KeyboardInterrupt(), "KeyboardInterrupt"), (KeyError("x"), "'x'")],
)
def test_why_a_stage_failed_is_kept(root: Path, error: BaseException, ended: str) -> None:
    with pytest.raises(type(error)), reported("train"):
        raise error
    assert [each.ended for each in known(root)] == [ended]
    report(epoch=1)  # belongs to no stage


def test_a_killed_process_and_another_one_with_its_id_are_not_alive() -> None:
    process = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    now = time.time()
    assert RunStatus("run", "train", process.pid, seen=now).alive
    assert not RunStatus("run", "train", process.pid, seen=now - 120).alive  # that was before this process started
    process.kill()
    time.sleep(0.1)
    assert not RunStatus("run", "train", process.pid, seen=now).alive  # nobody has asked for its exit status yet
    process.communicate()
    assert not RunStatus("run", "train", process.pid, seen=now).alive


def test_nothing_is_written_without_dvc_and_nothing_stops_where_it_cannot_be(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (root / ".scratch").touch()  # no folder can be made in its place
    with reported("train"):
        report(epoch=1, epochs=2)
    assert known(root) == []
    (root / ".scratch").unlink()
    monkeypatch.delenv("DVC_ROOT")
    with reported("train"):
        report(epoch=1, epochs=2)
    assert list(root.iterdir()) == []


def test_what_is_a_day_old_or_damaged_does_not_stay_or_matter(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = root / FOLDER
    with reported("train"):
        pass
    (folder / "workspace.json").rename(folder / "old.json")
    (folder / "damaged.json").write_text("{")
    (folder / "other.json").write_text('{"unknown": 1}')
    assert len(known(root)) == 1
    later = time.time() + 90_000
    monkeypatch.setattr(time, "time", lambda: later)
    with reported("train"):
        assert not (folder / "old.json").exists()
