"""Near-duplicates are found, and nothing else; compared with a plain look at every pair."""

from __future__ import annotations

import io
from collections.abc import Callable
from itertools import combinations

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from mnist_pipeline.data.dataset import Dataset
from mnist_pipeline.data.duplicates import DISTANCE, Pairs, near_duplicates, signatures
from mnist_pipeline.data.relations import Relations, groups_of
from tests.conftest import make_block, strokes

Images = NDArray[np.uint8]
IMAGES = strokes(40)


def jpeg(images: Images) -> Images:
    """Images compressed with loss."""
    result = []
    for image in images:
        file = io.BytesIO()
        Image.fromarray(image).save(file, "JPEG", quality=75)
        result.append(np.array(Image.open(file)))
    return np.stack(result)


def noisy(images: Images) -> Images:
    noise = np.random.default_rng(1).normal(0, 4, images.shape)
    return np.clip(np.round(images + noise), 0, 255).astype(np.uint8)


def shifted(images: Images) -> Images:
    edge = images[:, :1, :1]
    moved = np.broadcast_to(edge, images.shape).copy()
    moved[:, 1:, :-1] = images[:, :-1, 1:]
    return moved


def inverted(images: Images) -> Images:
    return 255 - images


def pairs_of(found: Pairs) -> dict[tuple[int, int], float]:
    pairs = list(zip(found.first.tolist(), found.second.tolist(), strict=True))
    assert len(set(pairs)) == len(pairs)
    return dict(zip(pairs, found.distances.tolist(), strict=True))


def plain_distance(one: Images, other: Images) -> float:
    """The definition of the distance of two images, pixel by pixel."""
    contents, centres = [], []
    for image in (one, other):
        border = sorted([*image[0], *image[-1], *image[1:-1, 0], *image[1:-1, -1]])
        content = image.astype(float) - float(border[len(border) // 2])
        mass = (content**2).sum()
        places = np.indices(content.shape).reshape(2, -1)
        centre = places @ (content**2).reshape(-1) / mass if mass else np.zeros(2)
        contents.append(content)
        centres.append(np.floor(64 * centre + 0.5) / 64)
    norm = np.sqrt(np.linalg.norm(contents[0]) * np.linalg.norm(contents[1]))
    down, right = np.floor(centres[0] - centres[1] + 0.5).astype(int)
    moved = np.zeros_like(contents[1])
    for row, column in np.ndindex(*moved.shape):
        if 0 <= row - down < len(moved) and 0 <= column - right < len(moved):
            moved[row, column] = contents[1][row - down, column - right]
    difference = float(np.linalg.norm(contents[0] - moved))
    return difference / float(norm) if norm else (np.inf if difference else 0.0)


@pytest.mark.parametrize("change", [shifted, jpeg, noisy, np.copy], ids=["shift", "JPEG", "noise", "identical"])
@pytest.mark.parametrize("originals", [IMAGES, inverted(IMAGES)], ids=["light on dark", "dark on light"])
def test_a_changed_image_is_found_and_no_other(originals: Images, change: Callable[[Images], Images]) -> None:
    changed = change(originals)
    expected = {(row, row) for row in range(40)}
    found = pairs_of(near_duplicates(signatures(originals), signatures(changed)))
    assert set(found) == expected
    assert max(found.values()) <= DISTANCE
    within = pairs_of(near_duplicates(signatures(np.concatenate([originals, changed]))))
    assert set(within) == {(row, row + 40) for row in range(40)}


def test_pairs_and_distances_are_those_of_a_plain_look_at_every_pair() -> None:
    images = np.concatenate([IMAGES[:9], shifted(IMAGES[:4]), noisy(IMAGES[3:6]), jpeg(IMAGES[5:7]), IMAGES[:1] // 2])
    plain = {pair: plain_distance(*images[list(pair)]) for pair in combinations(range(len(images)), 2)}
    expected = {pair: distance for pair, distance in plain.items() if distance <= DISTANCE}
    assert len(expected) == 4 + 3 + 2 + 2  # shifts, noise, JPEG, and two changed forms of one image
    assert pairs_of(near_duplicates(signatures(images))) == pytest.approx(expected, abs=1e-12)


def test_the_order_of_rows_makes_no_difference() -> None:
    images = np.concatenate([IMAGES, jpeg(IMAGES[:20]), shifted(IMAGES[:10]), IMAGES[:5]])
    order = np.random.default_rng(0).permutation(len(images))
    found = pairs_of(near_duplicates(signatures(images)))
    assert len(found) > 40
    permuted = pairs_of(near_duplicates(signatures(images[order])))
    assert {frozenset(order[list(pair)].tolist()) for pair in permuted} == set(map(frozenset, found))


@pytest.mark.parametrize("number", [0, 1])
def test_no_image_or_a_single_one_has_no_duplicates(number: int) -> None:
    one = signatures(IMAGES[:number])
    assert pairs_of(near_duplicates(one)) == {}
    assert len(near_duplicates(one, signatures(IMAGES)).first) == number


def test_blank_images_are_alike_whatever_their_grey() -> None:
    images = np.concatenate([np.zeros((30, 8, 8), np.uint8), np.full((30, 8, 8), 200, np.uint8), strokes(3, 8)])
    found = near_duplicates(signatures(images))
    assert groups_of(63, [(found.first, found.second)]).tolist() == [0] * 60 + [1, 2, 3]


def test_groups_are_what_pairs_connect_in_the_order_of_their_first_rows() -> None:
    pairs = [(np.array([5, 1]), np.array([2, 6])), (np.array([6, 4]), np.array([3, 4]))]
    assert groups_of(8, pairs).tolist() == [0, 1, 2, 1, 3, 2, 1, 4]
    assert groups_of(3, [(np.zeros(0, np.int64), np.zeros(0, np.int64))]).tolist() == [0, 1, 2]


def test_relations_join_groups_and_similar_images_and_name_the_training_row_of_a_test_image() -> None:
    images = np.concatenate([IMAGES[:6], shifted(IMAGES[:1])])
    train = make_block(np.zeros(7, np.uint8), images, first_row=11)
    train = type(train)(train.labels, train.images, train.rows, ["a", "b", "c", "b", "d", "e", "c"])
    relations = Relations()
    assert list(relations.collect([train.part(np.arange(7) < 3), train.part(np.arange(7) >= 3)]))
    dataset = Dataset(images, train.labels, ("x", "y"), train.rows)
    assert relations.groups(dataset)["groups"].tolist() == [0, 1, 0, 1, 2, 3, 0]
    test = make_block(np.zeros(4, np.uint8), np.concatenate([IMAGES[8:9], jpeg(IMAGES[3:4]), IMAGES[:1], IMAGES[9:10]]))
    list(relations.collect([type(test)(test.labels, test.images, test.rows, ["z", "d", "b", "z"])]))
    assert relations.overlap(Dataset(test.images, test.labels, ("x", "y")))["overlap"].tolist() == [0, 14, 11, 0]
    assert relations.shared_groups == ["b", "d"]


def test_every_copy_of_a_training_image_in_the_test_set_is_named() -> None:
    relations = Relations()
    for derive, copies in ((relations.groups, 5), (relations.overlap, 40)):
        list(relations.collect([]))
        images = np.repeat(IMAGES[:1], copies, axis=0)
        derived = derive(Dataset(images, np.zeros(copies, np.uint8), ("x", "y")))
    assert (derived["overlap"] > 0).all()
