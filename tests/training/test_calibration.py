"""Temperature scaling: the fit, the file, and the settings for which it makes no sense."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from mnist_pipeline.models.classifier import UNIT, Classifier, load_classifier, new_classifier, save_classifier
from mnist_pipeline.models.prediction import predict
from mnist_pipeline.params.schema import Params
from mnist_pipeline.training.losses import fit_temperature
from tests.conftest import DIGITS, synthetic_dataset

IMAGES = synthetic_dataset(50).images


def logits_and_labels(factor: float) -> tuple[Tensor, Tensor]:
    """Logits of which the labels are drawn, times a factor."""
    random = np.random.default_rng(0)
    logits = random.normal(0, 2, (800, 4))
    chances = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    labels = (random.random((800, 1)) > chances.cumsum(axis=1)).sum(axis=1).clip(max=3)
    return torch.from_numpy(factor * logits).float(), torch.from_numpy(labels)


def log_loss(outputs: Tensor, labels: Tensor, temperature: float) -> float:
    logits = outputs.double().numpy() / temperature
    shifted = logits - logits.max(axis=1, keepdims=True)
    chances = np.exp(shifted) / np.exp(shifted).sum(axis=1, keepdims=True)
    return -float(np.log(chances[np.arange(len(labels)), labels]).mean())


@pytest.mark.parametrize("factor", [0.25, 1, 3])
def test_the_temperature_is_the_best_of_a_fine_grid(factor: float) -> None:
    outputs, labels = logits_and_labels(factor)
    found = fit_temperature(outputs, labels)
    assert found == pytest.approx(factor, rel=0.15)  # over-confident logits: above 1
    grid = np.exp(np.linspace(-2, 2, 2001))
    best = grid[np.argmin([log_loss(outputs, labels, each) for each in grid])]
    assert found == pytest.approx(best, rel=0.003)
    assert found == round(found, 4)


def test_outputs_that_are_all_right_have_a_temperature_within_bounds() -> None:
    assert 1 / 60 < fit_temperature(10 * torch.eye(4), torch.arange(4)) < 1
    assert 1 < fit_temperature(10 * torch.eye(4), torch.arange(4).flip(0)) < 60


@pytest.fixture
def classifier(make_params: Callable[..., Params]) -> Classifier:
    model = make_params({"model.mlp.hidden_units": [], "model.test_time_shift": 1}).model
    return new_classifier(8, DIGITS, UNIT, model, seed=0).eval()


def probabilities_of(classifier: Classifier) -> tuple[Any, Any]:
    outputs = predict(classifier, torch.from_numpy(IMAGES))
    return classifier.probabilities(outputs).numpy(), outputs.double().numpy()


def test_probabilities_are_softer_and_predictions_the_same(classifier: Classifier, tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    save_classifier(path, classifier)
    plain, before = path.read_bytes(), probabilities_of(classifier)[0]
    classifier.temperature = 2.5
    found, outputs = probabilities_of(classifier)
    expected = np.exp(outputs / 2.5) / np.exp(outputs / 2.5).sum(axis=1, keepdims=True)
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-12)
    assert np.abs(found - before).max() > 0.01
    assert np.array_equal(found.argmax(axis=1), before.argmax(axis=1))

    save_classifier(path, classifier)
    loaded = load_classifier(path)
    assert loaded.temperature == 2.5
    assert np.array_equal(probabilities_of(loaded)[0], found)
    loaded.temperature = 1.0
    save_classifier(path, loaded)
    assert path.read_bytes() == plain
