"""The statistics against SciPy's and statsmodels', and against cases worked out by hand."""

from __future__ import annotations

import math
from itertools import product

import numpy as np
import pytest
import scipy.stats
from hypothesis import given, settings
from hypothesis import strategies as st
from statsmodels.stats.contingency_tables import mcnemar as statsmodels_mcnemar
from statsmodels.stats.multitest import multipletests
from statsmodels.stats.power import TTestPower
from statsmodels.stats.proportion import proportion_confint

from mnist_pipeline.core.statistics import wilson
from mnist_pipeline.experiments.significance import (
    detectable_by_pairs,
    detectable_by_samples,
    holm,
    mcnemar,
    paired_t,
    sign_flip,
)


@pytest.mark.parametrize(("fixed", "broken", "p"), [(50, 30, 0.0330), (60, 40, 0.0569), (0, 0, 1.0), (5, 0, 0.0625)])
def test_mcnemar_of_known_cases(fixed: int, broken: int, p: float) -> None:
    assert mcnemar(fixed, broken) == pytest.approx(p, abs=5e-5)
    assert mcnemar(broken, fixed) == mcnemar(fixed, broken)


@pytest.mark.parametrize(("fixed", "broken"), [(1, 0), (3, 3), (12, 5), (100, 61), (400, 380), (900, 3000)])
def test_mcnemar_is_statsmodels_and_scipys(fixed: int, broken: int) -> None:
    theirs = statsmodels_mcnemar([[10, fixed], [broken, 10]], exact=True).pvalue
    assert mcnemar(fixed, broken) == pytest.approx(theirs, rel=1e-9)
    assert mcnemar(fixed, broken) == pytest.approx(scipy.stats.binomtest(fixed, fixed + broken).pvalue, rel=1e-9)


@pytest.mark.parametrize(
    ("successes", "number"), [(9700, 10000), (9900, 10000), (0, 10), (10, 10), (1, 3), (5000, 10000), (1, 1)]
)
def test_wilson_is_scipys_and_statsmodels(successes: int, number: int) -> None:
    scipys = scipy.stats.binomtest(successes, number).proportion_ci(method="wilson")
    assert wilson_interval(successes, number) == pytest.approx((scipys.low, scipys.high), abs=1e-12)
    assert wilson_interval(successes, number) == pytest.approx(proportion_confint(successes, number, method="wilson"), abs=1e-9)


def test_wilson_of_known_cases() -> None:
    assert wilson_interval(9700, 10000) == pytest.approx((0.9665, 0.9732), abs=5e-5)
    assert wilson_interval(9900, 10000) == pytest.approx((0.9879, 0.9918), abs=5e-5)


@given(st.lists(st.integers(-1, 1), min_size=1, max_size=200))
@settings(max_examples=60, deadline=None)
def test_sign_flip_of_one_seed_is_mcnemar(differences: list[int]) -> None:
    expected = mcnemar(differences.count(1), differences.count(-1))
    assert sign_flip(differences) == pytest.approx(expected, rel=1e-6)


@given(st.lists(st.integers(-4, 4), min_size=1, max_size=9))
@settings(max_examples=60, deadline=None)
def test_sign_flip_counts_every_assignment_of_signs(differences: list[int]) -> None:
    sums = [abs(sum(s * d for s, d in zip(signs, differences, strict=True)))
            for signs in product((-1, 1), repeat=len(differences))]  # fmt: skip
    expected = sum(each >= abs(sum(differences)) for each in sums) / len(sums)
    assert sign_flip(differences) == pytest.approx(expected, rel=1e-9)


def test_sign_flip_is_scipys_permutation_test() -> None:
    differences = np.random.default_rng(0).integers(-2, 4, 13)
    theirs = scipy.stats.permutation_test(
        (differences.astype(float),), np.sum, permutation_type="samples", vectorized=False, n_resamples=2**13
    ).pvalue
    assert sign_flip(differences.tolist()) == pytest.approx(theirs, rel=1e-9)


def test_sign_flip_of_a_large_set_stays_a_probability() -> None:
    differences = np.random.default_rng(1).integers(-5, 6, 3_000).tolist()
    assert 0 <= sign_flip(differences) <= 1
    assert sign_flip([0] * 10_000) == 1.0


def test_the_paired_t_test_is_scipys() -> None:
    before, after = np.random.default_rng(2).normal(size=(2, 7))
    theirs = scipy.stats.ttest_rel(after, before)
    interval = theirs.confidence_interval()
    ours = paired_t((after - before).tolist())
    assert ours.p == pytest.approx(theirs.pvalue)
    assert (ours.low, ours.high) == pytest.approx((interval.low, interval.high))
    assert ours.mean == pytest.approx((after - before).mean())


def test_the_paired_t_test_without_spread() -> None:
    assert paired_t([0.5]).p is None
    assert paired_t([0.0, 0.0]).p == 1.0
    assert paired_t([0.5, 0.5]).p == 0.0


@pytest.mark.parametrize("number", [1, 2, 7, 30])
def test_holm_is_statsmodels(number: int) -> None:
    p_values = np.random.default_rng(number).random(number) ** 3
    p_values[: number // 3] = p_values[0]  # ties, too
    assert holm(p_values.tolist()) == pytest.approx(multipletests(p_values, method="holm")[1].tolist(), abs=1e-12)


def test_holm_of_a_known_case() -> None:
    assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert holm([]) == []


@pytest.mark.parametrize(("number", "level"), [(3, 0.05), (5, 0.05), (10, 0.05), (30, 0.05), (3, 0.003), (30, 0.003)])
def test_the_detectable_difference_has_statsmodels_power(number: int, level: float) -> None:
    differences = np.random.default_rng(3).normal(size=number).tolist()
    effect = detectable_by_pairs(differences, level) / np.std(differences, ddof=1)
    assert TTestPower().power(effect, number, level) == pytest.approx(0.8, abs=1e-6)


def test_the_detectable_difference_is_found_in_four_of_five_cases() -> None:
    """By simulation, where statsmodels has no answer."""
    effect = detectable_by_pairs([-1.0, 0.0, 1.0, 0.0, 0.0], 0.003) / math.sqrt(0.5)
    draws = np.random.default_rng(5).normal(effect, 1, (20_000, 5))
    assert np.mean(scipy.stats.ttest_1samp(draws, 0, axis=1).pvalue <= 0.003) == pytest.approx(0.8, abs=0.01)


def test_the_detectable_sum_is_found_in_four_of_five_cases() -> None:
    """By simulation: samples of which 500 differ, with an excess of just that size."""
    excess = detectable_by_samples([1] * 250 + [-1] * 250, 0.05)
    random = np.random.default_rng(4)
    fixed = random.binomial(500, 0.5 + excess / 1000, 2000)
    found = np.mean([mcnemar(int(k), 500 - int(k)) <= 0.05 for k in fixed])
    assert found == pytest.approx(0.8, abs=0.04)
    assert math.isclose(detectable_by_samples([2] * 10, 0.05), 2 * detectable_by_samples([1] * 10, 0.05))
