"""Augmentation, against SciPy's resampling and smoothing, and what each setting does to an image."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from scipy import ndimage

from mnist_pipeline.params.run import AugmentationParams
from mnist_pipeline.training.augmentation import AT_ONCE, SHARING, Augmentation

SIDE = 28
NONE: dict[str, Any] = {"rotation": 0, "scale": 0, "shear": 0, "shift": 0, "elastic_alpha": 0, "elastic_sigma": 4}
AFFINE: dict[str, Any] = {"rotation": 15, "scale": 0.15, "shear": 0.2, "shift": 2}
ALL: dict[str, Any] = {**AFFINE, "elastic_alpha": 34}


def augmentation(side: int = SIDE, **changes: Any) -> Augmentation:
    return Augmentation(side, AugmentationParams.model_validate(NONE | changes), torch.device("cpu"))


def noise(number: int, side: int = SIDE) -> torch.Tensor:
    return torch.from_numpy(np.random.default_rng(0).integers(0, 256, (number, side, side), np.uint8))


DOWN, RIGHT = 9 * np.mgrid[:SIDE, :SIDE].astype(np.uint8)
"""Images of the place of each pixel, times 9: resampled, they tell where each pixel comes from."""


def sources(fields: int, seed: int = 1, **changes: Any) -> NDArray[Any]:
    """Where each pixel comes from, (fields, 2, side, side), if it is inside the image."""
    ramps = np.stack([DOWN, RIGHT] * (SHARING // 2))
    images = torch.from_numpy(ramps).repeat(fields, 1, 1)
    found: NDArray[Any] = augmentation(**changes)(images, seed).view(fields, SHARING, SIDE, SIDE)[:, :2].numpy()
    return found.astype(np.float64) / 9


def affine_maps(fields: int, seed: int = 1, **changes: Any) -> NDArray[Any]:
    """The affine map about the centre of each field, (fields, 2, 3), fitted to the pixels around the centre."""
    place = np.arange(-4, 4) + 0.5
    down, right = (each.reshape(-1) for each in np.meshgrid(place, place, indexing="ij"))
    design = np.stack([down, right, np.ones(64)], axis=1)
    found = sources(fields, seed, **changes)[:, :, 10:18, 10:18] - (SIDE - 1) / 2
    fitted: NDArray[Any] = np.linalg.lstsq(design, found.reshape(2 * fields, 64).T, rcond=None)[0]
    return fitted.T.reshape(fields, 2, 3)


@pytest.mark.parametrize("number", [1, SHARING, SHARING + 1, AT_ONCE + 5])
@pytest.mark.parametrize("side", [1, SIDE])
def test_without_strength_images_stay_as_they_are(number: int, side: int) -> None:
    images = noise(number, side)
    found = augmentation(side)(images, seed=5)
    assert found.dtype == torch.float32
    torch.testing.assert_close(found, images.float(), rtol=0, atol=1e-3)


def test_affine_maps_resample_bilinearly_with_background_outside() -> None:
    images, place = noise(3 * SHARING), np.arange(SIDE) - (SIDE - 1) / 2
    found = augmentation(**AFFINE)(images, seed=3).numpy()
    maps = affine_maps(3, seed=3, **AFFINE)
    grid = np.stack([*np.meshgrid(place, place, indexing="ij"), np.ones((SIDE, SIDE))])
    for number, image in enumerate(images.numpy()):
        points = np.einsum("ij,jkl->ikl", maps[number // SHARING], grid) + (SIDE - 1) / 2
        expected = ndimage.map_coordinates(np.pad(image.astype(float), 1), points + 1, order=1)
        np.testing.assert_allclose(found[number], expected, atol=0.3)


@pytest.mark.parametrize(
    ("changes", "varying"),
    [
        ({"shift": 3}, {(0, 2): (-3, 3), (1, 2): (-3, 3)}),
        ({"scale": 0.2}, {(0, 0): (0.8, 1.2), (1, 1): (0.8, 1.2)}),
        ({"shear": 0.3}, {(0, 1): (-0.3, 0.3)}),
    ],
    ids=["shift", "scale", "shear"],
)
def test_each_setting_varies_its_part_of_the_map_within_its_bounds(
    changes: dict[str, Any], varying: dict[tuple[int, int], tuple[float, float]]
) -> None:
    maps = affine_maps(400, **changes)
    for row, column in np.ndindex(2, 3):
        found, usual = maps[:, row, column], float(row == column)
        low, high = varying.get((row, column), (usual, usual))
        assert low - 1e-3 < found.min() <= low + 0.03 * (high - low) + 1e-3
        assert high + 1e-3 > found.max() >= high - 0.03 * (high - low) - 1e-3
        assert found.mean() == pytest.approx(usual, abs=0.05 * (high - low) + 1e-3)
    if len(varying) == 2:  # each on its own
        one, other = (maps[:, row, column] for row, column in varying)
        assert abs(np.corrcoef(one, other)[0, 1]) < 0.15


def test_rotation_turns_what_was_scaled_about_the_centre_by_up_to_so_many_degrees() -> None:
    maps = affine_maps(400, rotation=30, scale=0.2)
    angles, (height, width) = np.arctan2(maps[:, 1, 0], maps[:, 0, 0]), np.linalg.norm(maps[:, :, :2], axis=1).T
    cosine, sine, zero = np.cos(angles), np.sin(angles), np.zeros(400)
    expected = np.array([[cosine * height, -sine * width, zero], [sine * height, cosine * width, zero]])
    np.testing.assert_allclose(maps.transpose(1, 2, 0), expected, atol=1e-3)
    assert (angles.min(), angles.max()) == pytest.approx((-math.radians(30), math.radians(30)), abs=0.03)
    assert angles.mean() == pytest.approx(0, abs=0.06)
    assert 0.799 < min(*height, *width) < max(*height, *width) < 1.201


def test_the_elastic_field_is_that_of_simard() -> None:
    """Uniform noise of -1 to 1, smoothed by a Gaussian, times alpha: the same mean, std and correlation."""
    fields, alpha, sigma = 400, 34, 4
    inside = (slice(None), slice(8, 20), slice(8, 20))  # where each pixel comes from the inside of the image
    moved = sources(fields, elastic_alpha=alpha, elastic_sigma=sigma) - np.stack([DOWN, RIGHT]) / 9
    field = moved.reshape(-1, SIDE, SIDE)[inside]
    random = np.random.default_rng(1).uniform(-1, 1, (2 * fields, SIDE, SIDE))
    expected = alpha * ndimage.gaussian_filter(random, sigma, axes=(1, 2), mode="constant", truncate=8)[inside]
    assert field.mean() == pytest.approx(0, abs=0.1)
    assert field.std() == pytest.approx(expected.std(), rel=0.05)
    neighbours = [np.corrcoef(each[:, 6, 6], each[:, 6, 10])[0, 1] for each in (field, expected)]
    assert neighbours[0] == pytest.approx(neighbours[1], abs=0.06)


def test_neighbours_share_a_transformation_and_others_do_not() -> None:
    images = noise(1).expand(AT_ONCE + 2 * SHARING, -1, -1)
    groups = augmentation(**ALL)(images, seed=2).view(-1, SHARING, SIDE, SIDE)
    assert torch.equal(groups, groups[:, :1].expand_as(groups))
    for one, other in ((0, 1), (1, 2), (0, AT_ONCE // SHARING)):
        assert not torch.allclose(groups[one], groups[other], atol=1)


def test_the_seed_alone_determines_the_transformations() -> None:
    images, augment, before = noise(20), augmentation(**ALL), torch.random.get_rng_state()
    found = augment(images, seed=2**63 - 1)
    assert torch.equal(found, augment(images, seed=2**63 - 1))
    assert not torch.allclose(found, augment(images, seed=0), atol=1)
    assert torch.equal(before, torch.random.get_rng_state())
