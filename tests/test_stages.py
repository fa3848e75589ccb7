"""The stage scripts: what they say of themselves, and a message instead of a traceback or half an output."""

from __future__ import annotations

import re
import resource
import runpy
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib.figure import Figure

from mnist_pipeline.core import numerics
from mnist_pipeline.data.dataset import save_dataset
from tests.conftest import ROOT, make_block, synthetic_dataset, write_csv_file
from tests.repository import write_params

STAGES = ("check", "fetch", "validate", "check_data", "audit", "train", "evaluate", "card", "plot")
SMALL: dict[str, Any] = {
    "csv": {"image_side": 4, "classes": ["a", "b", "c"], "rows": {"train": None, "test": None}, "corrected_test": None},
    "fetch.sources": [{"kind": "folder", "path": "nowhere"}],
    "data.validation_size": 30,
    "train.epochs": 1,
}
"""Changes of the tests' params: images of 4 × 4 pixels in 3 classes."""

SETTINGS = {"params.yaml", "data.yaml"}
DATASET = synthetic_dataset(300, side=4, classes=("a", "b", "c"))

Stage = Callable[..., tuple[int, str]]


def flags_of(name: str) -> dict[str, str]:
    flags: dict[str, str] = runpy.run_path(str(ROOT / "stages" / f"{name}.py"))["FLAGS"]
    return flags


@pytest.fixture
def stage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Stage:
    """Run a stage in a folder and in this process; its exit status and what it said.

    Each flag's file is called like the flag. Without arguments, all flags are given.
    """
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(numerics, "configure", lambda *_, **__: None)  # it would come too late: PyTorch is imported
    write_params(tmp_path, SMALL)

    def run(name: str, *arguments: str) -> tuple[int, str]:
        flags = [word for flag in flags_of(name) for word in (f"--{flag}", flag)]
        for flag, file in (("params", "params.yaml"), ("data-files", "data.yaml")):
            if flag in flags:
                flags[flags.index(flag)] = file
        monkeypatch.setattr(sys, "argv", [f"{name}.py", *(arguments or flags)])
        status: Any = 0
        try:
            runpy.run_path(str(ROOT / "stages" / f"{name}.py"), run_name="__main__")
        except SystemExit as stop:
            status = stop.code or 0
        printed = capsys.readouterr()
        said = printed.out + printed.err
        return (1, said + status) if isinstance(status, str) else (status, said)

    return run


@pytest.mark.parametrize("name", STAGES)
def test_help_says_what_the_stage_and_its_flags_do(stage: Stage, name: str) -> None:
    status, said = stage(name, "--help")
    unfolded = " ".join(said.split())
    assert status == 0
    assert (ROOT / "stages" / f"{name}.py").read_text("utf-8").split('"""')[1] in unfolded
    assert all(f"--{flag} " in unfolded and text in unfolded for flag, text in flags_of(name).items())


@pytest.mark.parametrize("name", STAGES)
def test_wrong_params_stop_the_stage(stage: Stage, tmp_path: Path, name: str) -> None:
    write_params(tmp_path, {"model.loss": "bce"})
    status, said = stage(name)
    assert status == 1
    assert said.startswith(f"{name}: params.yaml: model: loss bce needs")
    assert {path.name for path in tmp_path.iterdir()} == SETTINGS


def write_earlier_outputs(name: str) -> set[str]:
    outputs = {flag for flag, text in flags_of(name).items() if text.startswith("out:")}
    for output in outputs:
        Path(output).write_text("earlier")
    return outputs


@pytest.mark.parametrize("name", [name for name in STAGES if name != "check"])
def test_a_missing_input_is_named_and_earlier_outputs_are_kept(stage: Stage, tmp_path: Path, name: str) -> None:
    inputs = {flag for flag, text in flags_of(name).items() if text.startswith("in:")} - {"data-files"} or {"nowhere"}
    outputs = write_earlier_outputs(name)
    status, said = stage(name)
    assert (status, f"{name}: " in said, "Traceback" in said) == (1, True, False)
    assert any(re.search(f"{each}(: must be|: cannot be read|: no such|'$)", said) for each in inputs)
    assert {path.name for path in tmp_path.iterdir()} == outputs | SETTINGS
    assert {(tmp_path / output).read_text() for output in outputs} == {"earlier"}


@pytest.mark.parametrize("name", ["validate", "train"])
def test_a_file_that_cannot_be_written_is_no_half_file(stage: Stage, tmp_path: Path, name: str) -> None:
    """As on a full disk; here by a limit on the size of files."""
    for path in ("train-csv", "test-csv"):
        write_csv_file(tmp_path / path, DATASET)
    save_dataset(tmp_path / "train", [make_block(DATASET.labels, DATASET.images)], DATASET.classes)
    before = set(tmp_path.iterdir()) | {tmp_path / output for output in write_earlier_outputs(name)}
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, limits[1]))
    try:
        status, said = stage(name)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert (status, f"{name}: [Errno 27] File too large" in said) == (1, True)
    assert set(tmp_path.iterdir()) - {tmp_path / "scratch"} == before
    assert (tmp_path / ("train" if name == "validate" else "model")).read_text() == "earlier"
    assert list(tmp_path.rglob(".*.tmp")) == []


def test_validate_names_the_problems_of_both_files(stage: Stage, tmp_path: Path) -> None:
    (tmp_path / "train-csv").write_text("0," * 16 + "256\n")
    (tmp_path / "test-csv").write_text("7," + "0," * 15 + "0\n")
    status, said = stage("validate")
    assert status == 1
    for words in ("train-csv", "column 17 (pixel 16)", "'256'", "test-csv", "column 1 (label)", "'7'"):
        assert words in said
    assert {path.name for path in tmp_path.iterdir()} == SETTINGS | {"train-csv", "test-csv"}


def test_corrections_that_do_not_fit_leave_everything_as_it_was(stage: Stage, tmp_path: Path) -> None:
    write_params(tmp_path, SMALL | {"data.corrections": "mine.csv"})
    for path in ("train-csv", "test-csv"):
        write_csv_file(tmp_path / path, DATASET)
    outputs = write_earlier_outputs("validate")
    (tmp_path / "corrections").mkdir()
    corrections = tmp_path / "corrections" / "mine.csv"
    right, wrong = (DATASET.classes[(label + DATASET.labels[6]) % 3] for label in (0, 1))
    header = "file,row,action,given,label,reason\n"
    corrections.write_text(f"{header}train,1,drop,{DATASET.classes[DATASET.labels[0]]},,\ntest,7,drop,{wrong},,\n")
    status, said = stage("validate")
    assert (status, "line 3: given must be the label of that row" in said) == (1, True)
    assert {(tmp_path / output).read_text() for output in outputs - {"train"}} == {"earlier"}
    corrections.write_text(f"{header}test,7,drop,{right},,\n")
    status, said = stage("validate")
    assert (status, "mine.csv: 1 test rows dropped, 0 relabelled" in said) == (0, True)
    assert "300 training and 299 test rows are valid" in said


@pytest.fixture
def audited(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Training and test arrays with an image in common, and no networks and no figure."""
    probabilities = np.eye(3)[DATASET.labels] * 0.97 + 0.01
    monkeypatch.setattr(
        "mnist_pipeline.audit.labels.out_of_fold_probabilities", lambda *_: (probabilities, probabilities[:100])
    )
    monkeypatch.setattr("mnist_pipeline.audit.gallery.draw_suspects", lambda *_: Figure())
    other = synthetic_dataset(300, side=4, classes=("a", "b", "c"), seed=1)
    other.images[9], other.labels[9] = DATASET.images[0], DATASET.labels[0]
    save_dataset(tmp_path / "train", [make_block(DATASET.labels, DATASET.images)], DATASET.classes)
    save_dataset(tmp_path / "test", [make_block(other.labels[:100], other.images[:100])], DATASET.classes)


@pytest.mark.usefixtures("audited")
def test_the_audit_fails_on_the_kinds_that_params_name_and_reports_in_any_case(stage: Stage, tmp_path: Path) -> None:
    write_params(tmp_path, SMALL | {"audit.fail_on": ["contradiction"]})
    status, said = stage("audit")
    assert (status, "audit: 1 image occurs again, 1 of them in the other file; see findings" in said) == (0, True)
    outputs = [tmp_path / name for name in ("metrics", "findings", "figure")]
    before = [path.read_bytes() for path in outputs]
    assert b"\ntest,10,duplicate,2," in before[1]
    for path in outputs:
        path.unlink()
    write_params(tmp_path, SMALL | {"audit.fail_on": ["label", "duplicate"]})
    status, said = stage("audit")
    assert (status, "audit: audit.fail_on: 1 image occurs again" in said, "Traceback" in said) == (1, True, False)
    assert [path.read_bytes() for path in outputs] == before
