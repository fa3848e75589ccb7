"""One run in a clone: it is published once, and whatever comes out otherwise is an error."""

from __future__ import annotations

import fcntl
import json
import os
import re
import subprocess
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from mnist_pipeline.cluster import checkpoints, clones
from mnist_pipeline.cluster import origin as origins
from mnist_pipeline.cluster.checkpoints import FOLDER, Checkpoints
from mnist_pipeline.cluster.clones import MARK, end_processes, locked_clone, turn
from mnist_pipeline.cluster.jobs import Job, Result
from mnist_pipeline.cluster.work import progress_in, work
from mnist_pipeline.core.errors import PipelineError
from mnist_pipeline.provenance.git import trailer
from tests.cluster.repository import Origin, make_origin
from tests.repository import Repository, git
from tests.test_sharing import ssh_remote


@pytest.fixture
def origin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Origin:
    for role in ("AUTHOR", "COMMITTER"):
        for what in ("NAME", "EMAIL"):
            monkeypatch.setenv(f"GIT_{role}_{what}", "test@localhost")
    for name in (MARK, *origins.ENVIRONMENT):
        monkeypatch.setenv(name, "")  # so that they are restored afterwards
        monkeypatch.delenv(name)
    monkeypatch.setattr(origins, "RETRY_SECONDS", 0.0)
    return make_origin(tmp_path)


def run(origin: Origin, job: Job, worker: str = "first", *, again: bool = False) -> Result:
    return work(job, origin.locations, lambda _: None, again=again, worker=worker)


def test_a_run_is_published_once_and_says_who_made_it(origin: Origin) -> None:
    result = run(origin, origin.job(1))
    assert (result.status, result.worker, result.seconds) == ("published", "first", 2.5)
    assert result.commit is not None
    assert trailer(origin.folder / "origin", result.commit, "Worker") == "first"
    assert "Python" in trailer(origin.folder / "origin", result.commit, "Machine")
    (clone,) = (origin.folder / "clones").glob("*-0")
    calls = clone / ".git" / "calls"
    assert calls.read_text().split("\n")[:2] == ["exp run", "push --quiet"]  # the data before the ref
    known = run(origin, replace(origin.job(1), commit=origin.commit[:8]), "second")
    assert (known.status, known.worker, known.commit) == ("known", "first", result.commit)
    assert calls.read_text().count("exp run") == 1
    assert origin.refs() == ["run-1"]


@pytest.mark.slow
def test_a_repetition_is_compared_file_by_file(origin: Origin, monkeypatch: pytest.MonkeyPatch) -> None:
    first = run(origin, origin.job(1))
    again = run(origin, origin.job(1), "second", again=True)
    assert (again.status, again.commit, again.other) == ("confirmed", first.commit, "first")
    assert origin.refs("confirmed") == ["run-1/second"]
    monkeypatch.setenv("WRONG", "1")
    different = run(origin, origin.job(1), "third one", again=True)
    assert different.status == "different"
    assert "run-1 came out otherwise on third one (" in different.log
    assert "than on first (" in different.log
    assert different.log.endswith("metrics.json differ")
    assert origin.refs() == ["run-1"]
    assert origin.refs("set-aside") == ["run-1/third-one"]


def test_what_cannot_be_published_fails_and_names_the_reason(origin: Origin) -> None:
    failed = run(origin, origin.job(13))
    assert (failed.status, failed.log) == ("failed", "train: 13 brings bad luck")
    run(origin, origin.job(1, "name"))
    with pytest.raises(PipelineError, match=r"name of commit .* is another run at the origin: seed is 1, not 2"):
        run(origin, origin.job(2, "name"))
    with pytest.raises(PipelineError, match=r"git (ls-remote|clone)"):
        work(origin.job(1), replace(origin.locations, origin=str(origin.folder / "gone")), lambda _: None)
    assert origin.refs() == ["name"]


@pytest.mark.parametrize(
    ("path", "text", "message"),
    [
        ("requirements.lock", "psutil==0.1\nabsent==2\n", r"psutil==0.1 wanted, .* here\nabsent==2 wanted, none here"),
        ("params.yaml", "runtime: {numerics: fast}\nseed: 0\n", "runtime.numerics is not portable"),
    ],
)
def test_a_worker_refuses_what_would_give_other_bits(origin: Origin, path: str, text: str, message: str) -> None:
    mine = origin.folder / "mine"
    (mine / path).write_text(text)
    git(mine, "commit", "-qam", "Other")
    git(mine, "push", "-q", "../origin", "main")
    job = replace(origin.job(1), commit=git(mine, "rev-parse", "HEAD"))
    result = run(origin, job)
    assert result.status == "refused"
    assert re.search(message, result.log)
    assert origin.refs() == []


@pytest.mark.slow
@pytest.mark.parametrize("damage", ["half", "locked", "dirty", "other"])
def test_a_clone_is_repaired_whatever_happened_to_it(origin: Origin, damage: str) -> None:
    run(origin, origin.job(1))
    (clone,) = (origin.folder / "clones").glob("*-0")
    match damage:
        case "half":
            for path in (clone / ".git" / "objects").rglob("*"):
                if path.is_file():
                    path.unlink()
        case "locked":
            (clone / ".git" / "index.lock").touch()
            (clone / ".dvc" / "tmp").mkdir()
            (clone / ".dvc" / "tmp" / "rwlock").touch()
        case "dirty":
            (clone / "params.yaml").write_text("seed: 9\n")
            (clone / "untracked").touch()
            git(clone, "update-ref", origin.job(2).ref, "HEAD")
        case "other":
            clone.with_name(f"{clone.name}.new").mkdir()
    result = run(origin, origin.job(2))
    assert result.status == "published"
    assert result.commit is not None
    assert git(origin.folder / "origin", "diff", "--name-only", f"{result.commit}^", result.commit).split() == [
        "dvc.lock",
        "metrics.json",
        "params.yaml",
    ]


def test_a_clone_in_use_is_left_alone_and_processes_of_the_dead_are_ended(tmp_path: Path) -> None:
    with locked_clone(str(tmp_path), "origin") as first, locked_clone(str(tmp_path), "origin") as second:
        assert first != second
        assert first.name.endswith("-0")
        with first.with_name(f"{first.name}.lock").open("w") as lock, pytest.raises(BlockingIOError):
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        left = subprocess.Popen(["sleep", "60"], env=os.environ | {MARK: str(first)})
        end_processes(second)
        assert left.poll() is None
    assert left.wait(5) is not None


def test_runs_take_turns_to_start_but_none_waits_for_ever(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clones, "usable_cores", lambda: 2)
    begun = threading.Event()

    def third() -> None:
        with turn(tmp_path):
            begun.set()

    thread = threading.Thread(target=third)
    with turn(tmp_path), turn(tmp_path):
        thread.start()
        assert not begun.wait(0.3)
    assert begun.wait(10)
    thread.join()
    monkeypatch.setattr(clones, "LONGEST_WAIT", 0.2)
    with turn(tmp_path), turn(tmp_path), turn(tmp_path):  # as if the first two had been stopped
        pass


def test_a_run_ends_with_its_parent(origin: Origin) -> None:
    """Here it waits for an origin that is not there."""
    command = [
        sys.executable,
        "-m",
        "mnist_pipeline.cli.main",
        "work",
        "x",
        f"--commit={origin.commit}",
        "--with-parent",
    ]
    places = [f"--origin={origin.folder / 'gone'}", f"--clones={origin.folder}", "--set-param=seed=1"]
    pipes: Any = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL}
    with subprocess.Popen([*command, *places], text=True, **pipes) as running:
        assert running.stdout is not None
        assert running.stdin is not None
        while "waits" not in running.stdout.readline():
            time.sleep(0.01)
        running.stdin.close()
        assert running.wait(10) == 130


def test_progress_is_what_the_newest_file_says(tmp_path: Path) -> None:
    assert progress_in(tmp_path) == ""
    folder = tmp_path / ".scratch" / "progress"
    folder.mkdir(parents=True)
    status = {"run": "adam", "stage": "train", "process": 1, "epoch": 3, "epochs": 10}
    (folder / "workspace.json").write_text(json.dumps(status))
    assert progress_in(tmp_path) == "train, epoch 3 of 10"
    (folder / "workspace.json").write_text("{")
    assert progress_in(tmp_path) == ""


def carry(folder: Path, job: Job, where: str) -> None:
    """Send a checkpoint from one clone, fetch it to another, and remove it."""
    here, there = Checkpoints(folder / "here", job, where), Checkpoints(folder / "there", job, where)
    there.fetch()  # nothing is there yet
    old, new = (folder / "here" / FOLDER / f"{name}.safetensors" for name in ("old", "new"))
    old.parent.mkdir(parents=True)
    old.touch()
    os.utime(old, (1, 1))  # of an earlier run
    for content in (b"first", b"second"):
        new.write_bytes(content)
        os.utime(new, (time.time() + 9, time.time() + 9 + len(content)))
        here.send()
    there.fetch()
    assert [(path.name, path.read_bytes()) for path in (folder / "there" / FOLDER).iterdir()] == [(new.name, b"second")]
    there.discard()
    Checkpoints(folder / "third", job, where).fetch()
    assert not (folder / "third" / FOLDER).exists()


def test_checkpoints_travel_through_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checkpoints, "SECONDS_BETWEEN", 0.0)
    monkeypatch.setattr(checkpoints, "run_dvc", lambda *_: "core.remote=store\n")
    carry(tmp_path, Job("run-1", "c" * 40), str(tmp_path / "shared"))


@pytest.mark.slow
def test_checkpoints_travel_through_a_remote_on_ssh(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checkpoints, "SECONDS_BETWEEN", 0.0)
    (tmp_path / "server").mkdir()
    with ssh_remote(tmp_path / "server") as commands:
        for name in ("here", "there", "third"):
            folder = Repository(tmp_path / name)
            folder.path.mkdir()
            folder.run(" && ".join(["git init -q", "dvc init -q", *commands]))
        carry(tmp_path, Job("run-1", "c" * 40), "storage")
