"""Plans against statsmodels' power and simulation; the levels of several looks."""

from __future__ import annotations

import numpy as np
import pytest
from statsmodels.stats.power import TTestIndPower

from mnist_pipeline.core.errors import PipelineError
from mnist_pipeline.experiments.planning import Plan, plan, spend
from mnist_pipeline.experiments.significance import LEVEL, Scores, compare_scores

SAMPLES = 300


def simulate(random: np.random.Generator, runs: int, gained: float = 0.0) -> tuple[Scores, Scores]:
    """Two settings on new samples: the second gains so much in the mean, more on some samples than on others."""

    def side() -> Scores:
        noise: Scores = random.normal(0, 1, (runs, SAMPLES)) + random.normal(0, 0.1, (runs, 1))
        return noise + random.normal(0, 0.7, SAMPLES)

    return side(), side() + gained


PILOT = simulate(np.random.default_rng(0), 30)


@pytest.mark.parametrize("effect", [0.5, 1.0, 3.0])
def test_where_only_seeds_vary_it_is_the_power_of_a_t_test(effect: float) -> None:
    scores = np.repeat(np.array([[0.6], [0.6 + 2**0.5 * 0.01]]), 10, axis=1)  # standard deviation 0.01
    found = plan(scores, scores, effect * 0.01)
    assert found.seeds is not None
    powers = [TTestIndPower().power(effect, seeds, LEVEL) for seeds in (found.seeds - 1, found.seeds)]
    assert powers[0] < 0.8 <= powers[1] + 1e-3
    assert found.samples == 10


def test_the_planned_seeds_find_the_difference_in_four_of_five_simulations() -> None:
    gained, random = 0.21, np.random.default_rng(1)
    found = plan(*PILOT, gained)
    assert found.seeds is not None
    trials = [compare_scores(*simulate(random, found.seeds, gained)).p <= LEVEL for _ in range(300)]
    assert np.mean(trials) == pytest.approx(0.8, abs=0.09)


def test_larger_differences_need_fewer_seeds() -> None:
    seeds = [plan(*PILOT, detect).seeds or 1000 for detect in (0.17, 0.2, 0.3, 0.6)]
    assert seeds == sorted({*seeds}, reverse=True)


def test_where_no_number_of_seeds_is_enough_more_samples_are() -> None:
    found, smaller = plan(*PILOT, 0.1), plan(*PILOT, 0.05)
    assert (found.seeds, smaller.seeds) == (None, None)
    assert SAMPLES < found.samples < smaller.samples


def test_runs_that_do_not_vary_need_two_and_runs_that_vary_too_much_are_refused() -> None:
    assert plan(np.ones((2, 5)), np.ones((2, 5)), 0.01) == Plan(2, 5)
    with pytest.raises(PipelineError, match="vary too much to detect 1e-06: even 1000"):
        plan(*PILOT, 1e-6)


@pytest.mark.parametrize("looks", [(5,), (5, 10, 20), (2, 3, 50)])
def test_looks_share_the_level(looks: tuple[int, ...]) -> None:
    levels = spend(looks)
    assert min(levels) > 0
    assert np.cumsum(levels) == pytest.approx([LEVEL * seeds / looks[-1] for seeds in looks])  # rises with the seeds
