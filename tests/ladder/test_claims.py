"""The tutorial's claims, tested on runs whose truth is known."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from mnist_pipeline.ladder.claims import claims
from mnist_pipeline.ladder.results import RunResult
from tests.ladder.runs import random_runs

TRUE: dict[str, tuple[float, float, float]] = {
    "start": (0.12, 0.6, 0.3), "bce": (0.08, 0.7, 0.4), "leaky-relu": (0.05, 0.5, 0.2), "adam": (0.07, 0.5, 0.2),
    "adam-sigmoid-mse": (0.04, 0.5, 0.2), "layer-norm": (0.03, 0.5, 0.1), "input-norm": (0.02, 0.5, 0.2),
    "shuffle": (0.03, 0.5, 0.5), "mini-batches": (0.03, 0.5, 0.05), "default": (0.05, 0.5, 0.05),
}  # fmt: skip
"""The rate of errors, the early loss and the swing of each rung, such that all that can hold holds."""


def make_runs(changes: dict[str, tuple[float, float, float]]) -> list[RunResult]:
    """Eight runs of each rung around its true figures."""
    random = np.random.default_rng(0)
    return [
        replace(run, early_loss=early + random.normal(0, 0.01), swing=swing + random.normal(0, 0.01))
        for number, (name, (errors, early, swing)) in enumerate((TRUE | changes).items())
        for run in random_runs(name, errors, 8, number)
    ]


def verdicts(runs: list[RunResult]) -> list[list[str]]:
    return [[part.verdict for part in parts] for parts in claims(runs).values()]


@pytest.mark.parametrize(
    ("number", "changes", "expected"),
    [
        (0, {}, ["holds", "holds", "holds"]),
        (0, {"bce": (0.16, 0.5, 0.2)}, ["refuted", "refuted", "refuted"]),
        (0, {"bce": (0.12, 0.6, 0.3)}, ["undecided", "undecided", "undecided"]),
        (1, {}, ["holds", "holds"]),
        (1, {"leaky-relu": (0.05, 0.5, 0.4)}, ["holds", "refuted"]),
        (2, {"adam": (0.03, 0.5, 0.2), "adam-sigmoid-mse": (0.03, 0.5, 0.2)}, ["refuted", "undecided"]),
        (3, {"input-norm": (0.08, 0.5, 0.2)}, ["holds", "undecided", "refuted"]),
        (4, {}, ["holds"]),
        (4, {"mini-batches": (0.03, 0.5, 0.7)}, ["refuted"]),
        (5, {}, ["holds"]),
        (5, {"default": (0.01, 0.5, 0.05)}, ["refuted"]),
        (5, {"default": (0.0205, 0.5, 0.05)}, ["undecided"]),  # and the hard samples: 3 %
    ],
)
def test_parts_hold_are_refuted_or_stay_undecided(number: int, changes: Any, expected: list[str]) -> None:
    assert verdicts(make_runs(changes))[number] == expected


def test_training_is_steadier_where_its_spread_over_seeds_is_smaller() -> None:
    for spread, expected in ((1e-5, "holds"), (1e-1, "refuted"), (0, "undecided")):
        runs = [
            replace(run, accuracy=0.97 + spread * run.seed) if run.rung == "layer-norm" else run
            for run in make_runs({})
        ]
        assert verdicts(runs)[3][1] == expected


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, [["holds", "undecided", "undecided"]]),  # all losses are equal: no test is possible
        ({"swing": None}, []),
        ({"early_loss": None}, []),
        ({"code": "old"}, []),
    ],
)
def test_claims_need_runs_with_losses_of_the_same_code(changes: Any, expected: list[list[str]]) -> None:
    assert verdicts(random_runs("start", 0.12, 3, 1) + random_runs("bce", 0.05, 3, 2, **changes)) == expected
    assert verdicts(random_runs("start", 0.12, 3, 1) + random_runs("bce", 0.05, 1, 2)) == []
