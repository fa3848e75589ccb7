"""A git repository with experiments as DVC leaves them, written by hand: no dvc runs here."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from tests.repository import git, name_experiment

LABELS = [index % 3 for index in range(300)]
NAMES = ("zero", "one", "two")
CLASSES = {"actual": str, "predicted": str}


def write_run(
    folder: Path, wrong: Collection[int], labels: Sequence[int] = LABELS, validation: Collection[int] = (),
    code: str = "c", data: str = "d", packages: str = "p", **train: Any,
) -> None:  # fmt: skip
    """Write what a run leaves: predictions of the test and the validation set, dvc.lock, params.yaml."""
    outs = {"metrics/predictions.csv": wrong, "models/validation_predictions.csv": validation}
    deps = {"src/mnist_pipeline/core": code, "data/prepared/test.safetensors": data, "requirements.lock": packages}
    stages = {}
    for path, errors in outs.items():
        rows = [(index, label, index in errors) for index, label in enumerate(labels)]
        lines = (f"{i},{NAMES[label]},{NAMES[(label + bad) % 3]},{1 + bad + i % 7 / 100}" for i, label, bad in rows)
        content = "\n".join(["index,actual,predicted,log_loss", *lines, ""])
        (folder / path).parent.mkdir(exist_ok=True)
        (folder / path).write_text(content)
        stages[path.split("/")[0]] = {
            "deps": [{"path": dep, "md5": md5} for dep, md5 in deps.items()],
            "outs": [{"path": path, "md5": hashlib.md5(content.encode()).hexdigest()}],
        }
    (folder / "dvc.lock").write_text(yaml.safe_dump({"schema": "2.0", "stages": stages}))
    (folder / "params.yaml").write_text(yaml.safe_dump({"train": {"epochs": 3, "seed": 0, **train}}))


def commit_all(folder: Path, experiment: str | None = None) -> None:
    git(folder, "add", ".")
    git(folder, "commit", "-q", "--allow-empty", "-m", "a run")
    if experiment is not None:
        name_experiment(folder, experiment, "HEAD")


def make_experiments(folder: Path) -> Path:
    """Settings "base" and "good", three seeds each, and runs that differ from "base" in one thing.

    "base" gets 60 samples wrong, "good" 10, and up to 2 more by luck. HEAD: samples 0-29 wrong; the workspace: 20-34,
    and none of the validation set.
    """
    git(folder, "init", "-q", "-b", "main")
    commit_all(folder)
    random = np.random.default_rng(0)
    for name, errors, epochs in (("base", 60, 3), ("good", 10, 9)):
        for seed in range(3):
            write_run(folder, set(random.permutation(300)[: errors + seed].tolist()), seed=seed, epochs=epochs)
            commit_all(folder, f"{name}-{seed}")
    changes: dict[str, Any] = {
        "slow": {"rate": 0.1}, "twin": {"seed": 1}, "code": {"code": "e"}, "packages": {"packages": "q"},
        "data": {"data": "e"}, "fewer": {"labels": LABELS[:100]}, "turned": {"labels": LABELS[1:] + LABELS[:1]},
    }  # fmt: skip
    for name, change in changes.items():
        write_run(folder, range(60), **{"seed": 9, **change})
        commit_all(folder, f"other-{name}")
    write_run(folder, range(30), validation=range(25))
    commit_all(folder)
    write_run(folder, range(20, 35), epochs=10, dropout=0.5)
    return folder
