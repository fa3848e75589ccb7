"""Moments and intervals are those of NumPy and statsmodels."""

from __future__ import annotations

import numpy as np
import pytest
from statsmodels.stats.proportion import proportion_confint

from mnist_pipeline.core.statistics import mean_and_std, wilson_interval


@pytest.mark.parametrize("counts", [[1], [0, 0, 3], [2, 1], [5, 0, 7, 40, 0, 1]])
def test_mean_and_std_of_any_counts_are_those_of_numpy(counts: list[int]) -> None:
    values = np.repeat(np.arange(len(counts)), counts)
    expected = pytest.approx((values.mean(), values.std()), rel=1e-12, abs=1e-12)
    assert mean_and_std(np.array(counts)) == expected


def test_mean_and_std_are_exact_where_floats_would_round() -> None:
    counts = np.zeros(256, np.int64)
    counts[[254, 255]] = [10**15, 10**15]
    assert mean_and_std(counts) == (254.5, 0.5)
    counts[[254, 255]] = [10**15, 1]
    assert mean_and_std(counts) == pytest.approx((254, 10**-7.5), rel=1e-9)


@pytest.mark.parametrize(("successes", "number"), [(0, 1), (1, 1), (0, 10_000), (3, 7), (9_712, 10_000)])
def test_wilson_interval_is_that_of_statsmodels(successes: int, number: int) -> None:
    expected = proportion_confint(successes, number, alpha=0.05, method="wilson")
    assert wilson_interval(successes, number) == pytest.approx(expected, rel=1e-9, abs=1e-12)
