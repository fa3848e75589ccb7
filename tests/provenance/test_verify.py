"""mnist verify: it passes where all is equal, and names what is not."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from mnist_pipeline import verify as verify_module
from mnist_pipeline.cli.main import main
from mnist_pipeline.cli.verify import describe
from mnist_pipeline.provenance.verify import Comparison, MetricComparison, Verification, PipelineError, compare_locks, verify
from tests.repository import make_repository


def entry(path: str, md5: str) -> dict[str, str]:
    return {"path": path, "md5": md5}


LOCK: dict[str, Any] = {
    "validate": {"deps": [entry("raw.csv", "1")], "outs": [entry("arrays", "2")]},
    "train": {"deps": [entry("arrays", "2")], "outs": [entry("model", "3"), entry("history", "4")]},
}


def verification(files: list[Comparison], **changes: Any) -> Verification:
    settings: dict[str, Any] = {
        "commit": "abc",
        "seconds": 1.0,
        "same_bits_expected": True,
        "files": files,
        "metrics": [],
        "environment": ["cpu: A when recorded, B here"],
    }
    return Verification(**(settings | changes))


def changed_lock(stage: str, section: str, path: str) -> dict[str, Any]:
    lock: dict[str, Any] = json.loads(json.dumps(LOCK))
    for each in lock[stage][section]:
        if each["path"] == path:
            each["md5"] = "other"
    return lock


def test_equal_locks_are_equal() -> None:
    result = verification(list(compare_locks(LOCK, LOCK)))
    assert len(result.files) == 5
    assert result.passed
    assert result.first_divergence is None
    assert "5 of 5 files equal" in describe(result)
    assert describe(result).endswith("PASSED")


def test_a_difference_names_the_stage_and_whether_its_inputs_were_equal() -> None:
    result = verification(list(compare_locks(LOCK, changed_lock("train", "outs", "model"))))
    assert not result.passed
    assert result.first_divergence == "train gave other bits from equal inputs: model"
    text = describe(result)
    assert "cpu: A when recorded, B here" in text
    assert text.endswith("FAILED")


def test_the_first_stage_that_diverged_is_named_not_those_after_it() -> None:
    lock = changed_lock("validate", "outs", "arrays")
    lock["train"]["deps"][0]["md5"] = lock["train"]["outs"][0]["md5"] = "other"
    divergence = verification(list(compare_locks(LOCK, lock))).first_divergence
    assert divergence == "validate gave other bits from equal inputs: arrays"


def test_different_inputs_are_said_to_be() -> None:
    lock = changed_lock("validate", "outs", "arrays")
    lock["validate"]["deps"][0]["md5"] = "other"
    divergence = verification(list(compare_locks(LOCK, lock))).first_divergence
    assert divergence == "validate gave other bits from different inputs: arrays"


def test_inputs_alone_may_differ() -> None:
    lock = changed_lock("validate", "deps", LOCK["validate"]["deps"][0]["path"])
    path = LOCK["validate"]["deps"][0]["path"]
    divergence = verification(list(compare_locks(LOCK, lock))).first_divergence
    assert divergence == f"none gave other bits, but dvc.lock was made with other inputs: {path} (validate)"


def test_a_missing_stage_or_file_is_a_difference() -> None:
    without = {"validate": LOCK["validate"]}
    assert not verification(list(compare_locks(LOCK, without))).passed
    assert not verification(list(compare_locks(without, LOCK))).passed


@pytest.mark.parametrize(
    ("expected", "got", "passed"), [(0.98, 0.984, True), (0.98, 0.95, True), (0.98, 0.5, False), (150.0, 160.0, True)]
)
def test_on_another_architecture_metrics_count(expected: float, got: float, passed: bool) -> None:
    files = list(compare_locks(LOCK, changed_lock("train", "outs", "model")))
    metrics = [MetricComparison("metrics/test.json", "accuracy", expected, got)]
    result = verification(files, same_bits_expected=False, metrics=metrics)
    assert result.passed is passed
    assert "not to be expected" in describe(result)


def test_stages_are_in_the_order_in_which_they_run() -> None:
    text = json.dumps({"stages": {"train": LOCK["train"], "validate": LOCK["validate"]}})
    assert list(verify_module._lock(text)) == ["validate", "train"]


def test_outside_a_repository_it_says_so(tmp_path: Path) -> None:
    with pytest.raises(PipelineError, match="git rev-parse HEAD"):
        verify(tmp_path)


@pytest.mark.slow
def test_a_real_clone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    repository = make_repository(tmp_path / "clone", tmp_path / "data")
    monkeypatch.chdir(repository.path)
    for name, value in repository.environment.items():
        monkeypatch.setenv(name, value)
    main(["verify", "--quiet", "--record", "--json", str(tmp_path / "result.json")])
    assert "PASSED" in capsys.readouterr().out
    assert json.loads((tmp_path / "result.json").read_text())["passed"] is True
    assert json.loads((repository.path / "metrics" / "machine.json").read_text())["packages"]

    lock = repository.lock()
    outs = yaml.safe_load(lock)["stages"]["train"]["outs"]
    (md5,) = (out["md5"] for out in outs if out["path"] == "models/classifier.safetensors")
    (repository.path / "dvc.lock").write_text(lock.replace(md5, "f" * 32))
    repository.run("git commit -q -a -m 'A false claim'")
    with pytest.raises(SystemExit) as ended:
        main(["verify", "--quiet"])
    assert ended.value.code == 1
    assert "train gave other bits from equal inputs: models/classifier.safetensors" in capsys.readouterr().out
