"""Scores against scikit-learn's metrics."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import accuracy_score, balanced_accuracy_score, f1_score

from mnist_pipeline.core.errors import PipelineError
from mnist_pipeline.experiments.scores import SCORES, column_score, scores_of

NAMES = np.array(["cat", "dog", "emu"])


def predictions(generator: int, samples: int) -> pd.DataFrame:
    """Of classes of which the first is rare, four in five correct."""
    actual = np.random.default_rng(0).choice(NAMES, samples, p=[0.1, 0.3, 0.6])
    random = np.random.default_rng(generator)
    predicted = np.where(random.random(samples) < 0.8, actual, random.choice(NAMES, samples))
    return pd.DataFrame({"actual": actual, "predicted": predicted, "log_loss": random.random(samples)})


COMMON = predictions(1, 300)
NEVER_PREDICTED = COMMON.assign(predicted=COMMON["predicted"].replace("cat", "dog"))
NOT_IN_TEST_SET = COMMON.assign(actual=COMMON["actual"].replace("cat", "dog"))
ONE_OF_A_CLASS = COMMON.assign(actual=["yak", *COMMON["actual"][1:]])


def macro_f1(table: pd.DataFrame, weights: Any = None) -> float:
    score = f1_score(table["actual"], table["predicted"], average="macro", zero_division=0, sample_weight=weights)
    return float(score)


@pytest.mark.parametrize("table", [COMMON, NEVER_PREDICTED, NOT_IN_TEST_SET, ONE_OF_A_CLASS])
@pytest.mark.filterwarnings("ignore:y_pred contains classes not in y_true")
def test_means_of_scores_are_scikit_learns_metrics(table: pd.DataFrame) -> None:
    actual, predicted = table["actual"], table["predicted"]
    theirs = {"accuracy": accuracy_score, "balanced-accuracy": balanced_accuracy_score}
    for name, metric in theirs.items():
        found = scores_of(SCORES[name], [table, COMMON.assign(actual=actual)])
        assert found.mean(axis=1)[0] == pytest.approx(metric(actual, predicted))
    assert scores_of(SCORES["macro-f1"], [table]).mean() == pytest.approx(macro_f1(table))


@pytest.mark.parametrize("table", [predictions(1, 25), predictions(2, 25), ONE_OF_A_CLASS[:40]])
def test_scores_of_macro_f1_are_by_how_much_each_sample_changes_it(table: pd.DataFrame) -> None:
    number, whole = len(table), macro_f1(table)
    nudged = [macro_f1(table, 1 + 1e-6 * (np.arange(number) == sample)) for sample in range(number)]
    expected = whole + number * (np.array(nudged) - whole) / 1e-6
    assert scores_of(SCORES["macro-f1"], [table])[0] == pytest.approx(expected, abs=1e-4)


def test_a_column_is_its_own_score() -> None:
    tables = [predictions(generator, 20) for generator in (1, 2)]
    assert scores_of(SCORES["log-loss"], tables).tolist() == [table["log_loss"].tolist() for table in tables]
    found = [SCORES["brier"], SCORES["log-loss"], column_score("x", lower_is_better=True), column_score("x")]
    assert [score.higher_is_better for score in found] == [False, False, False, True]


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_a_column_with_a_gap_is_refused(bad: float) -> None:
    tables = [predictions(generator, 20) for generator in (1, 2)]
    tables[1].loc[7, "log_loss"] = bad
    with pytest.raises(PipelineError, match=r"column log_loss must hold a finite number .* row 7 of run 2 does not"):
        scores_of(SCORES["log-loss"], tables)


def test_a_column_of_words_is_refused() -> None:
    with pytest.raises(PipelineError, match="column actual must hold numbers"):
        scores_of(column_score("actual"), [COMMON])
