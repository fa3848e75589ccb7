"""Augmentation, against SciPy's resampling and smoothing, and what each setting does to a picture."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from scipy import ndimage

from mnist_pipeline.training.augmentation import AT_ONCE, SHARING, Augmentation
from mnist_pipeline.params.schema import AugmentationParams

CPU = torch.device("cpu")
SIDE = 28
NONE: dict[str, Any] = {"rotation": 0, "scale": 0, "shear": 0, "shift": 0, "elastic_alpha": 0, "elastic_sigma": 4}
ALL: dict[str, Any] = {"rotation": 15, "scale": 0.15, "shear": 0.2, "shift": 2, "elastic_alpha": 34, "elastic_sigma": 4}


def augmenter(side: int = SIDE, **changes: Any) -> Augmentation:
    return Augmentation(side, AugmentationParams.model_validate(NONE | changes), CPU)


def noise(number: int, side: int = SIDE) -> torch.Tensor:
    return torch.from_numpy(np.random.default_rng(0).integers(0, 256, (number, side, side)).astype(np.uint8))


def blob(side: int = 41, down: float = 0.0, right: float = 0.0) -> torch.Tensor:
    """A smooth spot, so many pixels from the centre."""
    place = np.arange(side) - (side - 1) / 2
    spot = 255 * np.exp(-((place[:, None] - down) ** 2 + (place[None] - right) ** 2) / (2 * 2.5**2))
    return torch.from_numpy(spot.astype(np.uint8))


def centre(image: torch.Tensor) -> tuple[float, float]:
    """Centre of mass, in pixels from the middle."""
    down, right = ndimage.center_of_mass(image.numpy())
    middle = (image.shape[0] - 1) / 2
    return float(down - middle), float(right - middle)


@pytest.mark.parametrize("number", [1, SHARING - 1, SHARING, SHARING + 1, AT_ONCE - 3, AT_ONCE + 5])
@pytest.mark.parametrize("side", [1, 8, SIDE])
def test_without_strength_images_stay_as_they_are(number: int, side: int) -> None:
    images = noise(number, side)
    found = augmenter(side)(images, seed=5)
    assert found.dtype == torch.float32
    assert found.shape == images.shape
    assert torch.allclose(found, images.float(), atol=1e-3)


def test_resampling_is_scipys_bilinear_one() -> None:
    augment = augmenter(**ALL)
    images = noise(2 * SHARING)
    points = augment._points(2, torch.Generator().manual_seed(3)).numpy() - 1  # without the border
    found = augment(images, seed=3).numpy()
    for place, image in enumerate(images.numpy()):
        expected = ndimage.map_coordinates(np.pad(image.astype(np.float64), 1), points[place // SHARING] + 1, order=1)
        np.testing.assert_allclose(found[place].reshape(-1), expected, atol=0.05)


def test_the_elastic_field_is_that_of_simard() -> None:
    """Uniform noise of -1 to 1, convolved with a Gaussian, times alpha: the same mean, and the same sd."""
    alpha, sigma, side, fields = 34, 4, 28, 400
    augment = augmenter(elastic_alpha=alpha, elastic_sigma=sigma)
    still = augmenter()._points(fields, torch.Generator().manual_seed(0))
    field = (augment._points(fields, torch.Generator().manual_seed(0)) - still).view(-1, side, side).numpy()
    random = np.random.default_rng(1).uniform(-1, 1, (2 * fields, side, side))
    expected = alpha * ndimage.gaussian_filter(random, sigma, axes=(1, 2), mode="constant", truncate=8)
    inside = (slice(None), slice(8, 20), slice(8, 20))  # where no point is held to the image's border
    assert field[inside].mean() == pytest.approx(0, abs=0.1)
    assert field[inside].std() == pytest.approx(expected[inside].std(), rel=0.05)
    neighbours = [np.corrcoef(each[:, 14, 14], each[:, 14, 18])[0, 1] for each in (field, expected)]
    assert neighbours[0] == pytest.approx(neighbours[1], abs=0.06)


def centre_along(axis: int) -> Callable[[torch.Tensor], float]:
    """One of the coordinates of the centre of mass."""
    return lambda image: centre(image)[axis]


def spread_of(change: dict[str, Any], image: torch.Tensor, measure: Callable[[torch.Tensor], float]) -> list[float]:
    """The measure of 400 distorted copies of an image, each with a distortion of its own."""
    copies = image.expand(400 * SHARING, -1, -1)
    distorted = augmenter(image.shape[0], **change)(copies, seed=1)[::SHARING]
    return [measure(each) for each in distorted]


def test_shift_moves_up_to_so_many_pixels_in_both_directions() -> None:
    for axis in (0, 1):
        moved = spread_of({"shift": 3}, blob(), centre_along(axis))
        assert -3.05 < min(moved) < -2.8
        assert 2.8 < max(moved) < 3.05
        assert np.mean(moved) == pytest.approx(0, abs=0.25)


def test_rotation_turns_about_the_centre_up_to_so_many_degrees() -> None:
    image = blob(down=0, right=10)
    angles = spread_of({"rotation": 30}, image, lambda each: math.degrees(math.atan2(*centre(each))))
    assert -30.5 < min(angles) < -28
    assert 28 < max(angles) < 30.5
    lengths = spread_of({"rotation": 30}, image, lambda each: math.hypot(*centre(each)))
    assert lengths == pytest.approx([10] * len(lengths), abs=0.1)


def test_scale_changes_height_and_width_each_on_its_own() -> None:
    distances = [spread_of({"scale": 0.2}, blob(down=8, right=8), centre_along(axis)) for axis in (0, 1)]
    for each in distances:
        assert 8 / 1.2 - 0.1 < min(each) < 8 / 1.18
        assert 8 / 0.82 < max(each) < 8 / 0.8 + 0.1
    assert abs(float(np.corrcoef(np.array(distances))[0, 1])) < 0.2


def test_shear_moves_rows_by_their_column_alone() -> None:
    image = blob(down=0, right=10)
    down = spread_of({"shear": 0.3}, image, lambda each: centre(each)[0])
    right = spread_of({"shear": 0.3}, image, lambda each: centre(each)[1])
    assert -3.1 < min(down) < -2.8
    assert 2.8 < max(down) < 3.1
    assert right == pytest.approx([10] * len(right), abs=0.1)


def test_neighbours_share_a_distortion_and_others_do_not() -> None:
    images = noise(1).expand(3 * SHARING, -1, -1)
    found = augmenter(**ALL)(images, seed=2)
    groups = found.view(3, SHARING, -1)
    assert torch.equal(groups, groups[:, :1].expand_as(groups))
    assert not torch.allclose(groups[0], groups[1], atol=1)
    assert not torch.allclose(groups[1], groups[2], atol=1)


def test_the_seed_determines_it() -> None:
    images, augment = noise(AT_ONCE + 20), augmenter(**ALL)
    found = augment(images, seed=2**63 - 1)
    before = torch.random.get_rng_state()
    assert torch.equal(found, augment(images, seed=2**63 - 1))
    assert torch.equal(before, torch.random.get_rng_state())
    assert not torch.allclose(found, augment(images, seed=0), atol=1)
    assert not torch.allclose(found[:8], found[AT_ONCE : AT_ONCE + 8], atol=1)


def test_values_stay_between_black_and_white_whatever_the_strength() -> None:
    found = augmenter(rotation=180, scale=0.9, shear=3, shift=100, elastic_alpha=1000, elastic_sigma=0.5)(noise(64), 0)
    assert found.isfinite().all()
    assert found.min() >= -1e-3
    assert found.max() <= 255.01
