"""The sections of the benchmarks whose figures depend on code and settings: what is found, chosen, and reproduced."""

from __future__ import annotations

import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from benchmarks.accuracies import accuracies
from benchmarks.audit_quality import audit
from benchmarks.ensembles import ensembles
from benchmarks.large_data import shuffles
from benchmarks.processes import ARRAYS, ROOT, folder, measured_stage, on_each_core, run_python, train_and_evaluate
from benchmarks.shards import ghost_norm
from benchmarks.verdicts import verdicts
from mnist_pipeline.ladder.spec import load_ladder

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


def outliers() -> dict[str, Any]:
    """`mnist predict`: warnings of digits and of what is no digit, and several digits in one picture."""
    found: dict[str, Any] = json.loads(run_python("-m", "benchmarks.outliers")[0])
    return found


def pictures() -> dict[str, Any]:
    """`mnist predict` on pictures of validation images, and on digits that a program draws."""
    found: dict[str, Any] = json.loads(run_python("-m", "benchmarks.pictures")[0])
    return found


def twenty_runs() -> dict[str, Any]:
    """The default settings twenty times, two at a time: hashes of the model and the metrics."""
    with ThreadPoolExecutor(2) as pool:
        hashes = list(pool.map(lambda _: train_and_evaluate({})["hash"], range(20)))
    return {"hashes": hashes}


SECTIONS: dict[str, Callable[[], dict[str, Any]]] = {
    section.__name__: section
    for section in (
        accuracies, audit, choice, ensembles, ghost_norm, outliers, pictures, shuffles, twenty_runs, verdicts,
    )
}  # fmt: skip
