"""Suspected label errors, by networks that never saw the image."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from mnist_pipeline.audit.labels import out_of_fold_probabilities, stratified_folds, suspected_labels
from mnist_pipeline.core.errors import PipelineError
from mnist_pipeline.core.numerics import threads
from mnist_pipeline.data.dataset import Dataset
from mnist_pipeline.models.classifier import Classifier
from mnist_pipeline.models.prediction import predict
from tests.conftest import synthetic_dataset

CLASSES = ("a", "b", "c", "d")
GROUPS = np.repeat(np.arange(40, dtype=np.int32), 3)
"""Of each three rows."""


def flipped(rows: int, share: float) -> tuple[Dataset, NDArray[np.int64], NDArray[np.int64]]:
    """A data set of which a share of labels is wrong, their rows, and the true labels."""
    dataset = synthetic_dataset(rows, classes=CLASSES)
    truth = dataset.labels.astype(np.int64)
    random = np.random.default_rng(3)
    wrong = np.sort(random.permutation(rows)[: int(share * rows)])
    dataset.labels[wrong] = (truth[wrong] + random.integers(1, 4, len(wrong))) % 4
    return dataset, wrong, truth


def probabilities_of(truth: NDArray[np.int64]) -> NDArray[np.float64]:
    """Those of a good classifier: the highest for the truth."""
    chances = np.random.default_rng(0).dirichlet(np.full(4, 0.3), len(truth)) * 0.3
    chances[np.arange(len(truth)), truth] += 0.7
    return np.asarray(chances)


def test_wrong_labels_are_found_the_least_probable_first() -> None:
    dataset, wrong, truth = flipped(400, 0.05)
    probabilities = probabilities_of(truth)
    numbered = Dataset(dataset.images, dataset.labels, CLASSES, np.arange(400, dtype=np.int32) * 2 + 5)
    findings = suspected_labels("train", numbered, probabilities)
    assert {each.row for each in findings} == set((2 * wrong + 5).tolist())
    assert len(findings) == 20
    assert sum(each.counts for each in findings) >= 16  # cleanlab takes as many as it estimates
    for each in findings:
        row = (each.row - 5) // 2 if each.row else -1
        assert (each.given, each.suggested) == (CLASSES[dataset.labels[row]], CLASSES[truth[row]])
        assert each.score == probabilities[row, dataset.labels[row]]
    scores = [each.score for each in findings]
    assert scores == sorted(scores)


def test_the_most_suspect_labels_are_listed_without_being_counted() -> None:
    dataset = synthetic_dataset(400, classes=CLASSES)
    truth = dataset.labels.astype(np.int64)
    probabilities = np.full((400, 4), 0.02)
    probabilities[np.arange(400), truth] = 0.94
    unsure = np.arange(120)
    probabilities[unsure] = 0.1
    probabilities[unsure, truth[unsure]] = 0.38 - unsure / 1000
    probabilities[unsure, (truth[unsure] + 1) % 4] = 0.42 + unsure / 1000
    findings = suspected_labels("test", dataset, probabilities)
    assert [each.row for each in findings] == list(range(120, 20, -1))
    assert not any(each.counts for each in findings)


@pytest.mark.parametrize("folds", [2, 5])
def test_folds_have_each_class_in_proportion_and_groups_stay_whole(folds: int) -> None:
    dataset = synthetic_dataset(120, classes=CLASSES)
    fold = stratified_folds(dataset, folds)
    assert np.bincount(fold).tolist() == folds * [120 // folds]
    for label in range(4):
        counts = np.bincount(fold[dataset.labels == label], minlength=folds)
        assert counts.max() - counts.min() <= 1
    shuffled = np.random.default_rng(0).permutation(GROUPS)
    fold = stratified_folds(Dataset(dataset.images, dataset.labels, CLASSES, groups=shuffled), folds)
    assert all(len(set(fold[shuffled == group].tolist())) == 1 for group in range(40))
    assert np.bincount(fold, minlength=folds).min() > 60 // folds


@pytest.fixture
def grouped() -> tuple[Dataset, Dataset]:
    """Training images in groups of three, and test images."""
    train, test = synthetic_dataset(120, classes=CLASSES), synthetic_dataset(40, classes=CLASSES, seed=1)
    return replace(train, groups=GROUPS), test


def test_no_network_saw_an_image_that_it_predicts_nor_one_of_its_group(
    grouped: tuple[Dataset, Dataset], monkeypatch: pytest.MonkeyPatch
) -> None:
    train, test = grouped
    place = {image.tobytes(): row for row, image in enumerate(train.images)}
    trained: list[tuple[Classifier, set[int]]] = []

    def fit(classifier: Classifier, samples: Any, *_: Any) -> None:
        trained.append((classifier, {place[image.numpy().tobytes()] for image in samples.images}))

    monkeypatch.setattr("mnist_pipeline.training.loop.fit", fit)
    found, of_test = out_of_fold_probabilities(train, test, folds=3, steps=20)
    assert len(trained) == 3
    every = [
        classifier.probabilities(predict(classifier, torch.from_numpy(np.concatenate([train.images, test.images]))))
        for classifier, _ in trained
    ]
    for row in range(120):
        (unseen,) = (number for number, (_, rows) in enumerate(trained) if row not in rows)
        assert not trained[unseen][1] & set(np.flatnonzero(GROUPS[row] == GROUPS).tolist())
        np.testing.assert_allclose(found[row], every[unseen][row], atol=1e-6)
    np.testing.assert_allclose(of_test, torch.stack(every)[:, 120:].mean(dim=0), atol=1e-6)


def test_a_training_set_of_a_single_group_is_refused(grouped: tuple[Dataset, Dataset]) -> None:
    train, test = grouped
    with pytest.raises(PipelineError, match="group"):
        out_of_fold_probabilities(replace(train, groups=np.zeros(120, np.int32)), test, folds=2, steps=20)


def test_the_number_of_threads_makes_no_difference(
    grouped: tuple[Dataset, Dataset], monkeypatch: pytest.MonkeyPatch
) -> None:
    found = []
    for number in (1, 4):
        monkeypatch.setattr(threads, "number", number)
        found.append(out_of_fold_probabilities(*grouped, folds=4, steps=20))
    for one, four in zip(*found, strict=True):
        assert one.tobytes() == four.tobytes()
