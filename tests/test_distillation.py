"""Learning from a teacher: the loss, when the teacher is asked, and that it can be told what labels do not say."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from mnist_pipeline.checkpoint import Checkpoint
from mnist_pipeline.classifier import UNIT, Classifier, new_classifier, predict
from mnist_pipeline.distillation import Teacher
from mnist_pipeline.params import DistillationParams, Params
from mnist_pipeline.training import Samples, examples_of, fit, samples_of, score, train_teacher
from tests.conftest import synthetic_split

MakeParams = Callable[..., Params]
CLASSES = tuple("0123456789")
SMALL: dict[str, Any] = {
    "model.mlp.hidden_units": [12],
    "model.cnn.channels": [[4], [6]],
    "train.epochs": 5,
    "train.batch_size": 32,
    "train.distillation": {"teacher": "cnn", "epochs": 4, "temperature": 3.0, "weight": 0.7, "variants": 2},
    "train.augmentation.shift": 1,
    "optimizers.sgd.learning_rate": 0.02,
}


def untrained(params: Params, seed: int = 0) -> Classifier:
    return new_classifier(8, CLASSES, UNIT, params.model, seed)


def samples(rows: int = 300) -> Samples:
    return samples_of(synthetic_split(rows), np.arange(rows))


def test_the_loss_is_that_of_hinton() -> None:
    params = DistillationParams(teacher="cnn", epochs=1, temperature=4.0, weight=0.8, variants=1)
    teacher = Teacher(untrained_any(), params)
    random = np.random.default_rng(0)
    outputs, answers = random.normal(size=(2, 6, 10))
    soft = np.exp(answers / 4) / np.exp(answers / 4).sum(axis=1, keepdims=True)
    log_probabilities = outputs / 4 - np.log(np.exp(outputs / 4).sum(axis=1, keepdims=True))
    expected = 0.8 * 16 * -(soft * log_probabilities).sum(axis=1).mean() + 0.2 * 1.5
    found = teacher.loss(torch.from_numpy(outputs), torch.from_numpy(answers), torch.tensor(1.5))
    assert found.item() == pytest.approx(expected)


def untrained_any() -> Classifier:
    from tests.test_classifier import model_params

    return new_classifier(8, CLASSES, UNIT, model_params(), 0)


class Counting(nn.Module):
    """A network that notes what it was asked."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network
        self.asked: list[torch.Tensor] = []

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        self.asked.append(inputs)
        outputs: torch.Tensor = self.network(inputs)
        return outputs


def test_the_teacher_is_asked_once_about_each_variant_of_each_image(make_params: MakeParams) -> None:
    params = make_params(SMALL)
    train = samples()
    teacher = train_teacher(untrained(params), train, samples(40), params.train, params.optimizers)
    assert teacher is not None
    network = Counting(teacher.classifier.network)
    teacher.classifier.network = network  # type: ignore[assignment]
    fit(untrained(params), train, samples(40), params.train, params.optimizers, teacher=teacher)
    assert sum(map(len, network.asked)) == 2 * len(train)
    assert not torch.equal(network.asked[0], network.asked[1])


def test_training_again_and_going_on_give_the_same_bits(make_params: MakeParams, tmp_path: Path) -> None:
    def run(epochs: int, checkpoint: Checkpoint | None) -> Classifier:
        params = make_params(SMALL | {"train.epochs": epochs, "train.schedule": "constant"})
        teacher = train_teacher(untrained(params), samples(), samples(40), params.train, params.optimizers)
        classifier = untrained(params)
        fit(classifier, samples(), samples(40), params.train, params.optimizers, checkpoint, teacher)
        return classifier

    whole, again = run(5, None), run(5, None)
    run(3, Checkpoint(tmp_path, "key"))
    went_on = run(5, Checkpoint(tmp_path, "key"))
    for name, tensor in whole.state_dict().items():
        assert torch.equal(tensor, again.state_dict()[name])
        assert torch.equal(tensor, went_on.state_dict()[name])


def test_what_the_teacher_says_counts_more_than_the_labels(make_params: MakeParams) -> None:
    """A teacher that was taught other labels: its pupil, shown the true ones, learns the teacher's."""
    params = make_params(SMALL | {"train.distillation.weight": 1.0, "train.augmentation.shift": 0, "train.epochs": 20})
    true = samples()
    other = Samples(true.images, (true.labels + 1) % 10)
    teacher = train_teacher(untrained(params), other, true, params.train, params.optimizers)
    assert teacher is not None
    says = predict(teacher.classifier, true.images).argmax(dim=1)
    assert (says == other.labels).float().mean() > 0.8
    classifier = untrained(params)
    fit(classifier, true, true, params.train, params.optimizers, teacher=teacher)
    assert (predict(classifier, true.images).argmax(dim=1) == says).float().mean() > 0.8


def test_without_a_teacher_there_is_none(make_params: MakeParams) -> None:
    params = make_params()
    assert train_teacher(untrained(params), samples(), samples(), params.train, params.optimizers) is None


def test_the_teacher_is_trained_as_a_classifier_of_its_own_would_be(make_params: MakeParams) -> None:
    params = make_params(SMALL)
    alone = make_params(SMALL | {"model.architecture": "cnn", "train.epochs": 4, "train.distillation.teacher": "none"})
    teacher = train_teacher(untrained(params), samples(), samples(40), params.train, params.optimizers)
    classifier = untrained(alone)
    fit(classifier, samples(), samples(40), alone.train, alone.optimizers)
    assert teacher is not None
    for name, tensor in classifier.state_dict().items():
        assert torch.equal(tensor, teacher.classifier.state_dict()[name])
    assert score(classifier, samples(40), nn.functional.cross_entropy)[1] > 0.5


@pytest.mark.parametrize("shift", [0, 1])
def test_examples_are_the_first_images_and_what_augmentation_makes_of_them(make_params: MakeParams, shift: int) -> None:
    params = make_params({"train.augmentation.shift": shift}).train
    found = examples_of(samples(), params)
    assert np.array_equal(found.originals, samples().images[:8].numpy())
    if not shift:
        assert found.distorted.shape == (8, 0, 8, 8)
        return
    assert found.distorted.shape == (8, 11, 8, 8)
    versions = found.distorted.reshape(88, -1)
    assert len(np.unique(versions, axis=0)) == 88
