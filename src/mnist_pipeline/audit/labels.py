"""Suspected label errors: confident learning over predictions of models that never saw the image."""

from __future__ import annotations

import math
import os
import warnings
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import ExitStack
from functools import partial
from multiprocessing import get_context, parent_process
from pathlib import Path
from threading import Thread

import numpy as np
from numpy.typing import NDArray

from mnist_pipeline.audit.findings import Finding
from mnist_pipeline.core.errors import PipelineError
from mnist_pipeline.data.dataset import Dataset, load_dataset
from mnist_pipeline.params.model import CnnParams, ModelParams, OptimizersParams
from mnist_pipeline.params.run import AugmentationParams, TrainParams

CHANNELS = ((8,), (16,), (32,))
LISTED = 100
"""Images of each file with the least probable labels that are listed, whether or not they are probably wrong."""

BATCH_SIZE = 64
LEAST_SIDE = 3  # of an image at the last group of convolutions


def out_of_fold_probabilities(
    train: Path, test: Path, folds: int, steps: int, workers: int | None = None
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Predict every image by networks that were not trained on it, nor on one of its group.

    Cross-validation: each fold of the training images is predicted by a network that was trained on the others, the
    test images by the mean over all these networks.

    Args:
        train: the training arrays.
        test: the test arrays.
        folds: how many.
        steps: of each training, rounded to whole epochs.
        workers: processes; by default one for each CPU that this process may use.

    Returns:
        The probability of each class: of the training images, (n, classes), and of the test images, (m, classes).

    Raises:
        PipelineError: all training images are of one group.
    """
    dataset = load_dataset(train)
    fold_of_row = stratified_folds(dataset, folds)
    if len(np.unique(fold_of_row)) < 2:
        raise PipelineError("all training images are of one group; cross-validation needs images of two or more groups")
    train_probabilities = np.zeros((len(dataset.labels), len(dataset.classes)))
    test_sum = np.zeros((len(load_dataset(test).labels), len(dataset.classes)))
    processes = min(folds, workers or len(os.sched_getaffinity(0)))
    predict = partial(predict_fold, train, test, fold_of_row, steps)
    with ExitStack() as stack:
        run: Callable[..., Iterator[tuple[NDArray[np.float64], NDArray[np.float64]]]] = map
        if processes > 1:
            pool = ProcessPoolExecutor(processes, get_context("spawn"), _end_with_parent)
            run = stack.enter_context(pool).map
        try:
            for fold, (held_out, of_test) in enumerate(run(predict, range(folds))):
                train_probabilities[fold_of_row == fold] = held_out
                test_sum += of_test
        except BrokenProcessPool:
            raise PipelineError("a process was killed, perhaps because memory ran out; run dvc repro again") from None
    return train_probabilities, test_sum / folds


def _end_with_parent() -> None:
    """End this process of a pool as soon as the process that started it has ended, however that ended."""

    def watch() -> None:
        if (parent := parent_process()) is not None:
            parent.join()
            os._exit(1)

    Thread(target=watch, daemon=True).start()


def stratified_folds(dataset: Dataset, folds: int) -> NDArray[np.int64]:
    """Return the fold of each row, (n,): each class in proportion, each group in the fold of its first row."""
    random = np.random.default_rng(0)
    fold = np.zeros(len(dataset.labels), np.int64)
    dealt = 0
    for label in range(len(dataset.classes)):
        rows = random.permutation(np.flatnonzero(dataset.labels == label))
        fold[rows] = (dealt + np.arange(len(rows))) % folds
        dealt += len(rows)
    _, first, inverse = np.unique(dataset.groups, return_index=True, return_inverse=True)
    return fold[first[inverse]]


def predict_fold(
    train: Path, test: Path, fold_of_row: NDArray[np.int64], steps: int, fold: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Train a network on all folds but one, and predict the rows of that fold and the test images.

    Args:
        train: the training arrays.
        test: the test arrays.
        fold_of_row: see ``stratified_folds``.
        steps: of the training, rounded to whole epochs.
        fold: which one is left out.

    Returns:
        The probability of each class: of the rows of the fold, (n, classes), and of the test images, (m, classes).
    """
    import torch

    from mnist_pipeline.models.classifier import UNIT, new_classifier
    from mnist_pipeline.models.prediction import predict
    from mnist_pipeline.training.batches import to_samples
    from mnist_pipeline.training.loop import fit

    dataset = load_dataset(train)
    training = to_samples(dataset, np.flatnonzero(fold_of_row != fold))
    held_out = to_samples(dataset, np.flatnonzero(fold_of_row == fold))
    epochs = max(1, round(steps / math.ceil(len(training) / BATCH_SIZE)))
    model, optimizers, settings = quick_settings(dataset.images.shape[1], epochs, fold)
    classifier = new_classifier(dataset.images.shape[1], dataset.classes, UNIT, model, seed=fold)
    fit(classifier, training, to_samples(dataset, np.zeros(0, np.int64)), settings, optimizers)
    held_out_outputs, test_outputs = (
        predict(classifier, images) for images in (held_out.images, torch.from_numpy(load_dataset(test).images))
    )
    return classifier.probabilities(held_out_outputs).numpy(), classifier.probabilities(test_outputs).numpy()


def quick_settings(image_side: int, epochs: int, seed: int) -> tuple[ModelParams, OptimizersParams, TrainParams]:
    """Return the settings of the audit's network: a small convolutional one, whatever params.yaml trains."""
    groups = [group for number, group in enumerate(CHANNELS) if image_side >> number >= LEAST_SIDE] or CHANNELS[:1]
    model = ModelParams(
        architecture="cnn",
        cnn=CnnParams(channels=tuple(groups), kernel_size=3),
        hidden_activation="relu",
        negative_slope=0.0,
        output_activation="none",
        loss="cross_entropy",
        optimizer="sgd",
        test_time_shift=0,
    )
    adam = {"learning_rate": 0.003, "beta1": 0.9, "beta2": 0.999, "epsilon": 1e-8, "weight_decay": 0.0}
    sgd = {"learning_rate": 0.1, "momentum": 0.9, "nesterov": True, "weight_decay": 0.0005}
    optimizers = OptimizersParams.model_validate({"sgd": sgd, "adam": adam, "adamw": adam})
    train = TrainParams(
        epochs=epochs,
        batch_size=BATCH_SIZE,
        shuffle=True,
        schedule="one_cycle",
        seed=seed,
        log_every=1000,
        temperature_scaling=False,
        augmentation=AugmentationParams(
            rotation=0.0, scale=0.0, shear=0.0, shift=0.0, elastic_alpha=0.0, elastic_sigma=4.0
        ),
    )
    return model, optimizers, train


def suspected_labels(name: str, dataset: Dataset, probabilities: NDArray[np.float64]) -> list[Finding]:
    """Find labels that are probably wrong, the least probable first; and list the ``LISTED`` most suspect in any case.

    Confident learning (Northcutt, Jiang and Chuang 2021), by cleanlab: it estimates how many images of each class have
    each other class's label, and takes so many, those with the largest margin. The score of a finding is the
    probability of its label.

    Args:
        name: of the file, "train" or "test".
        dataset: the images.
        probabilities: of each class, by models that were not trained on the image, (n, classes).
    """
    labels = dataset.labels.astype(np.int64)
    flagged = flag_labels(labels, probabilities)
    best = probabilities.argmax(axis=1)
    confidence = np.take_along_axis(probabilities, labels[:, None], axis=1)[:, 0]
    suspects = [row for row in np.argsort(confidence, kind="stable").tolist() if best[row] != labels[row]]
    rows = sorted({*flagged, *suspects[:LISTED]}, key=lambda row: (confidence[row], row))
    certain = set(flagged)
    return [
        Finding(
            file=name,
            row=int(dataset.rows[place]),
            kind="label",
            score=float(confidence[place]),
            given=dataset.classes[labels[place]],
            suggested=dataset.classes[best[place]],
            counts=place in certain,
        )
        for place in rows
    ]


def flag_labels(labels: NDArray[np.int64], probabilities: NDArray[np.float64]) -> list[int]:
    """Return the rows whose labels are probably wrong, in their order."""
    if len(np.unique(labels)) < 2:
        return []
    from cleanlab.filter import find_label_issues

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # about classes with few rows, which the audit reports itself
        flagged = find_label_issues(labels, probabilities, n_jobs=1)  # not in cleanlab's order, whose ties are open
    return [int(row) for row in np.flatnonzero(flagged)]
