"""What presets reach: three or five seeds each, one process on each core, and the two-way interval of the mean."""

from __future__ import annotations

from pathlib import Path
from threading import Lock
from typing import Any

import numpy as np
import yaml
from numpy.typing import NDArray

from benchmarks.processes import (
    ARRAYS,
    ROOT,
    accuracies_in,
    folder,
    mistakes_in,
    on_each_core,
    run_measured,
    run_python,
    stage,
    stage_command,
)
from benchmarks.results import QUALITY, cpu_name, read_results, settings_digest, write_results
from mnist_pipeline.data.corrections import read_corrections
from mnist_pipeline.experiments.significance import compare_scores
from mnist_pipeline.ladder.spec import load_ladder
from mnist_pipeline.params.overrides import with_overrides

TARGETS = {"mlp-20min": 0.9953, "cnn-20min": 0.9973, "ensemble-1h": 0.9978}
SEEDS_WITH_TARGET, SEEDS = 5, 3
ENSEMBLE, ALONE = "ensemble-1h", "cnn-20min"
"""The first network of the one is trained as the other is, with the same seed and to the same bits."""
ROWS = 10_000
"""Of MNIST's test set."""


def accuracies() -> dict[str, Any]:
    """Test accuracy of the presets: five seeds of those with targets, three of others; two runs at a time.

    Earlier results of the same settings are kept: all of them take more than four hours.
    """
    presets = load_ladder(ROOT / "experiments.yaml", ROOT / "params.yaml").presets
    runs, writing = current_runs(read_results(QUALITY)), Lock()

    def measure(task: tuple[str, str], core: int) -> None:
        name, seed = task
        if seed in runs[name]:
            return
        found = train_and_evaluate_on(core, dict(presets[name].overrides) | {"train.seed": int(seed)})
        with writing:
            for each, run in zip((name, ALONE), found, strict=False):  # an ensemble gives two
                print(f"  {each}, seed {seed}: {run['accuracy']}", flush=True)
                runs[each][seed] = {"settings": settings_digest(presets[each].overrides), "cpu": cpu_name()} | run
            write_results(QUALITY, "accuracies", {"runs": runs})  # an interruption loses two runs at most

    seeds = {name: SEEDS_WITH_TARGET if name in TARGETS else SEEDS for name in reversed(presets)}  # ensembles first
    on_each_core(measure, [(name, str(seed)) for name, number in seeds.items() for seed in range(number)])
    return {"runs": runs}


def current_runs(found: dict[str, Any]) -> dict[str, dict[str, dict[str, Any]]]:
    """Return the results of each preset with the settings that it has now, by seed."""
    presets = load_ladder(ROOT / "experiments.yaml", ROOT / "params.yaml").presets
    before = found.get("accuracies", {}).get("runs", {})
    return {
        name: {
            seed: run
            for seed, run in before.get(name, {}).items()
            if run["settings"] == settings_digest(presets[name].overrides)
        }
        for name in presets
    }


def train_and_evaluate_on(core: int, overrides: dict[str, Any]) -> list[dict[str, Any]]:
    """Train and evaluate on one core; return the accuracies, and what was predicted for each mistake.

    Those of an ensemble are followed by those of its first network.
    """
    with folder() as here:
        content = with_overrides(yaml.safe_load((ROOT / "params.yaml").read_text("utf-8")), overrides)
        (here / "params.yaml").write_text(yaml.safe_dump(content), "utf-8")
        run_measured(*stage_command("train", here, {"train": ARRAYS["train"]}), cores=1, first=core)
        found = [evaluated(here)]
        if content["model"]["members"] > 1:
            run_python("-m", "benchmarks.first_network", here / "models" / "classifier.safetensors")
            found.append(evaluated(here))
        return found


def evaluated(here: Path) -> dict[str, Any]:
    """Evaluate the classifier in a folder; return the accuracies, and what was predicted for each mistake."""
    stage("evaluate", here, {"test": ARRAYS["test"]})
    return accuracies_in(here) | {"wrong": mistakes_in(here)}


def accuracy_lines(found: dict[str, Any]) -> list[str]:
    """Return the lines of the table: mean accuracy and its two-way interval, also on corrected labels."""
    classes = [str(digit) for digit in range(10)]
    corrections = read_corrections(ROOT / "data" / "corrections" / "mnist_test.csv", classes)["test"]
    lines = []
    for name, by_seed in current_runs(found).items():
        if name not in TARGETS or len(by_seed) < 2:
            continue
        runs = [run["wrong"] for run in by_seed.values()]
        given = np.ones((len(runs), ROWS))
        for number, wrong in enumerate(runs):
            given[number, [int(row) for row in wrong]] = 0
        corrected = given.copy()
        for row, correction in corrections.items():  # rows of the file, from 1
            for number, wrong in enumerate(runs):
                predicted = wrong.get(str(row - 1), classes[correction.given])
                corrected[number, row - 1] = correction.label is not None and predicted == classes[correction.label]
        dropped = [row - 1 for row, correction in corrections.items() if correction.label is None]
        lines.append(
            f"| `{name}`: test accuracy, and the interval of its mean by the two-way test | ≥ {TARGETS[name]} "
            f"| {described(given)}; on corrected labels {described(np.delete(corrected, dropped, axis=1))} |"
        )
    return lines


def described(scores: NDArray[np.float64]) -> str:
    """Describe the mean of scores, (runs, samples), with the interval over seeds and samples."""
    means = scores.mean(axis=1)
    low, high = compare_scores(np.zeros_like(scores), scores).interval()
    return f"{means.mean():.4f} ± {means.std(ddof=1):.4f} (n = {len(means)}), {low:.4f} to {high:.4f}"
