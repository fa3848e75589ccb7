"""Measure what benchmarks/README.md states, and write it there.

    python -m benchmarks.run              everything, some hours on two cores
    python -m benchmarks.run default data  some sections
    python -m benchmarks.run --report      only the tables, from benchmarks/results/

Each section runs the stages as DVC does, in folders of its own; what it finds goes to benchmarks/results/ with the
hardware and the versions it was found on.
"""

from __future__ import annotations

import argparse
import csv
import hashlib
import itertools
import json
import os
import platform
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from benchmarks.charts import draw_contenders, draw_growth
from mnist_pipeline.examples import load_examples
from mnist_pipeline.figures.augmentation import draw_augmentation
from mnist_pipeline.figures.style import save_figure
from mnist_pipeline.ladder import load_ladder
from mnist_pipeline.paired import LEVEL, mcnemar
from mnist_pipeline.params import Params, deciding, with_overrides
from mnist_pipeline.record import RecordedRun
from mnist_pipeline.standings import compare_runs
from mnist_pipeline.tables import between_marks, markdown

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "benchmarks" / "results"
PAGE = ROOT / "benchmarks" / "README.md"
README = ROOT / "README.md"
ARRAYS = {split: ROOT / "data" / "prepared" / f"{split}.safetensors" for split in ("train", "test")}
TABLES = {split: ROOT / "data" / "raw" / f"mnist_{split}.csv" for split in ("train", "test")}
SPLITS = 2000
REPEATS = 3
GROWTH_REPEATS = 1
LOOP_ROWS = 20_000


def default() -> dict[str, Any]:
    """Accuracy and time of the default settings, by seed."""
    runs = [train_and_evaluate({"train.seed": seed}) for seed in range(5)]
    return {"runs": runs}


def presets() -> dict[str, Any]:
    """Every preset with three seeds, one run after the other; and once with portable numerics.

    What was measured of the same settings before is kept: all of it takes an hour and a half.
    """
    ladder, before = load_ladder(ROOT / "experiments.yaml", ROOT / "params.yaml"), read_results().get("presets", {})
    found: dict[str, Any] = {"runs": {}, "portable_seconds": {}}
    for name, preset in ladder.presets.items():
        settings = settings_digest(preset.overrides)
        runs = [run for run in before.get("runs", {}).get(name, []) if run["settings"] == settings]
        if runs:
            found["portable_seconds"][name] = before["portable_seconds"][name]
        found["runs"][name] = runs
    for seed in range(3):
        for name, preset in ladder.presets.items():
            if len(found["runs"][name]) > seed:
                continue
            run = train_and_evaluate(dict(preset.overrides) | {"train.seed": seed})
            found["runs"][name].append({"settings": settings_digest(preset.overrides)} | run)
            print(f"  {name}, seed {seed}: {run}", flush=True)
            if name not in found["portable_seconds"]:
                found["portable_seconds"][name] = portable_seconds(dict(preset.overrides))
            if all(found["runs"].values()):
                write_results("presets", found)  # an interruption costs no more than a run
    return found


def settings_digest(overrides: Mapping[str, Any]) -> str:
    """A name for what some overrides of params.yaml amount to, but for the seed."""
    content = yaml.safe_load((ROOT / "params.yaml").read_text("utf-8"))
    params = Params.model_validate(with_overrides(content, {**overrides, "train.seed": 0}))
    return hashlib.sha256(json.dumps(deciding(params), sort_keys=True).encode()).hexdigest()[:12]


def contenders() -> dict[str, Any]:
    """The tutorial's loop, scikit-learn's MLPClassifier, and ours, in turn, in one run."""
    found: dict[str, list[Any]] = {name: [] for name in ("loop", "sklearn", *OURS)}
    for seed in range(5):
        for name, changes in OURS.items():
            found[name].append(train_and_evaluate(changes | {"train.seed": seed, "runtime.numerics": "fast"}))
        found["sklearn"].append(contender("sklearn", "--epochs", "10", "--seed", str(seed)))
    ran = run_measured("benchmarks/tutorial_loop.py", "--train-csv", TABLES["train"], "--test-csv", TABLES["test"],
                       "--hidden", "leaky_relu", "--layer-norm")  # fmt: skip
    found["loop"].append({**json.loads(ran.output), "peak_megabytes": ran.peak_megabytes})
    return found


def usual_script() -> dict[str, Any]:
    """PyTorch's own MNIST example until 0.99, and an epoch of our CNN, in one run."""
    name = "ours, CNN, 1 epoch"
    runs = [train_and_evaluate(OURS[name] | {"train.seed": seed, "runtime.numerics": "fast"}) for seed in range(3)]
    return {name: runs, "pytorch": [contender("pytorch", "--until", "0.99", "--epochs", "8")]}  # minutes


def contender(name: str, *flags: str) -> dict[str, Any]:
    """How one of contenders.py fared: {"course": [...], "peak_megabytes": …}."""
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
    "ours, CNN, 1 epoch": CNN | {"train.epochs": 1},
    "ours, CNN, 2 epochs": CNN | {"train.epochs": 2},
}
"""What of ours is measured beside others: settings by name."""


def portable_seconds(overrides: dict[str, Any]) -> float:
    """How long training takes with portable numerics: of at most two epochs, times the number of epochs."""
    epochs = min(2, overrides["train.epochs"])
    run = train_and_evaluate(overrides | {"runtime.numerics": "portable", "train.epochs": epochs})
    return float(run["training_seconds"] * overrides["train.epochs"] / epochs)


def tutorial() -> dict[str, Any]:
    """The tutorial's own loop for each of its steps, one after the other, for a while; ours, two at a time."""
    ladder = load_ladder(ROOT / "experiments.yaml", ROOT / "params.yaml")
    rungs = [name for name, params in ladder.params.items() if params.train.batch_size == 1
             and params.data.validation_size == 0]  # fmt: skip
    loops = {name: tutorial_loop(ladder.params[name], LOOP_ROWS) for name in rungs}
    started = time.perf_counter()
    with ThreadPoolExecutor(2) as pool:
        runs = list(pool.map(lambda name: train_and_evaluate(dict(ladder.overrides[name])), rungs))
    seconds = time.perf_counter() - started
    return {"loops": loops, "runs": dict(zip(rungs, runs, strict=True)), "runs_seconds": seconds}


def tutorial_loop(params: Params, rows: int) -> dict[str, Any]:
    """The tutorial's loop with the network of these params, once over the first so many rows."""
    model = params.model
    flags = ["--hidden", model.hidden_activation, "--output", model.output_activation, "--loss", model.loss]
    flags += ["--optimiser", model.optimizer, "--epochs", "1", "--rows", str(rows)]
    assert model.mlp is not None
    flags += ["--layer-norm"] * model.mlp.layer_norm + ["--normalise"] * (params.data.scaling == "standard")
    tables: list[str | Path] = ["--train-csv", TABLES["train"], "--test-csv", TABLES["test"]]
    found: dict[str, Any] = json.loads(run_python("benchmarks/tutorial_loop.py", *tables, *flags)[0])
    return found


def same_recipe() -> dict[str, Any]:
    """Forty seeds each of two rungs, of which any five against any other five are the same recipe."""
    ladder = load_ladder(ROOT / "experiments.yaml", ROOT / "params.yaml")
    found = {}
    for rung in ("mini-batches", "default"):
        settings = [{**ladder.overrides[rung], "train.seed": seed} for seed in range(100, 140)]
        with ThreadPoolExecutor(2) as pool:
            runs = list(pool.map(lambda changes: train_and_evaluate(changes, keep_wrong=True), settings))
        found[rung] = {"runs": len(runs), "accuracy": column(runs, "accuracy")} | false_differences(runs)
    return {"splits": SPLITS, "rungs": found}


def false_differences(runs: list[dict[str, Any]]) -> dict[str, float]:
    """How often runs of one recipe are called different.

    verdict: by the ladder, of random splits into five runs and five others. mcnemar: by McNemar's test, of all pairs of
    single runs.
    """
    recorded = [
        RecordedRun("", seed, "", run["accuracy"], None, 10_000, None, 0.0, 0.0, tuple(run["wrong"]))
        for seed, run in enumerate(runs)
    ]
    random = np.random.default_rng(0)
    called = 0
    for _ in range(SPLITS):
        chosen = random.permutation(len(recorded))[:10]
        before, after = (
            [replace(recorded[i], seed=seed) for seed, i in enumerate(half)] for half in chosen.reshape(2, 5)
        )
        change = compare_runs(before, after)
        assert change is not None
        called += change.verdict != "cannot tell"
    wrong = [frozenset(run["wrong"]) for run in runs]
    pairs = [mcnemar(len(a - b), len(b - a)) <= LEVEL for a, b in itertools.combinations(wrong, 2)]
    return {"verdict": called / SPLITS, "mcnemar": sum(pairs) / len(pairs)}


def queue_cost() -> dict[str, Any]:
    """Four experiments through the ladder and DVC's queue, one at a time, less what their stages take."""
    number, rung = 4, "mini-batches"
    ladder = load_ladder(ROOT / "experiments.yaml", ROOT / "params.yaml")
    with folder() as here:
        clone = here / "clone"
        subprocess.run(["git", "clone", "-q", ROOT, clone], check=True)
        shutil.copytree(ROOT / ".dvc" / "cache" / "files", clone / ".dvc" / "cache" / "files")  # and no runs to reuse
        dvc(clone, "checkout")
        started = time.perf_counter()
        code = "import sys; from mnist_pipeline.cli import main; main(sys.argv[1:])"
        environment = {**os.environ, "PYTHONPATH": str(clone / "src"), "PATH": path_with_python()}
        command = [sys.executable, "-c", code, "ladder", "run", rung, "--seeds", str(number), "--jobs", "1"]
        subprocess.run(command, cwd=clone, env=environment, check=True, capture_output=True)
        total = time.perf_counter() - started
    stages = [train_and_evaluate({**ladder.overrides[rung], "train.seed": seed}, plot=True) for seed in range(number)]
    return {"total": total, "stages": [run["stages_seconds"] for run in stages]}


def pictures() -> dict[str, Any]:
    """`mnist predict` on pictures of rows held out, and on digits that a program draws."""
    found: dict[str, Any] = json.loads(run_python("-m", "benchmarks.pictures")[0])
    return found


def compare_time() -> dict[str, Any]:
    """`mnist compare` and `dvc metrics diff` of the last commit and the workspace, in turn."""
    seconds: dict[str, list[float]] = {"compare": [], "diff": []}
    for _ in range(11):
        started = time.perf_counter()
        run_python("-m", "mnist_pipeline.cli", "compare", "HEAD")
        seconds["compare"].append(time.perf_counter() - started)
        started = time.perf_counter()
        dvc(ROOT, "metrics", "diff", "HEAD")
        seconds["diff"].append(time.perf_counter() - started)
    return seconds


def matrix_product() -> dict[str, Any]:
    """The first layer's product, 128 × 784 × 200, in portable numerics: PyTorch's own (MKL) and ours (oneDNN)."""
    code = """
import json, time
from mnist_pipeline import numerics
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
    """The default settings twenty times, two side by side: the hashes of the model and of all metrics."""
    with ThreadPoolExecutor(2) as pool:
        hashes = list(pool.map(lambda _: train_and_evaluate({})["hash"], range(20)))
    return {"hashes": hashes}


def numerics() -> dict[str, Any]:
    """What portable numerics cost: the training loop of the default settings, portable and fast in turn."""
    pairs = [
        [train_and_evaluate({"runtime.numerics": name})["training_seconds"] for name in ("portable", "fast")]
        for _ in range(5)
    ]
    return {"portable": [pair[0] for pair in pairs], "fast": [pair[1] for pair in pairs]}


def verification() -> dict[str, Any]:
    """`mnist verify`: the whole pipeline in a clone of HEAD, held against dvc.lock."""
    with folder() as here:
        run_python("-m", "mnist_pipeline.cli", "verify", "--quiet", "--json", here / "result.json")
        result = json.loads((here / "result.json").read_text("utf-8"))
    return {name: result[name] for name in ("commit", "seconds", "passed")} | {"files": len(result["files"])}


def data() -> dict[str, Any]:
    """Both CSV files to validated arrays with facts and preview (the whole stage), and loading the arrays."""
    code = (
        "import sys, time; from pathlib import Path; from mnist_pipeline.splits import load_split;"
        "started = time.perf_counter(); split = load_split(Path(sys.argv[1])); total = int(split.images[-1].sum());"
        "print(time.perf_counter() - started)"
    )
    with folder() as here:
        validate = [
            stage("validate", here, {"train-csv": TABLES["train"], "test-csv": TABLES["test"]}) for _ in range(5)
        ]
    load = [float(run_python("-c", code, ARRAYS["train"])[0]) for _ in range(10)]
    return {"validate_seconds": validate, "load_seconds": load}


def fresh_clone() -> dict[str, Any]:
    """A clone with an empty DVC cache: the whole pipeline, bringing the data included."""
    seconds = []
    for _ in range(3):
        with folder() as here:
            subprocess.run(["git", "clone", "-q", ROOT, here / "clone"], check=True)
            started = time.perf_counter()
            dvc(here / "clone", "repro", "--force")
            seconds.append(time.perf_counter() - started)
            changed = subprocess.run(
                ["git", "status", "--porcelain"], cwd=here / "clone", capture_output=True, text=True, check=True
            ).stdout
            assert not changed, f"the clone gave other results than those committed:\n{changed}"
    return {"seconds": seconds}


def nothing_to_do() -> dict[str, Any]:
    """`dvc repro` where all is up to date, here and in an empty project of two stages, in turn."""
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
    """What distorting adds to training the default network, in turn with and without; and a picture of it."""
    ladder = load_ladder(ROOT / "experiments.yaml", ROOT / "params.yaml")
    strength = {key: value for key, value in ladder.presets["cnn-2min"].overrides.items() if ".augmentation." in key}
    found: dict[str, list[dict[str, float]]] = {}
    for numerics_name in ("portable", "fast"):
        base = {"train.epochs": 5, "runtime.numerics": numerics_name}
        found[numerics_name] = [
            {
                "plain": train_and_evaluate(base)["training_seconds"],
                "distorted": train_and_evaluate(base | strength)["training_seconds"],
            }
            for _ in range(REPEATS)
        ]
    with folder() as here:
        changes = strength | {"train.epochs": 1}
        params = with_overrides(yaml.safe_load((ROOT / "params.yaml").read_text("utf-8")), changes)
        (here / "params.yaml").write_text(yaml.safe_dump(params), "utf-8")
        stage("train", here, {"train": ARRAYS["train"]})
        examples = load_examples(here / "models" / "examples.safetensors")
        save_figure(RESULTS / "augmentation.png", draw_augmentation(examples))
    return found


def growth() -> dict[str, Any]:
    """Seconds and peak memory of validate, train and evaluate, by rows, hidden units, epochs and cores."""
    once = {"train.epochs": 1, "runtime.numerics": "fast"}
    found: dict[str, list[dict[str, Any]]] = {"rows": [], "hidden_units": [], "epochs": [], "cores": []}
    with folder() as here:
        for times in (1, 2, 5, 10):
            tables, arrays = enlarged(here / str(times), times)
            for _ in range(GROWTH_REPEATS):
                validated = measured_stage("validate", here / "v", tables, {"csv.rows": {"train": None, "test": None}})
                trained = measured_stage("train", here / "t", {"train": arrays["train"]}, once)
                stage("export", here / "t", {})
                evaluated = measured_stage("evaluate", here / "t", {"test": arrays["test"]}, once)
                found["rows"].append({"rows": 60_000 * times} | validated | trained | evaluated)
            shutil.rmtree(here / str(times), ignore_errors=True)
        for units in (50, 200, 800, 3200):
            changes = once | {"model.mlp.hidden_units": [units], "optimizers.sgd.learning_rate": 0.02}  # none diverges
            found["hidden_units"] += [
                {"units": units} | trained_and_evaluated(here / "u", changes) for _ in range(GROWTH_REPEATS)
            ]
        for epochs in (1, 5, 10, 20):
            changes = once | {"train.epochs": epochs}
            found["epochs"] += [
                {"epochs": epochs} | trained_and_evaluated(here / "e", changes) for _ in range(GROWTH_REPEATS)
            ]
        for architecture in ("mlp", "cnn"):
            for cores in (1, 2):
                changes = once | {"model.architecture": architecture, "train.epochs": 2}
                found["cores"] += [
                    {"cores": cores, "architecture": architecture} | trained_and_evaluated(here / "c", changes, cores)
                    for _ in range(GROWTH_REPEATS)
                ]
    return found


def trained_and_evaluated(here: Path, changes: dict[str, Any], cores: int = 2) -> dict[str, float]:
    """Seconds and peak memory of both stages."""
    trained = measured_stage("train", here, {"train": ARRAYS["train"]}, changes, cores)
    stage("export", here, {})
    return trained | measured_stage("evaluate", here, {"test": ARRAYS["test"]}, changes, cores)


def enlarged(here: Path, times: int) -> tuple[dict[str, Path], dict[str, Path]]:
    """The CSV files and the arrays of so many times the rows, all but the first sixty thousand distorted."""
    if times == 1:
        return {f"{split}-csv": path for split, path in TABLES.items()}, ARRAYS
    run_python("benchmarks/enlarge.py", *ARRAYS.values(), here, str(times))
    tables = {f"{split}-csv": here / f"{split}.csv" for split in ARRAYS}
    return tables, {split: here / f"{split}.safetensors" for split in ARRAYS}


def measured_stage(
    name: str, here: Path, inputs: dict[str, Path], changes: dict[str, Any], cores: int = 2
) -> dict[str, float]:
    """What a stage takes: {"train_seconds": …, "train_megabytes": …}, of the whole process."""
    here.mkdir(exist_ok=True)
    params = with_overrides(yaml.safe_load((ROOT / "params.yaml").read_text("utf-8")), changes)
    (here / "params.yaml").write_text(yaml.safe_dump(params), "utf-8")
    ran = run_measured(*stage_command(name, here, inputs), cores=cores)
    return {f"{name}_seconds": ran.seconds, f"{name}_megabytes": ran.peak_megabytes}


SECTIONS: dict[str, Callable[[], dict[str, Any]]] = {
    section.__name__: section
    for section in (
        augmentation,
        compare_time,
        contenders,
        default,
        data,
        fresh_clone,
        growth,
        matrix_product,
        nothing_to_do,
        numerics,
        pictures,
        presets,
        queue_cost,
        same_recipe,
        tutorial,
        twenty_runs,
        usual_script,
        verification,
    )
}


@contextmanager
def folder() -> Iterator[Path]:
    """A folder that is gone afterwards."""
    with tempfile.TemporaryDirectory(prefix="mnist-benchmark-") as name:
        yield Path(name)


def run_python(*arguments: str | Path) -> tuple[str, float]:
    """Run Python as DVC would in this checkout; its output and how long it took, in seconds."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "src")}
    started = time.perf_counter()
    ran = subprocess.run(
        [sys.executable, *arguments], cwd=ROOT, env=environment, capture_output=True, text=True, check=False
    )
    seconds = time.perf_counter() - started
    if ran.returncode:
        raise RuntimeError(f"{arguments}: {ran.stderr}")
    return ran.stdout, seconds


@dataclass(frozen=True)
class Ran:
    """A process that ended well: what it printed, how long it took, and the most memory that it held."""

    output: str
    seconds: float
    peak_megabytes: float


def run_measured(*arguments: str | Path, cores: int = 2) -> Ran:
    """Run Python as DVC would in this checkout, on so many cores."""
    usable = sorted(os.sched_getaffinity(0))[:cores]
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "src")}
    with tempfile.TemporaryFile() as output, tempfile.TemporaryFile() as errors:
        started = time.perf_counter()
        process = subprocess.Popen(
            ["taskset", "--cpu-list", ",".join(map(str, usable)), sys.executable, *arguments],
            cwd=ROOT, env=environment, stdout=output, stderr=errors
        )  # fmt: skip
        _, status, usage = os.wait4(process.pid, 0)
        seconds = time.perf_counter() - started
        process.returncode = os.waitstatus_to_exitcode(status)
        for file in (output, errors):
            file.seek(0)
        if status:
            raise RuntimeError(f"{arguments}: {errors.read().decode()}")
        return Ran(output.read().decode(), seconds, usage.ru_maxrss / 1024)


def path_with_python() -> str:
    """PATH with this Python's commands first."""
    return f"{Path(sys.executable).parent}:{os.environ['PATH']}"


def dvc(place: Path, *arguments: str) -> None:
    """Run DVC in a folder."""
    environment = {**os.environ, "PATH": path_with_python(), "DVC_NO_ANALYTICS": "1"}
    subprocess.run(
        [sys.executable, "-m", "dvc", *arguments], cwd=place, env=environment, capture_output=True, check=True
    )


def stage(name: str, here: Path, inputs: dict[str, Path]) -> float:
    """Run a stage as dvc.yaml does, with these inputs and all outputs in a folder; how long it took, in seconds."""
    return stage_output(name, here, inputs)[1]


def stage_output(name: str, here: Path, inputs: dict[str, Path]) -> tuple[str, float]:
    """Run a stage likewise; what it printed, and how long it took, in seconds."""
    return run_python(*stage_command(name, here, inputs))


def stage_command(name: str, here: Path, inputs: dict[str, Path]) -> list[str | Path]:
    """A stage as dvc.yaml runs it, with these inputs and all outputs in a folder."""
    words = yaml.safe_load((ROOT / "dvc.yaml").read_text("utf-8"))["stages"][name]["cmd"].split()[3:]
    values = {flag.removeprefix("--"): here / path for flag, path in zip(words[::2], words[1::2], strict=True)}
    if "params" in values and not values["params"].exists():
        values["params"] = ROOT / "params.yaml"
    values |= inputs
    return [f"stages/{name}.py", *(word for flag, path in values.items() for word in (f"--{flag}", path))]


def train_and_evaluate(changes: dict[str, Any], *, plot: bool = False, keep_wrong: bool = False) -> dict[str, Any]:
    """Train with changed params, export, and score on the test set, by the stages; and draw and tell, if asked to."""
    params = with_overrides(yaml.safe_load((ROOT / "params.yaml").read_text("utf-8")), changes)
    with folder() as here:
        (here / "params.yaml").write_text(yaml.safe_dump(params), "utf-8")
        ran = run_measured(*stage_command("train", here, {"train": ARRAYS["train"]}))
        later = stage("export", here, {}) + stage("evaluate", here, {"test": ARRAYS["test"]})
        if plot:
            later += stage("plot", here, {}) + stage("card", here, {"facts": ROOT / "metrics" / "data.json"})
        predictions = (here / "metrics" / "predictions.csv").read_text("utf-8").splitlines()
        metrics = json.loads((here / "metrics" / "test.json").read_text("utf-8"))
        training = json.loads((here / "metrics" / "train.json").read_text("utf-8"))
        digest = hashlib.sha256()
        for path in sorted(each for name in ("models", "metrics") for each in (here / name).glob("*.*")):
            digest.update(path.read_bytes())
    loop = float(re.findall(r"in ([0-9.]+) s", ran.output)[0])
    return {
        "accuracy": metrics["accuracy"],
        "validation_accuracy": training["validation_accuracy"],
        "train_stage_seconds": ran.seconds,
        "peak_megabytes": ran.peak_megabytes,
        "stages_seconds": ran.seconds + later,
        "training_seconds": loop,
        "hash": digest.hexdigest(),
    } | ({"wrong": wrong_of(predictions)} if keep_wrong else {})


def wrong_of(predictions: list[str]) -> list[int]:
    """The samples that were got wrong, by index."""
    return [int(row["index"]) for row in csv.DictReader(predictions) if row["actual"] != row["predicted"]]


def environment() -> dict[str, str]:
    """What the figures were found on."""
    cpu = platform.processor() or platform.machine()
    if (info := Path("/proc/cpuinfo")).exists():
        cpu = re.findall(r"model name\s*: (.*)", info.read_text())[0]
    packages = ", ".join(f"{name} {version(name)}" for name in ("torch", "numpy", "dvc"))
    return {"cpu": f"{os.cpu_count()} cores of {cpu}", "software": f"Python {platform.python_version()}, {packages}"}


def spread(values: list[float], digits: int) -> str:
    """Mean ± standard deviation (n)."""
    if len(values) == 1:
        return f"{values[0]:.{digits}f} (n = 1)"
    return f"{statistics.mean(values):.{digits}f} ± {statistics.stdev(values):.{digits}f} (n = {len(values)})"


def median_ratio(ours: list[float], theirs: list[float]) -> str:
    """The median of the ratios of paired seconds, with both medians."""
    ratios = [a / b for a, b in zip(ours, theirs, strict=True)]
    return (
        f"median {statistics.median(ratios):.2f} (n = {len(ratios)}; {statistics.median(ours):.2f} s, "
        f"{statistics.median(theirs):.2f} s)"
    )


def column(runs: list[dict[str, Any]], name: str) -> list[float]:
    """One figure of every run."""
    return [run[name] for run in runs]


def figures_table(found: dict[str, Any]) -> str:
    """Each figure with its target."""
    lines = ["| what | target | measured |", "|---|---|---|"]
    if runs := found.get("default", {}).get("runs"):
        lines += [
            f"| default: test accuracy, by seed | ≥ 0.983 | {spread(column(runs, 'accuracy'), 4)} |",
            f"| default: train stage, seconds | ≤ 20 | {spread(column(runs, 'train_stage_seconds'), 1)} |",
        ]
    if "fresh_clone" in found:
        seconds = found["fresh_clone"]["seconds"]
        lines.append(f"| all stages in a fresh clone, download included, seconds | ≤ 60 | {spread(seconds, 1)} |")
    if "nothing_to_do" in found:
        lines.append(
            f"| `dvc repro` with nothing to do, over that of an empty project | ≤ 1.25 | "
            f"{median_ratio(found['nothing_to_do']['ours'], found['nothing_to_do']['empty'])} |"
        )
    if "data" in found:
        lines += [
            f"| both CSV files to validated arrays, facts and preview, seconds | ≤ 4 | "
            f"{spread(found['data']['validate_seconds'], 2)} |",
            f"| loading the training arrays, seconds | ≤ 0.1 | {spread(found['data']['load_seconds'], 4)} |",
        ]
    if "numerics" in found:
        portable, fast = found["numerics"]["portable"], found["numerics"]["fast"]
        ratios = [a / b for a, b in zip(portable, fast, strict=True)]
        lines.append(
            f"| training with portable numerics over fast ones, both cores free | ≤ 4 | {spread(ratios, 2)}; "
            f"{statistics.mean(portable):.1f} s, {statistics.mean(fast):.1f} s |"
        )
    if "matrix_product" in found:
        mkl, onednn = found["matrix_product"]["mkl"], found["matrix_product"]["onednn"]
        lines.append(
            f"| 128 × 784 × 200 in portable numerics, ms: PyTorch's own (MKL), ours (oneDNN) | | "
            f"{statistics.median(mkl):.2f}, {statistics.median(onednn):.2f} (medians, n = {len(mkl)}) |"
        )
    if "twenty_runs" in found:
        hashes = found["twenty_runs"]["hashes"]
        most = max(hashes.count(each) for each in hashes)
        lines.append(f"| runs of the default settings that gave the same bits | 20 of 20 | {most} of {len(hashes)} |")
    if "verification" in found:
        result = found["verification"]
        outcome = "passed" if result["passed"] else "failed"
        lines.append(
            f"| `mnist verify`, seconds | ≤ 120 | {result['seconds']:.0f}, {outcome}, {result['files']} files |"
        )
    lines += picture_lines(found)
    lines += contender_lines(found)
    lines += augmentation_lines(found)
    lines += growth_lines(found)
    lines += ladder_lines(found)
    return "\n".join([*lines, "", *machines(found.values())])


def picture_lines(found: dict[str, Any]) -> list[str]:
    """How well ordinary pictures are read."""
    if "pictures" not in found:
        return []
    agreeing, drawn = found["pictures"]["agreeing"], found["pictures"]["drawn"]
    return [
        f"| `mnist predict` on {found['pictures']['rows']} held-out rows as pictures: the raw row's answer | | "
        f"{'; '.join(f'{kind} {100 * share:.1f} %' for kind, share in agreeing.items())} |",
        f"| `mnist predict` on ten drawn digits: read right | | "
        f"{'; '.join(f'{style} {number}' for style, number in drawn.items())} |",
    ]


def contender_lines(found: dict[str, Any]) -> list[str]:
    """Ours against what others would write: time to an accuracy, time for the same epochs, memory."""
    if "contenders" not in found or "usual_script" not in found:
        return []
    result = {name: runs for name, runs in found["contenders"].items() if name != "environment"}
    result["pytorch"] = found["usual_script"]["pytorch"]
    ours = {name: runs for name, runs in result.items() if name.startswith("ours, ")}
    loop = result["loop"][0]
    loop_course = [
        {"seconds": seconds, "accuracy": accuracy}
        for seconds, accuracy in zip(itertools.accumulate(loop["epoch_seconds"]), loop["accuracies"], strict=True)
    ]
    courses = {"the tutorial's loop": [loop_course], "scikit-learn": [run["course"] for run in result["sklearn"]],
               "PyTorch's example": [run["course"] for run in result["pytorch"]]}  # fmt: skip
    targets = {("the tutorial's loop", 0.97): "≥ 100", ("PyTorch's example", 0.99): "≥ 15"}
    lines = []
    for accuracy in (0.97, 0.98, 0.99):
        reaching = {name: statistics.median(column(runs, "training_seconds")) for name, runs in ours.items()
                    if statistics.mean(column(runs, "accuracy")) >= accuracy}  # fmt: skip
        if not reaching:
            continue
        best = min(reaching, key=lambda name: reaching[name])
        accuracies = spread(column(ours[best], "accuracy"), 4)
        for name, runs in courses.items():
            times = [time_to(course, accuracy) for course in runs]
            reached = [each for each in times if each is not None]
            said = f"never, in {runs[0][-1]['seconds']:.0f} s" if len(reached) < len(times) else (
                f"{statistics.median(reached) / reaching[best]:.0f} ({spread(reached, 1)} s over "
                f"{spread(column(ours[best], 'training_seconds'), 2)} s; of medians)"
            )  # fmt: skip
            target = targets.get((name, accuracy), "")
            lines.append(f"| time to {accuracy}: {name} over {best} ({accuracies}) | {target} | {said} |")
    theirs, default = courses["scikit-learn"], ours["ours, MLP, 10 epochs (default)"]
    seconds, same = [course[9]["seconds"] for course in theirs], column(default, "training_seconds")
    ratios = [a / b for a, b in zip(seconds, same, strict=True)]
    lines.append(
        f"| ten epochs of 784-200-10 in batches of 128: scikit-learn over ours | ≥ 1.5 | {spread(ratios, 2)}; accuracy "
        f"{spread([course[9]['accuracy'] for course in theirs], 4)}, {spread(column(default, 'accuracy'), 4)} |"
    )
    memory = {name: statistics.mean(column(runs, "peak_megabytes")) for name, runs in result.items()}
    peaks = ", ".join(f"{name} {megabytes:.0f}" for name, megabytes in memory.items() if "," not in name)
    mine = memory["ours, MLP, 10 epochs (default)"], memory["ours, CNN, 2 epochs"]
    lines.append(f"| peak memory of the process, MB | | {peaks}; ours, MLP {mine[0]:.0f}, CNN {mine[1]:.0f} |")
    return lines


def time_to(course: list[dict[str, float]], accuracy: float) -> float | None:
    """The seconds after which an accuracy was first reached; None: it was not."""
    return next((each["seconds"] for each in course if each["accuracy"] >= accuracy), None)


def augmentation_lines(found: dict[str, Any]) -> list[str]:
    """What distorting images takes of the training time."""
    return [
        f"| distorting, share of the default network's training time, {name} | ≤ 0.33 | "
        f"{spread([1 - run['plain'] / run['distorted'] for run in runs], 2)} |"
        for name, runs in found.get("augmentation", {}).items()
        if name != "environment"
    ]


def growth_lines(found: dict[str, Any]) -> list[str]:
    """What ten times the rows cost, and what the second core brings."""
    if "growth" not in found:
        return []
    result = found["growth"]
    lines = []
    for stage_name in ("validate", "train", "evaluate"):
        means = {
            (rows, unit): statistics.mean(run[f"{stage_name}_{unit}"] for run in result["rows"] if run["rows"] == rows)
            for rows in (60_000, 600_000)
            for unit in ("seconds", "megabytes")
        }
        lines.append(
            f"| {stage_name} (one epoch), 60,000 rows → 600,000: seconds; peak MB | | "
            f"{means[60_000, 'seconds']:.1f} → {means[600_000, 'seconds']:.1f}; "
            f"{means[60_000, 'megabytes']:.0f} → {means[600_000, 'megabytes']:.0f} |"
        )
    for architecture in ("mlp", "cnn"):
        one, two = (
            [run["train_seconds"] for run in result["cores"]
             if run["cores"] == cores and run["architecture"] == architecture] for cores in (1, 2)
        )  # fmt: skip
        lines.append(
            f"| train, {architecture}, two epochs, the whole stage: one core over two | | "
            f"{statistics.mean(one) / statistics.mean(two):.2f}; {spread(one, 1)} s, {spread(two, 1)} s |"
        )
    return lines


def preset_table(found: dict[str, Any]) -> str:
    """The presets with what was measured."""
    if "presets" not in found:
        return ""
    result, ladder = found["presets"], load_ladder(ROOT / "experiments.yaml", ROOT / "params.yaml")
    rows = [["preset", "what", "test accuracy", "validation", "seconds", "seconds, portable"]]
    for name, runs in result["runs"].items():
        rows.append([
            f"`{name}`", ladder.presets[name].title, spread(column(runs, "accuracy"), 4),
            spread(column(runs, "validation_accuracy"), 4).split(" (")[0],
            spread(column(runs, "training_seconds"), 1).split(" (")[0], f"{result['portable_seconds'][name]:.0f}",
        ])  # fmt: skip
    return "\n".join(markdown(rows))


def ladder_lines(found: dict[str, Any]) -> list[str]:
    """What the ladder costs, and how often it calls a difference where there is none."""
    lines = []
    if "tutorial" in found:
        loops, ours = found["tutorial"]["loops"].values(), found["tutorial"]["runs_seconds"]
        whole = sum(loop["read_seconds"] + 3 * 60_000 / LOOP_ROWS * sum(loop["epoch_seconds"]) for loop in loops)
        lines.append(
            f"| the tutorial's {len(loops)} variants: ours, two at a time, over its own loops one after the other "
            f"(from {LOOP_ROWS:,} rows of each) | ≤ 0.33 | {ours / whole:.2f}; {ours:.0f} s, {whole:.0f} s |"
        )
    if "queue_cost" in found:
        total, stages = found["queue_cost"]["total"], found["queue_cost"]["stages"]
        lines.append(
            f"| DVC's queue and the ladder, seconds for each experiment beyond its stages | ≤ 6 | "
            f"{(total - sum(stages)) / len(stages):.1f} (n = {len(stages)}; the stages {statistics.mean(stages):.1f}) |"
        )
    if "compare_time" in found:
        lines.append(
            f"| `mnist compare` over `dvc metrics diff` | ≤ 1.5 | "
            f"{median_ratio(found['compare_time']['compare'], found['compare_time']['diff'])} |"
        )
    for rung, rates in found.get("same_recipe", {}).get("rungs", {}).items():
        lines.append(
            f"| A/A: five seeds of `{rung}` against five others, called better or worse ({rates['runs']} runs, "
            f"{found['same_recipe']['splits']} splits) | ≤ 5 % | {100 * rates['verdict']:.1f} %; McNemar's test of "
            f"all pairs of single runs: {100 * rates['mcnemar']:.1f} % |"
        )
    return lines


def machines(results: Iterable[dict[str, Any]]) -> list[str]:
    """What some results were measured on, a line each."""
    return sorted({f"Measured on {each['environment']['cpu']}; {each['environment']['software']}." for each in results})


def write_results(name: str, found: dict[str, Any]) -> None:
    """Write what a section found, and on what, into benchmarks/results/."""
    content = json.dumps({"environment": environment(), **found}, indent=2)
    (RESULTS / f"{name}.json").write_text(content + "\n", "utf-8")


def read_results() -> dict[str, Any]:
    """What benchmarks/results/ has, by section."""
    return {path.stem: json.loads(path.read_text("utf-8")) for path in sorted(RESULTS.glob("*.json"))}


def with_tables(text: str) -> str:
    """A page with the table between its marks as benchmarks/results/ has them."""
    return between_marks(text, "figures", figures_table(read_results()))


def with_presets(text: str) -> str:
    """The README with its table of presets likewise."""
    return between_marks(text, "presets", preset_table(read_results()))


def draw_charts() -> None:
    """The pictures beside the results."""
    found = read_results()
    if "contenders" in found and "usual_script" in found:
        save_figure(
            RESULTS / "contenders.png",
            draw_contenders(found["contenders"] | found["usual_script"], found.get("presets")),
        )
    if "growth" in found:
        save_figure(RESULTS / "growth.png", draw_growth(found["growth"]))


def main() -> None:
    """Run the sections asked for and write the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sections", nargs="*", help=f"any of: {', '.join(SECTIONS)} (all by default)")
    parser.add_argument("--report", action="store_true", help="write the tables from earlier results, measure nothing")
    args = parser.parse_args()
    if unknown := set(args.sections) - set(SECTIONS):
        parser.error(f"unknown: {', '.join(unknown)}; known: {', '.join(SECTIONS)}")
    if not args.report:
        missing = [str(path) for path in (*ARRAYS.values(), *TABLES.values()) if not path.exists()]
        if missing:
            sys.exit(f"{', '.join(missing)}: run `make repro` first")
        RESULTS.mkdir(exist_ok=True)
        for name in args.sections or SECTIONS:
            print(f"{name}: {SECTIONS[name].__doc__}", flush=True)
            write_results(name, SECTIONS[name]())
    PAGE.write_text(with_tables(PAGE.read_text("utf-8")), "utf-8")
    README.write_text(with_presets(README.read_text("utf-8")), "utf-8")
    draw_charts()
    print(f"The table is in {PAGE.relative_to(ROOT)}.")


if __name__ == "__main__":
    main()
