"""What each rung is worth, from runs whose truth is known."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from mnist_pipeline.core.statistics import wilson_interval
from mnist_pipeline.experiments.analysis import Change, RungResult, analyse, compare_runs
from mnist_pipeline.experiments.significance import detectable_by_pairs, detectable_by_samples, mcnemar
from tests.experiments.runs import SAMPLES, make_ladder, make_run, random_runs

RUNGS = {
    "base": {},
    "up": {"builds_on": "base", "published": 0.97},
    "same": {"builds_on": "up"},
    "down": {"builds_on": "up"},
    "absent": {"builds_on": "up"},
}
RUNS = [
    *random_runs("down", 0.08, 5, 3),
    *random_runs("base", 0.10, 5, 0),
    *random_runs("up", 0.03, 5, 1),
    *random_runs("same", 0.03, 5, 2),
]


@pytest.fixture
def results(tmp_path: Path) -> dict[str, RungResult]:
    return {each.rung: each for each in analyse(make_ladder(tmp_path, RUNGS), RUNS)}


def compared(before: dict[int, int] | list[int], after: dict[int, int] | list[int]) -> Change:
    """Compare runs that get this many samples wrong, by seed."""
    numbers = [each if isinstance(each, dict) else dict(enumerate(each)) for each in (before, after)]
    change = compare_runs(*([make_run("a", seed, set(range(each[seed]))) for seed in each] for each in numbers))
    assert change is not None
    return change


def test_real_changes_get_a_verdict_and_others_do_not(results: dict[str, RungResult]) -> None:
    assert list(results) == ["base", "up", "same", "down"]
    verdicts = {name: each.change.verdict for name, each in results.items() if each.change is not None}
    assert verdicts == {"up": "better", "same": "inconclusive", "down": "worse"}


def test_a_rung_has_the_mean_and_spread_of_its_runs(results: dict[str, RungResult]) -> None:
    up = results["up"]
    accuracies = [run.accuracy for run in RUNS if run.rung == "up"]
    assert up.accuracy == pytest.approx(np.mean(accuracies))
    assert up.std == pytest.approx(np.std(accuracies, ddof=1))
    assert (up.low, up.high) == wilson_interval(round(np.mean(accuracies) * SAMPLES), SAMPLES)
    assert (up.title, up.builds_on, up.published, up.seeds, up.seconds) == ("Up", "base", 0.97, 5, 3.0)
    assert up.validation_accuracy is None


def test_unknown_figures_are_left_out_of_means(tmp_path: Path) -> None:
    ladder = make_ladder(tmp_path, RUNGS)
    known = [make_run("base", seed, set(), seconds=1.0 + seed, validation_accuracy=0.8) for seed in (0, 1)]
    unknown = make_run("base", 2, set(), seconds=None)
    (result,) = analyse(ladder, [*known, unknown])
    assert (result.seconds, result.validation_accuracy) == (1.5, 0.8)
    (result,) = analyse(ladder, [unknown])
    assert (result.seeds, result.std, result.seconds, result.validation_accuracy) == (1, None, None, None)


def test_p_values_and_detectable_differences_are_corrected_for_the_number_of_rungs(
    results: dict[str, RungResult],
) -> None:
    changes = [each.change for each in results.values() if each.change is not None]
    smallest = min(changes, key=lambda change: change.p_samples)
    assert smallest.p_samples_corrected == pytest.approx(3 * smallest.p_samples)
    assert all((change.p_seeds_corrected or 0) >= (change.difference.p or 1) for change in changes)
    alone = compare_runs(*([run for run in RUNS if run.rung == name] for name in ("base", "up")))
    assert alone is not None
    assert alone.p_samples_corrected == alone.p_samples
    up = results["up"].change
    assert up is not None
    assert (up.detectable or 0) > 1.05 * (alone.detectable or 1)


def test_one_seed_is_mcnemars_test_and_inconclusive() -> None:
    change = compared([60], [10])
    assert change.p_samples == pytest.approx(mcnemar(50, 0))
    assert (change.difference.p, change.detectable, change.verdict) == (None, None, "inconclusive")


def test_only_common_seeds_are_compared() -> None:
    change = compared({0: 50, 1: 51, 2: 52}, {1: 21, 2: 22, 3: 23})
    assert change.seeds == 2
    assert change.difference.mean == pytest.approx(30 / SAMPLES)
    assert compare_runs([make_run("a", 0, set())], [make_run("b", 9, set())]) is None


@pytest.mark.parametrize(
    ("before", "after", "verdict"),
    [
        ([60, 61, 62], [20, 22, 21], "better"),
        ([20, 22, 21], [60, 61, 62], "worse"),
        ([22, 23, 22], [20, 22, 21], "inconclusive"),  # seeds agree, too few samples differ
        ([60, 160, 10], [20, 20, 30], "inconclusive"),  # samples differ, seeds do not agree
    ],
)
def test_a_difference_counts_if_seeds_and_samples_both_show_it(
    before: list[int], after: list[int], verdict: str
) -> None:
    assert compared(before, after).verdict == verdict


def test_the_detectable_difference_is_the_larger_of_what_seeds_and_samples_can_show() -> None:
    steady = compared([60, 61, 62], [20, 22, 21])
    by_sample = [3] * 38 + [2, 2, 1, 1]  # over the seeds
    assert steady.detectable == pytest.approx(detectable_by_samples(by_sample, 0.05) / (3 * SAMPLES))
    unsteady = compared([60, 160, 10], [20, 20, 30])
    differences = [40 / SAMPLES, 140 / SAMPLES, -20 / SAMPLES]
    assert unsteady.detectable == pytest.approx(detectable_by_pairs(differences, 0.05))
