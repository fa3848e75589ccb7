"""Prediction: every image in order, and test-time augmentation as the mean of five shifts."""

from __future__ import annotations

import pytest
import torch
from scipy import ndimage

from mnist_pipeline.models.classifier import BATCH_SIZE, UNIT, Classifier, new_classifier
from mnist_pipeline.models.deskew import deskewed
from mnist_pipeline.models.prediction import passes, predict
from tests.models.test_classifier import CLASSES, SIDE, model_params, random_images


def classifier_with(shift: int, deskew: bool = False) -> Classifier:
    return new_classifier(SIDE, CLASSES, UNIT, model_params(test_time_shift=shift), seed=1, deskew=deskew)


@pytest.mark.parametrize("pixels", [1, 2, 4])
def test_test_time_augmentation_is_the_mean_over_five_shifts(pixels: int) -> None:
    plain, augmented = classifier_with(0, deskew=True), classifier_with(pixels, deskew=True)
    images = random_images(7)
    upright, ways = deskewed(images).numpy(), [(0, 0), (pixels, 0), (-pixels, 0), (0, pixels), (0, -pixels)]
    views = [torch.from_numpy(ndimage.shift(upright, (0, *way), order=0)) for way in ways]
    with torch.no_grad():
        expected = torch.stack([plain.network(plain.inputs(view)) for view in views]).mean(dim=0)
    torch.testing.assert_close(predict(augmented, images), expected, rtol=0, atol=1e-6)
    assert not torch.allclose(predict(augmented, images), predict(plain, images))
    assert (passes(plain), passes(augmented)) == (1, 5)


def test_the_classifier_alone_does_no_test_time_augmentation() -> None:
    images = random_images(7)
    with torch.no_grad():
        assert torch.equal(classifier_with(2)(images), classifier_with(0)(images))


@pytest.mark.parametrize("number", [1, BATCH_SIZE, BATCH_SIZE + 1, 2 * BATCH_SIZE + 1])
def test_every_image_is_predicted_in_order(number: int) -> None:
    classifier, images = classifier_with(0), random_images(number)
    classifier.train()
    outputs = predict(classifier, images)
    with torch.no_grad():
        expected = classifier.network(images.flatten(1) / 255)
    assert outputs.dtype == torch.float32
    torch.testing.assert_close(outputs, expected, rtol=0, atol=1e-5)
    assert not outputs.requires_grad
    assert not classifier.training
