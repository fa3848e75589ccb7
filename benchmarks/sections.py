"""The sections of the benchmarks: each runs the stages as DVC does, in temporary folders."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import yaml

from benchmarks.accuracies import TARGETS, accuracies
from benchmarks.audit_quality import audit
from benchmarks.ensembles import ensembles
from benchmarks.experiment import experiment, fresh_clone
from benchmarks.large_data import large_data
from benchmarks.many_runs import runs_table
from benchmarks.processes import (
    ARRAYS,
    ROOT,
    TABLES,
    dvc,
    folder,
    on_each_core,
    path_with_python,
    run_measured,
    run_python,
    stage,
    stage_command,
    train_and_evaluate,
)
from benchmarks.results import RESULTS, cpu_name, read_results, settings_digest, write_results
from benchmarks.shards import ghost_norm, shards
from benchmarks.verdicts import verdicts
from mnist_pipeline.core.arrays import load_arrays
from mnist_pipeline.figures.style import save_figure
from mnist_pipeline.figures.training_images import draw_augmentation
from mnist_pipeline.ladder.spec import load_ladder
from mnist_pipeline.params.overrides import with_overrides
from mnist_pipeline.params.schema import Params

REPEATS = 3
LOOP_ROWS = 20_000


def default() -> dict[str, Any]:
    """Accuracy and time of the default settings with five seeds."""
    runs = [train_and_evaluate({"train.seed": seed}) for seed in range(5)]
    return {"runs": runs}


def outliers() -> dict[str, Any]:
    """`mnist predict`: warnings of digits and of what is no digit, and several digits in one picture."""
    found: dict[str, Any] = json.loads(run_python("-m", "benchmarks.outliers")[0])
    return found


def presets() -> dict[str, Any]:
    """Every preset with three seeds, one run after the other, and the time with portable and fast numerics.

    Those whose accuracy the section accuracies measures run once, for their time. Earlier results of the same settings
    are kept until this CPU has its own: all of them take two hours.
    """
    ladder, before = load_ladder(ROOT / "experiments.yaml", ROOT / "params.yaml"), read_results().get("presets", {})
    found: dict[str, Any] = {kind: dict(before.get(kind, {})) for kind in ("runs", "fast_seconds", "portable_seconds")}
    for seed in range(REPEATS):
        for name, preset in ladder.presets.items():
            same = {"settings": settings_digest(preset.overrides), "cpu": cpu_name()}
            runs = [run for run in found["runs"].get(name, []) if same.items() <= run.items()]
            if len(runs) > seed or (seed and name in TARGETS):
                continue
            if not runs:
                for kind in {"portable", "fast"} - {preset.overrides["runtime.numerics"]}:
                    found[f"{kind}_seconds"][name] = estimated_seconds(dict(preset.overrides), kind)
            run = train_and_evaluate(dict(preset.overrides) | {"train.seed": seed})
            found["runs"][name] = [*runs, same | run]
            print(f"  {name}, seed {seed}: {run}", flush=True)
            write_results("presets", found)  # an interruption loses one run at most
    return found


CHOICES: dict[str, dict[str, Any]] = {
    "as chosen": {},
    "stronger augmentation": {
        "train.augmentation.rotation": 10, "train.augmentation.scale": 0.1, "train.augmentation.shear": 0.1,
        "train.augmentation.shift": 1.25, "train.augmentation.elastic_alpha": 18,
    },
    "weaker augmentation": {
        "train.augmentation.rotation": 7, "train.augmentation.scale": 0.06, "train.augmentation.shear": 0.06,
        "train.augmentation.shift": 0.75, "train.augmentation.elastic_alpha": 8,
    },
    "narrower network": {"model.cnn.channels": [[24], [48, 48], [96, 96]]},
}  # fmt: skip
"""Alternatives to the settings of cnn-20min: overrides by name."""


def choice() -> dict[str, Any]:
    """Validation errors of cnn-20min and its alternatives: 20,000 validation rows, sixteen epochs, one core each."""
    base = dict(load_ladder(ROOT / "experiments.yaml", ROOT / "params.yaml").presets["cnn-20min"].overrides)
    base |= {"data.validation_size": 20_000, "train.epochs": 16}

    def validation_errors(name: str, core: int) -> dict[str, float]:
        with folder() as here:
            measured_stage("train", here, {"train": ARRAYS["train"]}, base | CHOICES[name], cores=1, first=core)
            figures = json.loads((here / "metrics" / "train_details.json").read_text("utf-8"))
        mistakes = round(20_000 * (1 - figures["validation_accuracy"]))
        print(f"  {name}: {mistakes} errors", flush=True)
        return {"mistakes": mistakes, "loss": figures["validation_loss"]}

    return {"runs": dict(zip(CHOICES, on_each_core(validation_errors, CHOICES), strict=True))}


def contenders() -> dict[str, Any]:
    """Ours, scikit-learn's MLPClassifier, the tutorial's loop and PyTorch's MNIST example, alternating."""
    found: dict[str, list[Any]] = {name: [] for name in ("loop", "sklearn", "pytorch", *OURS)}
    for seed in range(REPEATS):
        for name, changes in OURS.items():
            found[name].append(train_and_evaluate(changes | {"train.seed": seed, "runtime.numerics": "fast"}))
        found["sklearn"].append(contender("sklearn", "--epochs", "10", "--seed", str(seed)))
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


def estimated_seconds(overrides: dict[str, Any], numerics: str) -> float:
    """Estimate the training time with other numerics from at most two epochs."""
    epochs = min(2, overrides["train.epochs"])
    run = train_and_evaluate(overrides | {"runtime.numerics": numerics, "train.epochs": epochs})
    return float(run["training_seconds"] * overrides["train.epochs"] / epochs)


def tutorial() -> dict[str, Any]:
    """The tutorial's loop for each of its steps, on some rows, one after the other; ours, two at a time."""
    ladder = load_ladder(ROOT / "experiments.yaml", ROOT / "params.yaml")
    rungs = [name for name, params in ladder.params.items() if params.train.batch_size == 1
             and params.data.validation_size == 0]  # fmt: skip
    loops = {name: tutorial_loop(ladder.params[name], LOOP_ROWS) for name in rungs}
    started = time.perf_counter()
    with ThreadPoolExecutor(2) as pool:
        runs = list(pool.map(lambda name: train_and_evaluate(dict(ladder.overrides[name])), rungs))
    seconds = time.perf_counter() - started
    return {
        "loop_rows": LOOP_ROWS,
        "loops": loops,
        "runs": dict(zip(rungs, runs, strict=True)),
        "runs_seconds": seconds,
    }


def tutorial_loop(params: Params, rows: int) -> dict[str, Any]:
    """Run one epoch of the tutorial's loop with the network of these params, over the first ``rows`` rows."""
    model = params.model
    flags = ["--hidden", model.hidden_activation, "--output", model.output_activation, "--loss", model.loss]
    flags += ["--optimiser", model.optimizer, "--epochs", "1", "--rows", str(rows)]
    assert model.mlp is not None
    flags += ["--layer-norm"] * model.mlp.layer_norm + ["--normalise"] * (params.data.scaling == "standard")
    tables: list[str | Path] = ["--train-csv", TABLES["train"], "--test-csv", TABLES["test"]]
    found: dict[str, Any] = json.loads(run_python("benchmarks/tutorial_loop.py", *tables, *flags)[0])
    return found


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


def pictures() -> dict[str, Any]:
    """`mnist predict` on pictures of validation images, and on digits that a program draws."""
    found: dict[str, Any] = json.loads(run_python("-m", "benchmarks.pictures")[0])
    return found


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


def twenty_runs() -> dict[str, Any]:
    """The default settings twenty times, two at a time: hashes of the model and the metrics."""
    with ThreadPoolExecutor(2) as pool:
        hashes = list(pool.map(lambda _: train_and_evaluate({})["hash"], range(20)))
    return {"hashes": hashes}


def numerics() -> dict[str, Any]:
    """Training time of the default settings with portable and fast numerics, alternating."""
    pairs = [
        [train_and_evaluate({"runtime.numerics": name})["training_seconds"] for name in ("portable", "fast")]
        for _ in range(5)
    ]
    return {"portable": [pair[0] for pair in pairs], "fast": [pair[1] for pair in pairs]}


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
                    seconds.append(train_and_evaluate(overrides)["training_seconds"])
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
                "plain": train_and_evaluate(base)["training_seconds"],
                "distorted": train_and_evaluate(base | strengths)["training_seconds"],
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
    """Seconds and peak memory of validate, train and evaluate, by rows, hidden units, epochs and cores."""
    once = {"train.epochs": 1, "runtime.numerics": "fast"}
    found: dict[str, list[dict[str, Any]]] = {"rows": [], "hidden_units": [], "epochs": [], "cores": []}
    with folder() as here:
        for times in (1, 2, 5, 10):
            tables, arrays = enlarged(here / str(times), times)
            for _ in range(REPEATS):
                validated = measured_stage("validate", here / "v", tables, {"csv.rows": {"train": None, "test": None}})
                trained = measured_stage("train", here / "t", {"train": arrays["train"]}, once)
                evaluated = measured_stage("evaluate", here / "t", {"test": arrays["test"]}, once)
                found["rows"].append({"rows": 60_000 * times} | validated | trained | evaluated)
            shutil.rmtree(here / str(times), ignore_errors=True)
        for units in (50, 200, 800, 3200):
            changes = once | {
                "model.mlp.hidden_units": [units],
                "optimizers.sgd.learning_rate": 0.02,
            }  # none diverges
            found["hidden_units"] += [
                {"units": units} | trained_and_evaluated(here / "u", changes) for _ in range(REPEATS)
            ]
        for epochs in (1, 5, 10, 20):
            changes = once | {"train.epochs": epochs}
            found["epochs"] += [{"epochs": epochs} | trained_and_evaluated(here / "e", changes) for _ in range(REPEATS)]
        for architecture in ("mlp", "cnn"):
            for cores in (1, 2):
                changes = once | {"model.architecture": architecture, "train.epochs": 2}
                found["cores"] += [
                    {"cores": cores, "architecture": architecture} | trained_and_evaluated(here / "c", changes, cores)
                    for _ in range(REPEATS)
                ]
    return found


def trained_and_evaluated(here: Path, changes: dict[str, Any], cores: int = 2) -> dict[str, float]:
    """Return the seconds and the peak memory of both stages."""
    trained = measured_stage("train", here, {"train": ARRAYS["train"]}, changes, cores)
    return trained | measured_stage("evaluate", here, {"test": ARRAYS["test"]}, changes, cores)


def enlarged(here: Path, times: int) -> tuple[dict[str, Path], dict[str, Path]]:
    """Return the CSV files and the arrays with ``times`` as many rows; all but the first 60,000 are augmented."""
    if times == 1:
        return {f"{split}-csv": path for split, path in TABLES.items()}, ARRAYS
    run_python("benchmarks/enlarge.py", *ARRAYS.values(), here, str(times))
    tables = {f"{split}-csv": here / f"{split}.csv" for split in ARRAYS}
    return tables, {split: here / f"{split}.safetensors" for split in ARRAYS}


def measured_stage(
    name: str, here: Path, inputs: dict[str, Path], changes: dict[str, Any], cores: int = 2, first: int = 0
) -> dict[str, float]:
    """Run a stage; return {"train_seconds": ..., "train_megabytes": ...} of the whole process."""
    here.mkdir(exist_ok=True)
    for file in ("params.yaml", "data.yaml"):
        content = yaml.safe_load((ROOT / file).read_text("utf-8"))
        own = {key: value for key, value in changes.items() if key.split(".")[0] in content}
        (here / file).write_text(yaml.safe_dump(with_overrides(content, own)), "utf-8")
    ran = run_measured(*stage_command(name, here, inputs), cores=cores, first=first)
    return {f"{name}_seconds": ran.seconds, f"{name}_megabytes": ran.peak_megabytes}


SECTIONS: dict[str, Callable[[], dict[str, Any]]] = {
    section.__name__: section
    for section in (
        accuracies,
        audit,
        augmentation,
        choice,
        compare_time,
        contenders,
        default,
        data,
        ensembles,
        experiment,
        fresh_clone,
        ghost_norm,
        growth,
        ladder_cost,
        large_data,
        matrix_product,
        nothing_to_do,
        numerics,
        outliers,
        pictures,
        presets,
        runs_table,
        shards,
        shared_machine,
        tutorial,
        twenty_runs,
        verdicts,
        verification,
    )
}
