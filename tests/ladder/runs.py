"""Runs whose truth is known."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from mnist_pipeline.ladder.results import RunResult
from mnist_pipeline.ladder.spec import Ladder, load_ladder
from tests.conftest import PARAMS

SAMPLES = 2000
HARD = set(range(20))
"""Samples that every run gets wrong."""


def make_run(rung: str, seed: int, wrong: set[int], **changes: Any) -> RunResult:
    run = RunResult(
        rung=rung,
        seed=seed,
        params="0" * 12,
        accuracy=1 - len(wrong) / SAMPLES,
        corrected_accuracy=None,
        validation_accuracy=None,
        samples=SAMPLES,
        seconds=3.0,
        early_loss=0.5,
        swing=0.2,
        code="c" * 12,
        packages="p" * 12,
        data="d" * 12,
        wrong=tuple(sorted(wrong)),
    )
    return replace(run, **changes)


def random_runs(rung: str, errors: float, number: int, generator: int, **changes: Any) -> list[RunResult]:
    """Runs that each get a sample wrong with this probability, apart from the hard ones."""
    random = np.random.default_rng(generator)
    wrong = [set(np.flatnonzero(random.random(SAMPLES) < errors).tolist()) for _ in range(number)]
    return [make_run(rung, seed, HARD | each, **changes) for seed, each in enumerate(wrong)]


def make_ladder(folder: Path, rungs: dict[str, Any], params: Path = PARAMS, **content: Any) -> Ladder:
    """Write an experiments.yaml and load it; a rung without a title or a reason gets one."""
    complete = {name: {"title": name.title(), "why": "To see.", **rung} for name, rung in rungs.items()}
    path = folder / "experiments.yaml"
    path.write_text(yaml.safe_dump({"seeds": 5, "rungs": complete, **content}, sort_keys=False), "utf-8")
    return load_ladder(path, params)
