"""The tutorial's claims, tested on runs whose truth is known."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from mnist_pipeline.experiments.claims import Claim, claims
from mnist_pipeline.experiments.results import RunResult
from tests.experiments.runs import random_runs

TRUE: dict[str, tuple[float, float, float]] = {
    "start": (0.12, 0.6, 0.3),
    "bce": (0.08, 0.5, 0.4),
    "leaky-relu": (0.05, 0.5, 0.2),
    "adam": (0.07, 0.5, 0.2),
    "adam-sigmoid-mse": (0.04, 0.5, 0.2),
    "layer-norm": (0.03, 0.5, 0.1),
    "input-norm": (0.02, 0.5, 0.2),
    "shuffle": (0.03, 0.5, 0.5),
    "mini-batches": (0.03, 0.5, 0.05),
    "default": (0.02, 0.5, 0.05),
}
"""The rate of errors, the early loss and the swing of each rung."""


def make_runs(**changes: tuple[float, float, float]) -> list[RunResult]:
    """Five runs of each rung around its true figures, with changes."""
    random = np.random.default_rng(0)
    figures = TRUE | {name.replace("_", "-"): value for name, value in changes.items()}
    return [
        replace(
            run,
            early_loss=early_loss + 0.01 * random.standard_normal(),
            swing=swing + 0.01 * random.standard_normal(),
        )
        for number, (name, (errors, early_loss, swing)) in enumerate(figures.items())
        for run in random_runs(name, errors, 5, number)
    ]


def verdicts(found: list[Claim]) -> list[str]:
    return [claim.verdict for claim in found]


def test_claims_hold_in_part_or_in_full() -> None:
    found = claims(make_runs())
    assert verdicts(found) == [
        "holds in part", "holds", "holds", "LayerNorm: holds; inputs: holds", "holds", "fails",
    ]  # fmt: skip
    assert " times as small (0.50 → 0.05)" in found[4].numbers
    assert "the first epoch 0.6" in found[0].numbers
    assert "(n = 5)" in found[5].numbers


@pytest.mark.parametrize(
    ("number", "changes", "verdict"),
    [
        (0, {"bce": (0.08, 0.7, 0.4)}, "holds"),
        (0, {"bce": (0.16, 0.5, 0.2)}, "fails"),
        (0, {"bce": (0.12, 0.6, 0.3)}, "inconclusive"),
        (1, {"leaky_relu": (0.2, 0.5, 0.4)}, "fails"),
        (1, {"leaky_relu": (0.05, 0.5, 0.4)}, "holds in part"),
        (2, {"adam": (0.03, 0.5, 0.2)}, "fails"),
        (3, {"layer_norm": (0.05, 0.5, 0.2), "input_norm": (0.08, 0.5, 0.2)}, "LayerNorm: inconclusive; inputs: fails"),
        (4, {"mini_batches": (0.03, 0.5, 0.7)}, "fails"),
        (5, {"default": (0.06, 0.5, 0.05)}, "holds"),
    ],
)
def test_a_verdict_follows_the_truth(number: int, changes: Any, verdict: str) -> None:
    assert verdicts(claims(make_runs(**changes)))[number] == verdict


def test_claims_need_two_common_seeds_with_known_losses() -> None:
    one, other = random_runs("start", 0.1, 3, 1), random_runs("bce", 0.05, 3, 2)
    assert len(claims([*one, *other])) == 1
    assert claims([*one, *(replace(run, seed=run.seed + 2) for run in other)]) == []
    assert claims([*one, *(replace(run, swing=None) for run in other)]) == []
    assert claims([*one, *(replace(run, early_loss=None) for run in other)]) == []
