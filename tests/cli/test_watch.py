"""`mnist watch`: what runs, what waits, and what ended and why, within the width of the terminal."""

from __future__ import annotations

import os
import re
import signal
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from mnist_pipeline.cli import watch
from mnist_pipeline.cli.main import main
from mnist_pipeline.cli.watch import curve, view
from mnist_pipeline.core.progress import DONE, RunStatus, read_progress
from mnist_pipeline.provenance.dvc import Queue, Task
from tests.repository import git, make_repository

NOW = time.time()


def status(run: str, stage: str = "train", ago: float = 1.0, **more: Any) -> RunStatus:
    return RunStatus(run, stage, os.getpid(), seen=NOW - ago, **more)


def training(run: str, epochs: int = 10, **more: Any) -> RunStatus:
    """Half of the training done, in ten seconds."""
    accuracies = [1 - 1 / epoch for epoch in range(2, epochs // 2 + 1)]
    return status(
        run, epoch=epochs // 2 + 1, epochs=epochs, batch=215 * epochs, batches=430 * epochs, loss=0.0712,
        accuracies=accuracies, began=NOW - 10, **more,
    )  # fmt: skip


def shown(runs: Sequence[RunStatus], *tasks: Task, workers: int = 0) -> list[str]:
    return view(runs, Queue(tasks, workers), NOW).splitlines()


@pytest.mark.parametrize("width", [80, 120, 200])
def test_each_run_has_a_line_that_fits_the_terminal(monkeypatch: pytest.MonkeyPatch, width: int) -> None:
    monkeypatch.setenv("COLUMNS", str(width))
    runs = [training("b"), training("an-experiment-with-a-long-name", epochs=1000), status("c", "evaluate")]
    lines = shown(runs)
    assert max(map(len, lines)) <= width
    assert [line.split()[0] for line in lines] == ["run", "an-experiment-wi", "b", "c"]
    for words in ("train 6/10 ", " 50 %", "00:10 ", "0.0712", "0.8000 ▁▅▇█"):
        assert words in lines[2]
    assert "train 501/1000" in lines[1]
    assert lines[3].split() == ["c", "evaluate"]


def test_what_a_resumed_run_had_done_before_does_not_make_it_faster() -> None:
    (line,) = (line for line in shown([training("a", batch_before=4 * 430)]) if line.startswith("a"))
    assert "00:50" in line  # one epoch in ten seconds, five to go


def test_what_waits_and_what_ended_is_named() -> None:
    tasks = [Task(str(number), f"grid-{number}", "Queued") for number in range(1, 8)]
    tasks += [Task("8", "bad", "Failed", "train: bad luck"), Task("9", "wrong", "Failed", "known already")]
    runs = [
        status("between", "export", ago=3, ended=DONE),
        status("good", "card", ago=30, ended=DONE, accuracies=[0.98]),
        status("wrong", ago=120, ended="training diverged: lower the rate", epoch=1, epochs=3),
        status("dead", ago=300, epoch=2, epochs=3),
        status("old", "card", ago=7200, ended=DONE),
    ]
    runs[3].process = 2**22 + 1  # above the largest id of a process
    assert shown(runs, *tasks, workers=2) == [
        "run      stage   training  loss  validation accuracy",
        "between  export",
        "",
        "Queued: grid-1, grid-2, grid-3, grid-4, grid-5 and 2 more",
        "",
        "good: ended after card 30 s ago, validation accuracy 0.9800",
        "wrong: failed in train 1/3 2 min ago: training diverged: lower the rate",
        "dead: was killed in train 2/3 5 min ago",
        "bad: failed: train: bad luck",
    ]
    assert shown([], tasks[0]) == [
        "Queued: grid-1",
        "",
        "No worker of the queue runs; start two: dvc queue start -j 2",
    ]


def test_a_curve_keeps_both_ends() -> None:
    assert curve([0.5], 10) == "▄"
    assert curve([0.1, 0.9], 10) == "▁█"
    assert curve([value / 999 for value in range(1000)], 8) == "▁▂▃▄▅▆▇█"


def test_without_a_terminal_it_prints_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    git(tmp_path, "init", "-q")
    monkeypatch.chdir(tmp_path)
    main(["watch"])
    said = "Nothing runs. Start: dvc repro, or dvc exp run -n adam -S model.optimizer=adam\n"
    assert capsys.readouterr().out == said


def interrupt(_: float) -> None:
    raise KeyboardInterrupt


def test_on_a_terminal_it_refreshes_until_ctrl_c(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    git(tmp_path, "init", "-q")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setattr(time, "sleep", interrupt)
    monkeypatch.setattr(watch, "_keep_asking", lambda *_: None)
    main(["watch"])
    assert "Nothing runs." in capsys.readouterr().out


@pytest.mark.slow
def test_a_run_of_dvc_is_seen_in_training_and_as_killed(tmp_path: Path) -> None:
    repository = make_repository(tmp_path / "clone", tmp_path / "data", epochs=3)
    running = repository.start("dvc exp run --temp -n watched -S train.epochs=2000")
    while "watched  train " not in (said := repository.run("mnist watch")):
        assert running.poll() is None, said
        time.sleep(0.2)
    (found,) = (each for each in read_progress(repository.path).values() if each.run == "watched")
    os.kill(found.process, signal.SIGKILL)
    assert re.search("exited with (-9|137)", running.communicate()[0])  # Dash says -9, and Bash 137
    assert "watched: was killed in train " in repository.run("mnist watch")
    assert repository.run("git status --porcelain") == ""
