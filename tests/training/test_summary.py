"""Scores, scaling, and what training writes beside the model."""

from __future__ import annotations

from dataclasses import astuple, replace

import numpy as np
import pytest
import torch
from torch.nn import functional as F  # noqa: N812 -- its customary name

from mnist_pipeline.core.errors import PipelineError
from mnist_pipeline.models import prediction
from mnist_pipeline.models.classifier import UNIT, Scaling
from mnist_pipeline.models.prediction import predict
from mnist_pipeline.training import losses
from mnist_pipeline.training.batches import Samples, upright_samples
from mnist_pipeline.training.loop import fit
from mnist_pipeline.training.state import Epoch, History, Step
from mnist_pipeline.training.summary import augmented_examples, scaling_of, summarise
from tests.training.runs import NOTHING, SMALL, MakeParams, samples, score, trained, untrained


def test_a_score_is_the_mean_over_all_samples(make_params: MakeParams, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (losses, prediction):
        monkeypatch.setattr(module, "BATCH_SIZE", 7)
    validation = samples(24, seed=1)
    classifier, history = trained(make_params({**SMALL, "train.epochs": 1}), samples(20), validation)
    with torch.no_grad():
        outputs = torch.cat([classifier(validation.images[row : row + 1]) for row in range(24)])
    loss = F.cross_entropy(outputs, validation.labels).item()
    accuracy = int((outputs.argmax(1) == validation.labels).sum()) / 24
    (last,) = history.epochs
    for found in (score(classifier, validation), (last.validation_loss, last.validation_accuracy)):
        assert found == pytest.approx((loss, accuracy), rel=1e-5)
    assert 0 < accuracy < 1


def test_scaling_is_by_255_or_by_the_mean_and_std_of_all_training_pixels() -> None:
    train = samples(40, seed=3)
    pixels = train.images.numpy().astype(np.float64)
    assert scaling_of(train, "unit") == Scaling(0.0, 255.0) == UNIT
    assert astuple(scaling_of(train, "standard")) == pytest.approx((pixels.mean(), pixels.std()), rel=1e-12)
    with pytest.raises(PipelineError, match=r"data\.scaling standard needs pixels that differ"):
        scaling_of(replace(train, images=train.images * 0 + 7), "standard")


@pytest.mark.parametrize("validation", [samples(30), NOTHING], ids=["validation", "no validation"])
@pytest.mark.parametrize(("shift", "macs"), [(0, 64 * 12 + 12 * 10), (1, 5 * (64 * 12 + 12 * 10))])
def test_a_summary_is_of_the_last_epoch_and_the_predictions(
    make_params: MakeParams, validation: Samples, shift: int, macs: int
) -> None:
    classifier = untrained(make_params({**SMALL, "model.test_time_shift": shift}))
    epochs = [Epoch(1, 0.1, 0.9, 0.8, 0.5, 0.6), Epoch(2, 0.1, 0.2, 0.3, 0.9, 0.8)]
    history = History(epochs, [Step(1, 5.0)])
    loss, accuracy = score(classifier, validation) if len(validation) else (None, None)
    assert summarise(classifier, samples(50), validation, predict(classifier, validation.images), history) == {
        "validation_accuracy": accuracy,
        "validation_loss": loss,
        "train_accuracy": 0.9,
        "train_loss": 0.2,
        "train_rows": 50,
        "validation_rows": len(validation),
        "parameters": 64 * 12 + 12 + 2 * 12 + 12 * 10 + 10,
        "multiply_adds": macs,
    }


def test_history_has_no_test_time_augmentation_and_scores_have(make_params: MakeParams) -> None:
    params, validation = make_params({**SMALL, "model.test_time_shift": 1}), samples(40, seed=1)
    classifier = untrained(params, deskew=True)
    last = fit(classifier, samples(100), validation, params.train, params.optimizers).epochs[-1]
    augmented = score(classifier, validation)
    classifier.params = classifier.params.model_copy(update={"test_time_shift": 0})
    assert (last.validation_loss, last.validation_accuracy) == score(classifier, validation)
    assert last.validation_loss != augmented[0]


@pytest.mark.parametrize("deskew", [False, True])
@pytest.mark.parametrize("shift", [0, 1])
def test_examples_are_the_first_images_and_augmented_versions_of_them(
    make_params: MakeParams, shift: int, deskew: bool
) -> None:
    classifier, train = untrained(make_params(SMALL), deskew), samples(300)
    found = augmented_examples(classifier, train, make_params({"train.augmentation.shift": shift}).train)
    assert np.array_equal(found["originals"], upright_samples(classifier, train).images[:8].numpy())
    assert np.array_equal(found["originals"], train.images[:8].numpy()) is not deskew
    assert found["distorted"].dtype == np.uint8
    assert found["distorted"].shape == (8, 11 if shift else 0, 8, 8)
    assert len(np.unique(found["distorted"].reshape(-1, 64), axis=0)) == (88 if shift else 0)
    blank = augmented_examples(classifier, replace(train, images=train.images * 0), make_params().train)
    assert not blank["distorted"].any()
