"""The sections of the benchmarks that measure time and memory: they run the stages as DVC does, in new folders."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import yaml

from benchmarks.audit_quality import audit_time
from benchmarks.experiment import experiment, fresh_clone
from benchmarks.large_data import large_data
from benchmarks.many_runs import runs_table
from benchmarks.processes import (
    ARRAYS,
    ROOT,
    TABLES,
    dvc,
    folder,
    measured_stage,
    path_with_python,
    run_measured,
    run_python,
    stage,
    train_and_evaluate,
    training_seconds,
)
from benchmarks.results import RESULTS
from benchmarks.shards import shards
from mnist_pipeline.core.arrays import load_arrays
from mnist_pipeline.core.hardware import has_bfloat16
from mnist_pipeline.figures.style import save_figure
from mnist_pipeline.figures.training_images import draw_augmentation
from mnist_pipeline.ladder.spec import load_ladder
from mnist_pipeline.params.overrides import with_overrides

REPEATS = 3
LONG_REPEATS = 1
"""Of the tutorial's loop and PyTorch's example, which take many minutes."""


def default() -> dict[str, Any]:
    """Accuracy and time of the default settings with five seeds."""
    runs = [train_and_evaluate({"train.seed": seed}) for seed in range(5)]
    return {"runs": runs}


RUNGS = ("start", "together-sgd", "sixty-epochs")
"""Rungs of the ladder whose training time the README states."""

FIRST_EPOCHS = {"mlp-2min": 20, "mlp-20min": 20, "cnn-20min": 1, "ensemble-1h": 1}
"""Presets whose time is estimated from their first epochs; with other numerics than their own, all are."""


def training() -> dict[str, Any]:
    """Training time of every preset, also with fast and portable numerics, and of some rungs of the ladder."""
    ladder = load_ladder(ROOT / "experiments.yaml", ROOT / "params.yaml")
    estimates: dict[str, list[float]] = {}

    def estimate(overrides: dict[str, Any], kind: str, epochs: int) -> list[float]:
        """Return the time of all epochs and members, from that of the first epochs of one member."""
        times = overrides["train.epochs"] / epochs * overrides.get("model.members", 1)
        first = overrides | {"runtime.numerics": kind, "train.epochs": epochs, "model.members": 1}
        key = json.dumps(first, sort_keys=True)  # an ensemble's networks are those of a preset
        if key not in estimates:
            estimates[key] = [training_seconds(first)]
        return [seconds * times for seconds in estimates[key]]

    found: dict[str, Any] = {}
    for name, preset in ladder.presets.items():
        overrides = dict(preset.overrides)
        own, whole = str(overrides["runtime.numerics"]), name not in FIRST_EPOCHS
        kinds = {"fast", "portable"} | ({own} if has_bfloat16() else set())  # without, mixed numerics are the fast ones
        found[name] = {
            kind: estimate(overrides, kind, FIRST_EPOCHS.get(name, 2))
            for kind in sorted(kinds) if not (whole and kind == own)
        }  # fmt: skip
        if whole:
            repeats = REPEATS if preset.budget_seconds <= 10 else 1
            found[name][own] = [training_seconds(overrides | {"train.seed": seed}) for seed in range(repeats)]
        print(f"  {name}: {found[name]}", flush=True)
    for name in RUNGS:
        found[name] = {"portable": [training_seconds(dict(ladder.overrides[name]))]}
    return found


def contenders() -> dict[str, Any]:
    """Ours, scikit-learn's MLPClassifier, the tutorial's loop and PyTorch's MNIST example, alternating."""
    found: dict[str, list[Any]] = {name: [] for name in ("loop", "sklearn", "pytorch", *OURS)}
    for seed in range(REPEATS):
        for name, changes in OURS.items():
            found[name].append(train_and_evaluate(changes | {"train.seed": seed, "runtime.numerics": "fast"}))
        found["sklearn"].append(contender("sklearn", "--epochs", "10", "--seed", str(seed)))
        if seed >= LONG_REPEATS:
            continue
        found["pytorch"].append(contender("pytorch", "--until", "0.99", "--epochs", "8", "--seed", str(seed)))
        tables: list[str | Path] = ["--train-csv", TABLES["train"], "--test-csv", TABLES["test"]]
        last_step = ["--hidden", "leaky_relu", "--layer-norm", "--seed", str(seed)]
        ran = run_measured("benchmarks/tutorial_loop.py", *tables, *last_step)
        found["loop"].append({**json.loads(ran.output), "peak_megabytes": ran.peak_megabytes})
    return found


def contender(name: str, *flags: str) -> dict[str, Any]:
    """Run one of contenders.py; return {"course": [...], "peak_megabytes": ...}."""
    arrays: list[str | Path] = ["--train", ARRAYS["train"], "--test", ARRAYS["test"]]
    ran = run_measured("benchmarks/contenders.py", name, *arrays, *flags)
    return {"course": json.loads(ran.output), "peak_megabytes": ran.peak_megabytes}


CNN: dict[str, Any] = {
    "model.architecture": "cnn", "train.batch_size": 64, "optimizers.sgd.learning_rate": 0.1
}  # fmt: skip
OURS: dict[str, dict[str, Any]] = {
    "ours, MLP, 1 epoch": {"train.epochs": 1, "model.optimizer": "adam", "optimizers.adam.learning_rate": 0.004},
    "ours, MLP, 4 epochs": {"train.epochs": 4},
    "ours, MLP, 10 epochs (default)": {},
    "ours, small CNN, 1 epoch": {
        "model.architecture": "cnn", "model.cnn.channels": [[8], [16], [32]], "data.deskew": True,
        "train.epochs": 1, "train.batch_size": 192, "train.shards": 2, "optimizers.sgd.learning_rate": 0.4,
    },
    "ours, CNN, 1 epoch": CNN | {"train.epochs": 1},
    "ours, CNN, 2 epochs": CNN | {"train.epochs": 2},
}  # fmt: skip
"""Our settings that are compared with others, by name."""


def ladder_cost() -> dict[str, Any]:
    """Four experiments by `mnist ladder run`, one at a time, and the time of their stages alone."""
    number, rung = 4, "mini-batches"
    ladder = load_ladder(ROOT / "experiments.yaml", ROOT / "params.yaml")
    with folder() as here:
        clone = here / "clone"
        subprocess.run(["git", "clone", "-q", ROOT, clone], check=True)
        shutil.copytree(ROOT / ".dvc" / "cache" / "files", clone / ".dvc" / "cache" / "files")  # not the run cache
        dvc(clone, "checkout")
        started = time.perf_counter()
        code = "import sys; from mnist_pipeline.cli.main import main; main(sys.argv[1:])"
        environment = {**os.environ, "PYTHONPATH": str(clone / "src"), "PATH": path_with_python()}
        command = [sys.executable, "-c", code, "ladder", "run", rung, "--seeds", str(number), "--jobs", "1"]
        subprocess.run(command, cwd=clone, env=environment, check=True, capture_output=True)
        total = time.perf_counter() - started
    stages = [train_and_evaluate({**ladder.overrides[rung], "train.seed": seed}, plot=True) for seed in range(number)]
    return {"total": total, "stages": [run["stages_seconds"] for run in stages]}


def compare_time() -> dict[str, Any]:
    """`mnist compare` and `dvc metrics diff` of HEAD and the workspace, alternating."""
    seconds: dict[str, list[float]] = {"compare": [], "diff": []}
    for _ in range(11):
        started = time.perf_counter()
        run_python("-m", "mnist_pipeline.cli.main", "compare", "HEAD")
        seconds["compare"].append(time.perf_counter() - started)
        started = time.perf_counter()
        dvc(ROOT, "metrics", "diff", "HEAD")
        seconds["diff"].append(time.perf_counter() - started)
    return seconds


def matrix_product() -> dict[str, Any]:
    """The matrix product of the first layer, 128 × 784 × 200, in portable numerics: MKL and oneDNN."""
    code = """
import json, time
from mnist_pipeline.core import numerics
numerics.configure("portable")
import torch
from mnist_pipeline.models.linear import Linear
layer, inputs = Linear(784, 200), torch.rand(128, 784)
def milliseconds(product):
    for _ in range(50): product(inputs)
    started = time.perf_counter()
    for _ in range(500): product(inputs)
    return (time.perf_counter() - started) / 500 * 1e3
with torch.no_grad():
    pairs = [[milliseconds(each) for each in (super(Linear, layer).forward, layer.forward)] for _ in range(7)]
print(json.dumps(pairs))
"""
    pairs = json.loads(run_python("-c", code)[0])
    return {"mkl": [pair[0] for pair in pairs], "onednn": [pair[1] for pair in pairs]}


def shared_machine() -> dict[str, Any]:
    """Training of two presets with fast numerics, alone and beside a process that keeps one core busy, alternating."""
    ladder = load_ladder(ROOT / "experiments.yaml", ROOT / "params.yaml")
    found: dict[str, Any] = {}
    for name in ("mlp-10s", "cnn-10s"):
        overrides = dict(ladder.presets[name].overrides) | {"runtime.numerics": "fast"}
        found[name] = {"alone": [], "neighbour": []}
        for _ in range(REPEATS):
            for kind, seconds in found[name].items():
                busy = [sys.executable, "-c", "while True: pass"][: 3 * (kind == "neighbour")]
                # A session of its own, as that of another user: the kernel shares the cores among sessions.
                neighbour = subprocess.Popen(busy or ["true"], start_new_session=True)
                try:
                    seconds.append(training_seconds(overrides))
                finally:
                    neighbour.kill()
                    neighbour.wait()
    return found


def verification() -> dict[str, Any]:
    """`mnist verify`: the whole pipeline in a clone of HEAD, compared with dvc.lock."""
    with folder() as here:
        run_python("-m", "mnist_pipeline.cli.main", "verify", "--quiet", "--json", here / "result.json")
        result = json.loads((here / "result.json").read_text("utf-8"))
    return {name: result[name] for name in ("commit", "seconds", "passed")} | {"files": len(result["files"])}


def data() -> dict[str, Any]:
    """The whole validate stage, and loading the arrays."""
    code = (
        "import sys, time; from pathlib import Path; from mnist_pipeline.data.dataset import load_dataset;"
        "started = time.perf_counter(); data = load_dataset(Path(sys.argv[1])); total = int(data.images[-1].sum());"
        "print(time.perf_counter() - started)"
    )
    with folder() as here:
        validate = [
            stage("validate", here, {"train-csv": TABLES["train"], "test-csv": TABLES["test"]}) for _ in range(5)
        ]
    load = [float(run_python("-c", code, ARRAYS["train"])[0]) for _ in range(10)]
    return {"validate_seconds": validate, "load_seconds": load}


def nothing_to_do() -> dict[str, Any]:
    """`dvc repro` with nothing to do, here and in an empty project of two stages, alternating."""
    seconds: dict[str, list[float]] = {"ours": [], "empty": []}
    with folder() as empty:
        subprocess.run(["git", "init", "-q"], cwd=empty, check=True)
        dvc(empty, "init")
        (empty / "params.yaml").write_text("")
        stages = {
            name: {"cmd": f"echo {name} > {name}.txt", "deps": deps, "outs": [f"{name}.txt"]}
            for name, deps in (("first", ["params.yaml"]), ("second", ["first.txt"]))
        }
        (empty / "dvc.yaml").write_text(yaml.safe_dump({"stages": stages}))
        for place in (empty, ROOT):
            dvc(place, "repro")
        for _ in range(11):
            for name, place in (("ours", ROOT), ("empty", empty)):
                started = time.perf_counter()
                dvc(place, "repro")
                seconds[name].append(time.perf_counter() - started)
    return seconds


def augmentation() -> dict[str, Any]:
    """Training time of the default network with and without augmentation, alternating; and a picture of it."""
    ladder = load_ladder(ROOT / "experiments.yaml", ROOT / "params.yaml")
    strengths = {key: value for key, value in ladder.presets["cnn-2min"].overrides.items() if ".augmentation." in key}
    found: dict[str, list[dict[str, float]]] = {}
    for numerics_name in ("portable", "fast"):
        base = {"train.epochs": 5, "runtime.numerics": numerics_name}
        found[numerics_name] = [
            {
                "plain": training_seconds(base),
                "distorted": training_seconds(base | strengths),
            }
            for _ in range(REPEATS)
        ]
    with folder() as here:
        changes = strengths | {"train.epochs": 1}
        params = with_overrides(yaml.safe_load((ROOT / "params.yaml").read_text("utf-8")), changes)
        (here / "params.yaml").write_text(yaml.safe_dump(params), "utf-8")
        stage("train", here, {"train": ARRAYS["train"]})
        path = here / "models" / "examples.safetensors"
        examples = load_arrays(path, "images that the train stage wrote", ["originals", "distorted"]).arrays
        save_figure(RESULTS / "augmentation.png", draw_augmentation(examples["originals"], examples["distorted"]))
    return found


def growth() -> dict[str, Any]:
    """Seconds and peak memory of validate, train (one epoch) and evaluate, with ten times the rows, too."""
    once = {"train.epochs": 1, "runtime.numerics": "fast"}
    found: list[dict[str, Any]] = []
    with folder() as here:
        for times in (1, 10):
            tables, arrays = enlarged(here / str(times), times)
            for _ in range(REPEATS):
                validated = measured_stage("validate", here / "v", tables, {"csv.rows": {"train": None, "test": None}})
                trained = measured_stage("train", here / "t", {"train": arrays["train"]}, once)
                evaluated = measured_stage("evaluate", here / "t", {"test": arrays["test"]}, once)
                found.append({"rows": 60_000 * times} | validated | trained | evaluated)
    return {"runs": found}


def enlarged(here: Path, times: int) -> tuple[dict[str, Path], dict[str, Path]]:
    """Return the CSV files and the arrays with ``times`` as many rows; all but the first 60,000 are augmented."""
    if times == 1:
        return {f"{split}-csv": path for split, path in TABLES.items()}, ARRAYS
    run_python("benchmarks/enlarge.py", *ARRAYS.values(), here, str(times))
    tables = {f"{split}-csv": here / f"{split}.csv" for split in ARRAYS}
    return tables, {split: here / f"{split}.safetensors" for split in ARRAYS}


SECTIONS: dict[str, Callable[[], dict[str, Any]]] = {
    section.__name__: section
    for section in (
        default, fresh_clone, experiment, nothing_to_do, data, training, shards, matrix_product, shared_machine,
        verification, augmentation, growth, large_data, audit_time, ladder_cost, compare_time, runs_table, contenders,
    )
}  # fmt: skip
