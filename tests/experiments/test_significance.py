"""The two-way test against formulas in plain Python, SciPy's and statsmodels' tests, and simulation."""

from __future__ import annotations

import math
from statistics import fmean, variance
from typing import Any

import numpy as np
import pytest
import scipy.stats
from hypothesis import given, settings
from hypothesis import strategies as st
from statsmodels.stats.contingency_tables import mcnemar
from statsmodels.stats.multitest import multipletests
from statsmodels.stats.weightstats import ttost_paired

from mnist_pipeline.experiments import significance
from mnist_pipeline.experiments.significance import LEVEL, Estimate, Scores, compare_scores, holm

quick = settings(max_examples=60, deadline=None)


def random_scores(generator: int, runs: int, samples: int, *, binary: bool = False, shift: float = 0.0) -> Scores:
    """Scores with variation between runs, between samples, and within."""
    random = np.random.default_rng(generator)
    parts = [random.normal(size=shape) for shape in ((runs, 1), (1, samples), (runs, samples))]
    scores: Scores = np.add(parts[0] + parts[1], parts[2] + shift)
    return (scores > 0).astype(float) if binary else scores


def two_models(fixed: int, broken: int) -> Scores:
    before, after = [0] * fixed + [1] * broken, [1] * fixed + [0] * broken
    return np.array([[before + [1] * 50], [after + [1] * 50]], float)


def by_the_formulas(before: Any, after: Any, *, paired: bool) -> tuple[float, float, float]:
    """Difference, p and half the 95 % interval, in plain Python."""
    samples = range(len(before[0]))
    changed = [[b - a for a, b in zip(*runs, strict=True)] for runs in zip(before, after, strict=False)]
    groups = [changed] if paired else [before, after]
    parts = [(variance([fmean(run) for run in runs]) / len(runs), len(runs) - 1) for runs in groups]
    seeds_alone = [sum(variance([run[i] for run in runs]) / len(runs) for runs in groups) for i in samples]
    by_sample = [fmean(run[i] for run in after) - fmean(run[i] for run in before) for i in samples]
    parts.append((max(0.0, (variance(by_sample) - fmean(seeds_alone)) / len(by_sample)), len(by_sample) - 1))
    total, difference = sum(part for part, _ in parts), fmean(by_sample)
    student = scipy.stats.t(total**2 / sum(part**2 / degrees for part, degrees in parts))
    return difference, 2 * student.sf(abs(difference) / total**0.5), student.ppf(0.975) * total**0.5


@pytest.mark.parametrize("binary", [False, True])
@pytest.mark.parametrize(("runs", "paired"), [((2, 2), False), ((3, 7), False), ((4, 4), True), ((2, 2), True)])
def test_the_two_way_test_agrees_with_its_formulas(runs: tuple[int, int], paired: bool, binary: bool) -> None:
    before, after = (random_scores(10 * sum(runs) + n, runs[n], 40, binary=binary, shift=0.3 * n) for n in (0, 1))
    found = compare_scores(before, after, paired=paired)
    difference, p, half = by_the_formulas(before.tolist(), after.tolist(), paired=paired)
    assert found.method == (significance.PAIRED if paired else significance.TWO_WAY)
    numbers = (found.difference, found.p, *found.interval())
    assert numbers == pytest.approx((difference, p, difference - half, difference + half))


A, B = [0.61, 0.64, 0.58, 0.66], [0.69, 0.75]


@pytest.mark.parametrize(
    ("before", "after", "paired", "theirs"),
    [
        (A, B, False, scipy.stats.ttest_ind(B, A, equal_var=False)),
        (A, B[:1], False, scipy.stats.ttest_ind(B[:1], A)),  # of equal variance
        (B[:1], A, False, scipy.stats.ttest_ind(A, B[:1])),
        (A[:2], B, True, scipy.stats.ttest_rel(B, A[:2])),
    ],
)
def test_where_only_seeds_vary_it_is_a_t_test_of_the_means_of_runs(
    before: list[float], after: list[float], paired: bool, theirs: Any
) -> None:
    found = compare_scores(*(np.repeat(np.array(side)[:, None], 6, axis=1) for side in (before, after)), paired=paired)
    assert (found.p, *found.interval()) == pytest.approx((theirs.pvalue, *theirs.confidence_interval()))
    assert (found.method == significance.ONE_SEED) == (1 in (len(before), len(after)))


@pytest.mark.parametrize("runs", [(1, 1), (3, 2), (1, 3)])
def test_where_only_samples_vary_it_is_a_paired_t_test_over_samples(runs: tuple[int, int]) -> None:
    before, after = random_scores(1, 2, 30, shift=0.2)
    theirs = scipy.stats.ttest_rel(after, before)
    found = compare_scores(np.stack([before] * runs[0]), np.stack([after] * runs[1]))
    assert (found.p, *found.interval()) == pytest.approx((theirs.pvalue, *theirs.confidence_interval()))
    assert (found.method == significance.ONE_RUN) == (runs == (1, 1))


@pytest.mark.parametrize(("fixed", "broken"), [(1, 0), (3, 3), (12, 5), (5, 12), (100, 61), (0, 40)])
def test_two_models_are_compared_by_mcnemars_test(fixed: int, broken: int) -> None:
    before, after = two_models(fixed, broken)
    found = compare_scores(before, after)
    assert found.method == significance.MCNEMAR
    assert found.p == pytest.approx(mcnemar([[50, broken], [fixed, 0]], exact=True).pvalue)
    assert found.difference == pytest.approx((fixed - broken) / before.size)
    assert found.reversed().interval() == pytest.approx(compare_scores(after, before).interval())


@given(
    st.integers(0, 10**6), st.tuples(st.integers(1, 4), st.integers(1, 4)), st.integers(2, 12), st.booleans(),
    st.sampled_from([0.0, 0.5, 2.0]), st.sampled_from([0.3, 0.05, 0.01]),
)  # fmt: skip
@quick
def test_the_interval_excludes_0_if_and_only_if_p_is_below_the_level(
    generator: int, runs: tuple[int, int], samples: int, binary: bool, shift: float, level: float
) -> None:
    before = random_scores(generator, runs[0], samples, binary=binary)
    after = random_scores(generator + 1, runs[1], samples, binary=binary, shift=shift)
    found = compare_scores(before, after)
    low, high = found.interval(level)
    assert low <= found.difference <= high
    assert 0 < found.p <= 1
    assert (found.p < level) == (significance.verdict_of(low, high) != "inconclusive")


RUN = [0.1, 0.4, 0.7, 0.2]


@pytest.mark.parametrize("runs", [(1, 1), (1, 3), (3, 3), (3, 7)])
@pytest.mark.parametrize(
    ("before", "after", "widest"),
    [
        ([0.1] * 4, [0.7] * 4, math.inf),
        (RUN, [each + 0.1 for each in RUN], math.inf),
        (RUN, RUN, 0),
        ([1, 0, 1, 1], [1, 0, 1, 1], 0),
    ],
)
def test_without_variation_no_test_is_possible(before: Any, after: Any, widest: float, runs: tuple[int, int]) -> None:
    found = compare_scores(np.array([before] * runs[0], float), np.array([after] * runs[1], float))
    assert (found.p, found.interval()) == (1.0, (-widest, widest))
    assert found.method in (significance.NO_VARIATION, significance.MCNEMAR)


@pytest.mark.parametrize("runs", [(3, 3), (6, 6), (1, 3)])
def test_settings_of_equal_worth_rarely_get_a_verdict(runs: tuple[int, int]) -> None:
    """Probit scores: difficulties of samples, for all and for each setting; luck of seeds; noise. 300 test sets."""
    random = np.random.default_rng(5)
    found = 0
    for _ in range(300):
        difficulty = random.normal(1, 1, 100)
        noise = [random.normal(0, 0.3, (n, 1)) + random.normal(0, 0.6, (n, 100)) for n in runs]
        sides = (difficulty + random.normal(0, 0.5, 100) + each for each in noise)
        found += compare_scores(*((side > 0).astype(float) for side in sides)).p <= LEVEL
    assert found <= scipy.stats.binom.isf(1e-3, 300, LEVEL)


@pytest.mark.parametrize("number", [0, 1, 7, 30])
def test_holm_agrees_with_statsmodels(number: int) -> None:
    p_values = np.random.default_rng(number).random(number) ** 3
    p_values[: number // 3] = p_values[:1]  # ties, too
    theirs = multipletests(p_values, method="holm")[1].tolist() if number else []
    assert holm(p_values.tolist()) == pytest.approx(theirs, abs=1e-12)


def normal(difference: float, degrees: float = 100) -> Estimate:
    return Estimate(difference, 1.0, degrees, 0.5, significance.TWO_WAY, 1000)


estimates = st.builds(normal, st.floats(-6, 6), st.floats(1, 500))
models = st.tuples(st.integers(0, 40), st.integers(0, 40)).map(lambda pair: compare_scores(*two_models(*pair)))


@given(st.lists(st.tuples(estimates | models, st.sampled_from([1.0, 0.5, 0.25])), max_size=8))
@quick
def test_in_a_family_interval_and_verdict_never_contradict_each_other(family: list[tuple[Estimate, float]]) -> None:
    tested = significance.correct_for_family([each for each, _ in family], [share for _, share in family])
    expected = holm([min(1, each.p / share) for each, share in family])
    for each, (estimate, _), p in zip(tested, family, expected, strict=True):
        assert (each.p, each.p_corrected) == (estimate.p, p)
        assert (each.verdict != "inconclusive") == (p <= LEVEL)
        assert each.low <= estimate.difference <= each.high
        signs = {"better": 0 <= each.low < each.high, "worse": each.low < each.high <= 0}
        assert signs.get(each.verdict, each.low <= 0 <= each.high)


@pytest.mark.parametrize(
    ("difference", "margin", "verdict"),
    [  # the 95 % interval is ±1.98 wide, the 90 % interval ±1.66
        *((0, 1.7, "equivalent"), (0, 1.6, "inconclusive"), (5, 10, "equivalent"), (-5, 10, "equivalent")),
        *((1, 1, "not worse"), (-1, 2, "inconclusive"), (5, 1, "better"), (-5, 1, "worse")),
    ],
)
def test_a_margin_divides_the_verdicts(difference: float, margin: float, verdict: str) -> None:
    assert significance.verdict_with_margin(normal(difference), margin) == verdict


@pytest.mark.parametrize("margin", [0.1, 0.3, 0.6, 0.9, 1.2])
@pytest.mark.parametrize("generator", [1, 2])
def test_equivalence_agrees_with_statsmodels(generator: int, margin: float) -> None:
    before, after = random_scores(generator, 2, 50)
    ours = significance.verdict_with_margin(compare_scores(before[None], after[None]), margin)
    assert (ours == "equivalent") == (ttost_paired(after, before, -margin, margin)[0] <= LEVEL)
