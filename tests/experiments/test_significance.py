"""The paired tests against SciPy's and statsmodels', and against cases worked out by hand."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
import scipy.stats
from hypothesis import given, settings
from hypothesis import strategies as st
from statsmodels.stats.contingency_tables import mcnemar as statsmodels_mcnemar
from statsmodels.stats.multitest import multipletests
from statsmodels.stats.power import TTestPower

from mnist_pipeline.experiments.significance import (
    Difference,
    detectable_by_pairs,
    detectable_by_samples,
    holm,
    mcnemar,
    paired_t,
    sign_flip,
)


@pytest.mark.parametrize(("fixed", "broken", "p"), [(50, 30, 0.0330), (60, 40, 0.0569), (0, 0, 1.0), (5, 0, 0.0625)])
def test_mcnemar_gives_published_values_and_is_symmetric(fixed: int, broken: int, p: float) -> None:
    assert mcnemar(fixed, broken) == pytest.approx(p, abs=5e-5)
    assert mcnemar(broken, fixed) == mcnemar(fixed, broken)


@pytest.mark.parametrize(("fixed", "broken"), [(1, 0), (3, 3), (12, 5), (100, 61), (400, 380), (900, 3000)])
def test_mcnemar_agrees_with_statsmodels(fixed: int, broken: int) -> None:
    theirs = statsmodels_mcnemar([[10, fixed], [broken, 10]], exact=True).pvalue
    assert mcnemar(fixed, broken) == pytest.approx(theirs, rel=1e-9)


@given(st.lists(st.integers(-1, 1), min_size=1, max_size=200))
@settings(max_examples=40, deadline=None)
def test_sign_flip_of_one_seed_is_mcnemar(differences: list[int]) -> None:
    expected = mcnemar(differences.count(1), differences.count(-1))
    assert sign_flip(differences) == pytest.approx(expected, rel=1e-6)


@given(st.lists(st.integers(-4, 4), min_size=1, max_size=9))
@settings(max_examples=40, deadline=None)
def test_sign_flip_counts_every_assignment_of_signs(differences: list[int]) -> None:
    assignments = product((-1, 1), repeat=len(differences))
    sums = [abs(sum(sign * each for sign, each in zip(signs, differences, strict=True))) for signs in assignments]
    expected = sum(each >= abs(sum(differences)) for each in sums) / len(sums)
    assert sign_flip(differences) == pytest.approx(expected, rel=1e-9)


def test_sign_flip_of_a_large_set_stays_a_probability() -> None:
    differences = np.random.default_rng(1).integers(-5, 6, 3_000).tolist()
    assert 0 <= sign_flip(differences) <= 1
    assert sign_flip([0] * 10_000) == 1.0


def test_the_paired_t_test_and_its_interval_agree_with_scipys() -> None:
    before, after = np.random.default_rng(2).normal(size=(2, 7))
    theirs = scipy.stats.ttest_rel(after, before)
    interval = theirs.confidence_interval()
    ours = paired_t((after - before).tolist())
    assert ours.p == pytest.approx(theirs.pvalue)
    assert (ours.low, ours.high) == pytest.approx((interval.low, interval.high))
    assert ours.mean == pytest.approx((after - before).mean())


def test_the_paired_t_test_without_spread_has_no_interval_or_an_empty_one() -> None:
    assert paired_t([0.5]) == Difference(0.5, None, None, None)
    assert paired_t([0.0, 0.0]) == Difference(0.0, 0.0, 0.0, 1.0)
    assert paired_t([0.5, 0.5]) == Difference(0.5, 0.5, 0.5, 0.0)


@pytest.mark.parametrize("number", [0, 1, 2, 7, 30])
def test_holm_agrees_with_statsmodels(number: int) -> None:
    p_values = np.random.default_rng(number).random(number) ** 3
    p_values[: number // 3] = p_values[:1]  # ties, too
    theirs = multipletests(p_values, method="holm")[1].tolist() if number else []
    assert holm(p_values.tolist()) == pytest.approx(theirs, abs=1e-12)


@pytest.mark.parametrize(("number", "level"), [(3, 0.05), (5, 0.05), (30, 0.05), (3, 0.003), (30, 0.003)])
def test_the_detectable_difference_has_a_power_of_80_percent_by_statsmodels(number: int, level: float) -> None:
    differences = np.random.default_rng(3).normal(size=number).tolist()
    effect = detectable_by_pairs(differences, level) / np.std(differences, ddof=1)
    assert TTestPower().power(effect, number, level) == pytest.approx(0.8, abs=1e-6)


def test_the_detectable_sum_is_found_in_four_of_five_simulations() -> None:
    """Of samples of which 500 differ, with an excess of just that size."""
    excess = detectable_by_samples([1] * 250 + [-1] * 250, 0.05)
    fixed = np.random.default_rng(4).binomial(500, 0.5 + excess / 1000, 2000).tolist()
    found = {number: mcnemar(number, 500 - number) <= 0.05 for number in set(fixed)}
    assert np.mean([found[number] for number in fixed]) == pytest.approx(0.8, abs=0.04)
    assert detectable_by_samples([2] * 10, 0.05) == pytest.approx(2 * detectable_by_samples([1] * 10, 0.05))
