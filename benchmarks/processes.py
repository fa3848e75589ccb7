"""Run the stages, Python and DVC as a user would, and measure their time and memory."""

from __future__ import annotations

import csv
import hashlib
import json
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from queue import SimpleQueue
from typing import Any, TypeVar

import yaml

from mnist_pipeline.params.overrides import with_overrides

Task = TypeVar("Task")
Result = TypeVar("Result")

ROOT = Path(__file__).parents[1]
ARRAYS = {split: ROOT / "data" / "prepared" / f"{split}.safetensors" for split in ("train", "test")}
TABLES = {split: ROOT / "data" / "raw" / f"mnist_{split}.csv" for split in ("train", "test")}


@contextmanager
def folder() -> Iterator[Path]:
    """Yield a temporary folder."""
    with tempfile.TemporaryDirectory(prefix="mnist-benchmark-") as name:
        yield Path(name)


def run_python(*arguments: str | Path) -> tuple[str, float]:
    """Run Python as DVC would in this checkout; return its output and the seconds it took."""
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
    """A process that succeeded: its output, the seconds it took, and its peak memory."""

    output: str
    seconds: float
    peak_megabytes: float


MEASURE = """
import os, sys, time
started = time.perf_counter()
_, status, usage = os.wait4(os.spawnv(os.P_NOWAIT, sys.argv[2], sys.argv[2:]), 0)
with open(sys.argv[1], "w") as file:
    print(time.perf_counter() - started, usage.ru_maxrss / 1024, file=file)
sys.exit(os.waitstatus_to_exitcode(status) != 0)
"""
"""Run a command; write seconds and peak megabytes. Linux counts the memory of what starts a process as its own, too."""


def run_measured(*arguments: str | Path, cores: int = 2, first: int = 0) -> Ran:
    """Run Python as DVC would in this checkout, on ``cores`` cores starting with core ``first``."""
    usable = ",".join(map(str, sorted(os.sched_getaffinity(0))[first : first + cores]))
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "src")}
    with tempfile.NamedTemporaryFile("r") as measured:
        measure = [sys.executable, "-S", "-c", MEASURE, measured.name]
        ran = subprocess.run(
            ["taskset", "--cpu-list", usable, *measure, sys.executable, *arguments],
            cwd=ROOT, env=environment, capture_output=True, text=True, check=False,
        )  # fmt: skip
        if ran.returncode:
            raise RuntimeError(f"{arguments}: {ran.stderr}")
        seconds, megabytes = map(float, measured.read().split())
        return Ran(ran.stdout, seconds, megabytes)


def on_each_core(run: Callable[[Task, int], Result], tasks: Iterable[Task]) -> list[Result]:
    """Return what ``run`` returns for each task and the core that is free for it: two at a time, on cores 0 and 1."""
    cores: SimpleQueue[int] = SimpleQueue()
    for core in (0, 1):
        cores.put(core)

    def run_on_free(task: Task) -> Result:
        core = cores.get()
        try:
            return run(task, core)
        finally:
            cores.put(core)

    with ThreadPoolExecutor(2) as pool:
        return list(pool.map(run_on_free, tasks))


def path_with_python() -> str:
    """Return PATH with this Python's commands first."""
    return f"{Path(sys.executable).parent}:{os.environ['PATH']}"


def dvc(place: Path, *arguments: str) -> None:
    """Run DVC in a folder."""
    environment = {**os.environ, "PATH": path_with_python(), "DVC_NO_ANALYTICS": "1"}
    subprocess.run(
        [sys.executable, "-m", "dvc", *arguments], cwd=place, env=environment, capture_output=True, check=True
    )


def stage(name: str, here: Path, inputs: dict[str, Path]) -> float:
    """Run a stage as dvc.yaml does, with these inputs and all outputs in a folder; return the seconds it took."""
    return stage_output(name, here, inputs)[1]


def stage_output(name: str, here: Path, inputs: dict[str, Path]) -> tuple[str, float]:
    """Run a stage likewise; return its output and the seconds it took."""
    return run_python(*stage_command(name, here, inputs))


def stage_command(name: str, here: Path, inputs: dict[str, Path]) -> list[str | Path]:
    """Return the command of a stage in dvc.yaml, with these inputs and all outputs in a folder."""
    words = yaml.safe_load((ROOT / "dvc.yaml").read_text("utf-8"))["stages"][name]["cmd"].split()[3:]
    values = {flag.removeprefix("--"): here / path for flag, path in zip(words[::2], words[1::2], strict=True)}
    for flag, file in (("params", "params.yaml"), ("data-files", "data.yaml")):
        if flag in values and not values[flag].exists():
            values[flag] = ROOT / file
    if "corrections" in values:
        values["corrections"] = ROOT / "data" / "corrections"
    values |= inputs
    return [f"stages/{name}.py", *(word for flag, path in values.items() for word in (f"--{flag}", path))]


def train(here: Path, changes: dict[str, Any]) -> Ran:
    """Run the train stage with changed params, and all outputs in a folder."""
    params = with_overrides(yaml.safe_load((ROOT / "params.yaml").read_text("utf-8")), changes)
    (here / "params.yaml").write_text(yaml.safe_dump(params), "utf-8")
    return run_measured(*stage_command("train", here, {"train": ARRAYS["train"]}))


def train_and_evaluate(changes: dict[str, Any], *, plot: bool = False) -> dict[str, Any]:
    """Train with changed params and evaluate, through the stages; with ``plot``, run plot and card, too."""
    with folder() as here:
        ran = train(here, changes)
        later = stage("evaluate", here, {"test": ARRAYS["test"]})
        if plot:
            later += stage("plot", here, {}) + stage("card", here, {"summary": ROOT / "metrics" / "data.json"})
        accuracies = accuracies_in(here)
        digest = hashlib.sha256()
        for path in sorted(each for name in ("models", "metrics") for each in (here / name).glob("*.*")):
            digest.update(path.read_bytes())
    return accuracies | {
        "train_stage_seconds": ran.seconds,
        "peak_megabytes": ran.peak_megabytes,
        "stages_seconds": ran.seconds + later,
        "training_seconds": loop_seconds(ran.output),
        "hash": digest.hexdigest(),
    }


def accuracies_in(here: Path) -> dict[str, Any]:
    """Return the accuracies that the stages wrote into a folder."""
    metrics = json.loads((here / "metrics" / "test_details.json").read_text("utf-8"))
    training = json.loads((here / "metrics" / "train_details.json").read_text("utf-8"))
    return {
        "accuracy": metrics["accuracy"],
        "corrected_accuracy": metrics["corrected"]["accuracy"],
        "validation_accuracy": training["validation_accuracy"],
    }


def mistakes_in(here: Path) -> dict[str, str]:
    """Return what was predicted for each misclassified test image, by its index."""
    predictions = (here / "metrics" / "predictions.csv").read_text("utf-8").splitlines()
    rows = csv.DictReader(predictions)
    return {row["index"]: row["predicted"] for row in rows if row["actual"] != row["predicted"]}


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


def training_seconds(changes: dict[str, Any]) -> float:
    """Train with changed params through the stage; return the seconds of the training loop."""
    with folder() as here:
        return loop_seconds(train(here, changes).output)


def loop_seconds(output: str) -> float:
    """Return the seconds of the training loop that the train stage printed."""
    return float(re.findall(r"in ([0-9.]+) s", output)[0])
