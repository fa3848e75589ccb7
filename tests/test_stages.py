"""The stage scripts as DVC runs them: a clear line and a non-zero exit status where something is wrong."""

from __future__ import annotations

import json
import os
import runpy
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from mnist_pipeline import machine, numerics
from mnist_pipeline.data.csv import Block
from mnist_pipeline.data.dataset import save_dataset
from tests.conftest import ROOT, synthetic_dataset

RunHere = Callable[..., subprocess.CompletedProcess[str]]
STAGES = ("fetch", "validate", "train", "export", "evaluate", "card", "plot")


def run(stage: str, folder: Path, *flags: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, str(ROOT / "stages" / f"{stage}.py"), *flags],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture
def run_here(folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> RunHere:
    """Run a stage in that folder and in this process, which has imported PyTorch already: that takes seconds."""
    monkeypatch.chdir(folder)
    monkeypatch.setattr(numerics, "configure", lambda _: None)  # it would come too late here

    def run_here(stage: str, *flags: str) -> subprocess.CompletedProcess[str]:
        monkeypatch.setattr(sys, "argv", [f"{stage}.py", *flags])
        status, said = 0, ""
        try:
            runpy.run_path(str(ROOT / "stages" / f"{stage}.py"), run_name="__main__")
        except SystemExit as stop:  # its argument: None, a status, or the last words of status 1
            status = stop.code if isinstance(stop.code, int) else int(stop.code is not None)
            said = stop.code if isinstance(stop.code, str) else ""
        written = capsys.readouterr()
        return subprocess.CompletedProcess(stage, status, written.out, written.err + said)

    return run_here


def assert_refused(ran: subprocess.CompletedProcess[str], *words: str) -> None:
    assert ran.returncode == 1
    assert "Traceback" not in ran.stderr
    for word in words:
        assert word in ran.stderr


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with params for images of 4 × 4 pixels in 3 classes."""
    content = yaml.safe_load((ROOT / "params.yaml").read_text("utf-8"))
    content["csv"] = {"image_side": 4, "classes": ["a", "b", "c"], "rows": {"train": None, "test": None}}
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(content), "utf-8")
    return tmp_path


VALIDATE = (
    "--params params.yaml --train-csv train.csv --test-csv test.csv --train train.safetensors "
    "--test test.safetensors --facts data.json --balance balance.csv --preview preview.png"
).split()
TRAIN = (
    "--params params.yaml --scratch scratch --train train.safetensors --model m.safetensors --steps s.csv "
    "--history h.csv --metrics t.json --examples x.safetensors"
).split()
EVALUATE = (
    "--params params.yaml --model m.safetensors --onnx m.onnx --test test.safetensors --metrics e.json "
    "--predictions p.csv --classes c.csv --calibration r.csv --showcase show.safetensors"
).split()


@pytest.mark.parametrize("stage", STAGES)
def test_help_says_what_the_stage_does(stage: str) -> None:
    ran = subprocess.run(
        [sys.executable, str(ROOT / "stages" / f"{stage}.py"), "--help"], capture_output=True, text=True, check=True
    )
    assert ("--params" in ran.stdout) == (stage != "export")
    assert ran.stdout.count("in: ") + ran.stdout.count("out: ") >= 2


def test_nonsense_in_params_stops_every_stage(folder: Path) -> None:
    (folder / "params.yaml").write_text("model: 3\n")
    assert_refused(run("validate", folder, *VALIDATE), "validate: params.yaml", "model")


def test_validate_names_the_problems_of_both_files(folder: Path) -> None:
    (folder / "train.csv").write_text("0," * 16 + "256\n")
    (folder / "test.csv").write_text("7," + "0," * 15 + "0\n")
    ran = run("validate", folder, *VALIDATE)
    assert_refused(ran, "train.csv", "column 17 (pixel 16)", "'256'", "test.csv", "column 1 (label)", "'7'")
    assert {path.name for path in folder.iterdir()} == {"params.yaml", "train.csv", "test.csv"}


def test_validate_names_a_missing_file(folder: Path) -> None:
    assert_refused(run("validate", folder, *VALIDATE), "train.csv: cannot be read", "No such file")


def test_train_without_arrays_says_so(run_here: RunHere) -> None:
    assert_refused(run_here("train", *TRAIN), "train: train.safetensors", "validate stage")


def write_training_arrays(folder: Path) -> None:
    """The training arrays, as validate writes them."""
    split = synthetic_dataset(300, side=4, classes=("a", "b", "c"))
    save_dataset(folder / "train.safetensors", [Block(split.labels, split.images)], 4, split.classes)


def test_training_that_diverges_says_so_and_keeps_what_was_there(folder: Path, run_here: RunHere) -> None:
    write_training_arrays(folder)
    content = yaml.safe_load((folder / "params.yaml").read_text("utf-8"))
    content["data"]["validation_size"] = 30
    content["model"] |= {"loss": "mse", "hidden_activation": "relu"}
    content["model"]["mlp"]["layer_norm"] = False
    content["optimizers"]["sgd"]["learning_rate"] = 1e9
    (folder / "params.yaml").write_text(yaml.safe_dump(content), "utf-8")
    (folder / "m.safetensors").write_text("an earlier model")
    assert_refused(run_here("train", *TRAIN), "the loss became", "optimizers.sgd.learning_rate")
    assert (folder / "m.safetensors").read_text() == "an earlier model"
    assert not (folder / "h.csv").exists()


def test_evaluate_without_a_model_says_so(run_here: RunHere) -> None:
    assert_refused(run_here("evaluate", *EVALUATE), "evaluate: test.safetensors", "validate stage")


def test_card_and_export_without_a_model_say_so(run_here: RunHere) -> None:
    ran = run_here("export", "--model", "m.safetensors", "--onnx", "m.onnx")
    assert_refused(ran, "export: m.safetensors: must be a model that the train stage wrote")
    flags = "--model m --onnx o --facts d.json --train-metrics t.json --test-metrics e.json --classes c.csv --card r.md"
    assert_refused(run_here("card", "--params", "params.yaml", *flags.split()), "card: ", "No such file", "d.json")


PROBE = """
import json, os, runpy, sys
sys.argv = sys.argv[1:]
try:
    runpy.run_path(sys.argv[0], run_name="__main__")
finally:
    import torch, threadpoolctl
    pools = [pool["num_threads"] for pool in threadpoolctl.threadpool_info()]
    print(json.dumps({
        "threads": [torch.get_num_threads(), *pools],
        "capability": torch.backends.cpu.get_cpu_capability(),
        "mkl": os.environ.get("MKL_CBWR"),
    }))
"""


@pytest.mark.parametrize(("flags", "warned"), [("avx2", True), ("avx2 amx_bf16", False)])
def test_train_uses_mixed_precision_where_the_cpu_can(
    folder: Path, run_here: RunHere, monkeypatch: pytest.MonkeyPatch, flags: str, warned: bool
) -> None:
    write_training_arrays(folder)
    content = yaml.safe_load((folder / "params.yaml").read_text("utf-8"))
    content["data"]["validation_size"], content["train"]["epochs"] = 30, 1
    content["model"] |= {"architecture": "cnn", "cnn": {"channels": [[16], [16]], "kernel_size": 3}}
    models = []
    for name in ("mixed", "fast"):
        content["runtime"]["numerics"] = name
        (folder / "params.yaml").write_text(yaml.safe_dump(content), "utf-8")
        monkeypatch.setattr(machine, "_cpuinfo", lambda: f"flags : {flags}\n")
        ran = run_here("train", *TRAIN)
        assert ran.returncode == 0, ran.stderr
        assert ("no instructions for bfloat16; training in float32" in ran.stderr) == (warned and name == "mixed")
        models.append((folder / "m.safetensors").read_bytes())
    assert (models[0] == models[1]) == warned


def test_portable_numerics_hold_inside_a_real_training_process(folder: Path) -> None:
    write_training_arrays(folder)
    content = yaml.safe_load((folder / "params.yaml").read_text("utf-8"))
    content["data"]["validation_size"] = 30
    content["train"]["epochs"] = 1
    (folder / "params.yaml").write_text(yaml.safe_dump(content), "utf-8")
    free = {name: value for name, value in os.environ.items() if "THREADS" not in name and name != "OPENBLAS_CORETYPE"}
    script = str(ROOT / "stages" / "train.py")
    ran = subprocess.run(
        [sys.executable, "-c", PROBE, script, *TRAIN],
        cwd=folder,
        env=free,
        capture_output=True,
        text=True,
        check=True,
    )
    seen = json.loads(ran.stdout.splitlines()[-1])
    assert set(seen["threads"]) == {1}
    assert seen["capability"] in ("AVX2", "DEFAULT")
    assert seen["mkl"] == "COMPATIBLE"
