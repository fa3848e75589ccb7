"""`mnist verify` passes where a clone gives the same, and names what it does not."""

from __future__ import annotations

import copy
import json
import os
import tempfile
import time
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

import psutil
import pytest

from mnist_pipeline.cli import verify as command
from mnist_pipeline.cli.main import main
from mnist_pipeline.core.errors import PipelineError
from mnist_pipeline.provenance import verify as module
from mnist_pipeline.provenance.verify import FileCheck, MetricCheck, Verification, compare_locks, verify
from tests.repository import Repository, git, make_quick_repository


def entry(path: str, md5: str) -> dict[str, str]:
    return {"path": path, "md5": md5}


LOCK: dict[str, Any] = {
    "validate": {"deps": [entry("raw.csv", "1")], "outs": [entry("arrays", "2")]},
    "train": {"deps": [entry("arrays", "2")], "outs": [entry("model", "3"), entry("history", "4")]},
}


def verification(*changes: tuple[str, str, int], **others: Any) -> Verification:
    """That of a clone in whose lock some entries, by stage, section and place, have another hash."""
    lock = copy.deepcopy(LOCK)
    for stage, section, place in changes:
        lock[stage][section][place]["md5"] = "other"
    environment = ["cpu: A when recorded, B here"]
    return replace(Verification("abc", 1.0, True, list(compare_locks(LOCK, lock)), [], environment), **others)


def test_equal_locks_are_equal() -> None:
    result = verification()
    assert (len(result.files), result.passed, result.first_divergence) == (5, True, None)
    text = command.describe(result)
    assert "5 of 5 files equal" in text
    assert "cpu: A" not in text
    assert text.endswith("PASSED")


VALIDATE_IN, VALIDATE_OUT, MODEL = ("validate", "deps", 0), ("validate", "outs", 0), ("train", "outs", 0)


@pytest.mark.parametrize(
    ("changes", "divergence"),
    [
        ([MODEL], "train gave other bits from equal inputs: model"),
        ([VALIDATE_OUT, ("train", "deps", 0), MODEL], "validate gave other bits from equal inputs: arrays"),
        ([VALIDATE_IN, VALIDATE_OUT], "validate gave other bits from different inputs: arrays"),
        ([VALIDATE_IN], "none gave other bits, but dvc.lock was made with other inputs: raw.csv (validate)"),
    ],
)
def test_the_first_stage_that_diverged_is_named(changes: list[tuple[str, str, int]], divergence: str) -> None:
    result = verification(*changes)
    assert (result.passed, result.first_divergence) == (False, divergence)
    text = command.describe(result)
    assert "cpu: A when recorded, B here" in text
    assert text.endswith("FAILED")


def test_a_missing_stage_or_file_is_a_difference() -> None:
    without = {"validate": LOCK["validate"]}
    for missing in (compare_locks(LOCK, without), compare_locks(without, LOCK)):
        result = verification(files=list(missing))
        assert not result.passed
        assert sum(each.equal for each in result.files) == 2
    assert not FileCheck("train", "out", "model", None, None).equal


@pytest.mark.parametrize(
    ("expected", "got", "passed"),
    [(0.04, 0.0449, True), (0.04, 0.0451, False), (150.0, 166.0, True), (150.0, 167.0, False), (0.98, None, False)],
)
def test_on_another_architecture_metrics_must_be_within_tolerance(
    expected: float, got: float | None, passed: bool
) -> None:
    metrics = [MetricCheck("metrics/test.json", "accuracy", expected, got)]
    result = verification(MODEL, same_bits_expected=False, metrics=metrics)
    assert result.passed is passed
    text = command.describe(result)
    assert "not to be expected" in text
    assert ("OUTSIDE tolerance" in text) is not passed


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Repository:
    """A pipeline whose committed results are of another machine, and not all true."""
    repository = make_quick_repository(tmp_path_factory.mktemp("repository"))
    (repository.path / "metrics" / "machine.json").write_text('{"cpu": "Another"}')
    (repository.path / "metrics" / "test_details.json").write_text('{"accuracy": 0.5, "lost": 1, "fine": true}')
    repository.commit("A false claim")
    return repository


def test_a_number_of_a_process_that_the_system_uses_again_keeps_no_folder(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    folder = tmp_path / f"mnist-verify-{os.getpid()}-abc"
    folder.mkdir()
    assert module.leftovers() == []
    monkeypatch.setattr(psutil.Process, "create_time", lambda _: time.time() + 60)
    assert module.leftovers() == [folder]


def test_a_clone_is_run_and_compared_with_what_is_committed(
    repository: Repository, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(module, "supports_portable", lambda: False)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    running = tmp_path / f"mnist-verify-{os.getpid()}-abc"
    for folder in (running, tmp_path / "mnist-verify-4194303-abc" / "clone"):  # the second: of a call that was killed
        folder.mkdir(parents=True)
    (repository.path / "rows.txt").write_text("not committed")
    result = verify(repository.path, quiet=True)
    assert result.commit == git(repository.path, "rev-parse", "HEAD")
    assert list(dict.fromkeys(each.stage for each in result.files)) == ["validate", "train", "evaluate"]
    assert all(each.equal for each in result.files)
    assert ("out", "models/steps.csv") in {(each.kind, each.path) for each in result.files}
    test = {each.name: (each.expected, each.got) for each in result.metrics if each.path == "metrics/test_details.json"}
    assert test == {"accuracy": (0.5, 0.1), "lost": (1, None)}
    assert {each.name for each in result.metrics if each.within_tolerance} == {"train_rows", "validation_accuracy"}
    assert not result.passed
    assert any(line.startswith("cpu: Another when recorded, ") for line in result.environment)
    assert 0 < result.seconds < 60
    assert [*tmp_path.iterdir()] == [running]


@pytest.mark.slow
def test_what_cannot_be_verified_is_named(repository: Repository, tmp_path: Path) -> None:
    with pytest.raises(PipelineError, match="git rev-parse HEAD"):
        verify(tmp_path)
    git(repository.path, "rm", "-q", "-f", "rows.txt")
    git(repository.path, "commit", "-q", "-m", "No rows")
    with pytest.raises(PipelineError, match=r"(?s)the pipeline failed in the clone .*rows\.txt"):
        verify(repository.path, quiet=True)


@pytest.mark.parametrize(
    ("result", "recorded"),
    [(verification(), True), (verification(same_bits_expected=False), False), (verification(MODEL), False)],
)
def test_the_command_records_the_machine_only_of_equal_bits(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, result: Verification, recorded: bool
) -> None:
    monkeypatch.setattr(command, "verify", lambda *_, **__: result)
    monkeypatch.chdir(tmp_path)
    with nullcontext() if result.passed else pytest.raises(SystemExit, match="1"):
        main(["verify", "--record", "--json", "result.json"])
    content = json.loads((tmp_path / "result.json").read_text())
    assert (content["passed"], content["first_divergence"]) == (result.passed, result.first_divergence)
    assert (tmp_path / "metrics" / "machine.json").exists() is recorded
