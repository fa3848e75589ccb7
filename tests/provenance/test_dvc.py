"""dvc.lock files and the state of DVC's queue are read as DVC writes them; outputs are found in its cache."""

from __future__ import annotations

from pathlib import Path

import pytest

from mnist_pipeline.core.errors import PipelineError, RevisionError
from mnist_pipeline.provenance import dvc
from mnist_pipeline.provenance.dvc import (
    Queue,
    Task,
    cached_output,
    parse_lock,
    parse_queue,
    read_queue,
    run_dvc,
    stages_of,
    with_upstream,
)
from tests.repository import Repository, git, make_quick_repository


@pytest.mark.parametrize("text", ["", "a: 1", "stages: 1", "- a", "stages: [", b"\xff\xfe\x00"])
def test_what_is_no_lock_is_refused(text: str | bytes) -> None:
    with pytest.raises(PipelineError, match=r"^dvc\.lock of abc: must be "):
        parse_lock(text, "dvc.lock of abc")


PRINTED = """\
Task     Name                      Created       Status
192a13c  base-0                    06:28 PM      Running
ab12cd3                            Jul 01, 2026  Queued
ab12cd4  a-long-experiment-name-0  Jul 01, 2026  Success

Worker status: 2 active, 1 idle
"""
UNNAMED = """\
Task     Name    Created    Status
ab12cd3          06:28 PM   Failed

Worker status: 0 active, 0 idle
"""


def test_the_queue_is_read_as_dvc_prints_it() -> None:
    queued = Task("ab12cd3", "", "Queued")
    tasks = (Task("192a13c", "base-0", "Running"), queued, Task("ab12cd4", "a-long-experiment-name-0", "Success"))
    queue = parse_queue(PRINTED)
    assert queue == Queue(tasks, workers=2)
    assert queue.with_state("Queued") == [queued]
    assert parse_queue(UNNAMED) == Queue((Task("ab12cd3", "", "Failed"),), workers=0)


@pytest.mark.parametrize(
    ("log", "reason"),
    [
        (
            "Running stage 'train':\n> python stages/train.py\ntrain: epochs must be 1 or more, was 0\n"
            "ERROR: failed to reproduce 'train': failed to run: python stages/train.py, exited with 1\n\n",
            "train: epochs must be 1 or more, was 0",
        ),
        ("", "it failed before its first stage; see .dvc/tmp/exps/celery/*.out"),
    ],
)
def test_a_task_failed_for_the_last_reason_that_its_own_program_printed(
    log: str, reason: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    git(tmp_path, "init", "-q")
    Repository(tmp_path).commit("base")
    git(tmp_path, "update-ref", "refs/exps/celery/failed", "HEAD")
    monkeypatch.setattr(dvc, "run_dvc", lambda *words: UNNAMED if words[2] == "status" else log)
    assert read_queue(tmp_path) == Queue((Task("ab12cd3", "", "Failed", reason),))


def test_stages_come_with_what_they_build_on_in_the_order_in_which_they_run() -> None:
    def stage(deps: list[str], outs: list[str]) -> dict[str, list[dict[str, str]]]:
        return {"deps": [{"path": path} for path in deps], "outs": [{"path": path} for path in outs]}

    stages = {"test": stage(["model", "raw"], []), "train": stage(["raw"], ["model"]), "fetch": stage([], ["raw"])}
    assert list(with_upstream(stages, stages)) == ["fetch", "train", "test"]
    assert list(with_upstream(stages, ["train", "absent"])) == ["fetch", "train"]


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Repository:
    return make_quick_repository(tmp_path_factory.mktemp("repository"))


@pytest.mark.slow
def test_dvc_itself_answers_with_an_empty_queue_or_an_error(repository: Repository) -> None:
    assert parse_queue(run_dvc(repository.path, "queue", "status")) == Queue()
    with pytest.raises(PipelineError, match=r"(?s)dvc nonsense: .*nonsense"):
        run_dvc(repository.path, "nonsense")


def test_an_output_of_a_commit_is_found_in_the_cache(repository: Repository) -> None:
    head = git(repository.path, "rev-parse", "HEAD")
    assert list(stages_of(repository.path, head)) == ["validate", "train", "evaluate"]
    cached = cached_output(repository.path, head, "models/steps.csv")
    assert cached != repository.path / "models" / "steps.csv"
    assert cached.read_bytes() == (repository.path / "models" / "steps.csv").read_bytes()
    cached.rename(cached.with_name("moved"))
    with pytest.raises(PipelineError, match=rf"models/steps\.csv of commit {head[:10]} is not in DVC's cache; check"):
        cached_output(repository.path, head, "models/steps.csv")
    with pytest.raises(RevisionError, match=rf"no stage of commit {head[:10]} has the output models/other\.csv"):
        cached_output(repository.path, head, "models/other.csv")
    (repository.path / "dvc.lock").unlink()
    with pytest.raises(RevisionError, match=r"dvc\.lock is not in commit"):
        stages_of(repository.path, repository.commit("No lock"))
