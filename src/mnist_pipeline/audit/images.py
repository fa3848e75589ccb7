"""Identical images, contradictory labels, nearly identical images, and outliers."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping

import numpy as np
from numpy.typing import NDArray

from mnist_pipeline.audit.features import distances_to_nearest, evenly_spaced, pooled
from mnist_pipeline.audit.findings import Finding
from mnist_pipeline.data.dataset import Dataset
from mnist_pipeline.data.duplicates import near_duplicates, signatures

REFERENCES, NEIGHBOURS = 3000, 5
OUTLIER_DEVIATIONS = 4.0

Place = tuple[str, int]
"""An image: the name of its file, and its index in the data set."""


def repeated_images(datasets: Mapping[str, Dataset]) -> Iterator[Finding]:
    """Yield a finding for each image that occurs before, in either file; those of another label are contradictions.

    The score is the number of identical images. A contradiction is a row whose label is not the most frequent one.
    """
    places: dict[bytes, list[Place]] = {}
    for name, dataset in datasets.items():
        for index, image in enumerate(np.ascontiguousarray(dataset.images)):
            places.setdefault(hashlib.blake2b(image.data, digest_size=16).digest(), []).append((name, index))
    for same in places.values():
        if len(same) > 1:
            yield from _of_one_image(datasets, same)


def _of_one_image(datasets: Mapping[str, Dataset], same: list[Place]) -> Iterator[Finding]:
    labels = [int(datasets[name].labels[index]) for name, index in same]
    usual = Counter(labels).most_common(1)[0][0]  # of equally frequent ones, the first
    model = labels.index(usual)
    for place, label in zip(same, labels, strict=True):
        kind = "duplicate" if label == usual else "contradiction"
        if place != same[model]:
            suggested = usual if kind == "contradiction" else None
            yield _pair(datasets, kind, place, same[model], len(same), suggested)


def similar_images(datasets: Mapping[str, Dataset]) -> Iterator[Finding]:
    """Yield a finding for each image that is nearly identical to another one; its closest is the other row.

    The score is the distance; see data/duplicates.py. A suggested label is that of the other row, where it differs.
    """
    prints = {name: signatures(dataset.images) for name, dataset in datasets.items()}
    names = list(datasets)
    closest: dict[Place, tuple[float, Place]] = {}
    for number, one in enumerate(names):
        for other in names[number:]:
            pairs = near_duplicates(prints[one], None if other == one else prints[other])
            identical = (datasets[one].images[pairs.first] == datasets[other].images[pairs.second]).all(axis=(1, 2))
            for first, second, distance in zip(
                *(each[~identical].tolist() for each in (pairs.first, pairs.second, pairs.distances)), strict=True
            ):
                candidate = (distance, (one, first))
                closest[other, second] = min(closest.get((other, second), candidate), candidate)
    for place, (distance, other_place) in sorted(closest.items(), key=lambda item: (names.index(item[0][0]), item[0])):
        labels = [int(datasets[name].labels[index]) for name, index in (place, other_place)]
        suggested = labels[1] if labels[0] != labels[1] else None
        yield _pair(datasets, "near_duplicate", place, other_place, distance, suggested)


def _pair(
    datasets: Mapping[str, Dataset], kind: str, place: Place, other: Place, score: float, suggested: int | None
) -> Finding:
    (name, index), (other_name, other_index) = place, other
    classes = datasets[name].classes
    return Finding(
        file=name,
        row=int(datasets[name].rows[index]),
        kind=kind,
        score=score,
        given=classes[datasets[name].labels[index]],
        suggested="" if suggested is None else classes[suggested],
        other_file=other_name,
        other_row=int(datasets[other_name].rows[other_index]),
    )


def outliers(datasets: Mapping[str, Dataset]) -> Iterable[Finding]:
    """Return a finding for each image that is unlike all training images, the strangest first.

    The score is the mean distance to the nearest training images, over the median of that distance. An outlier's
    logarithm is so many deviations (1.4826 times the median absolute deviation) above the median.
    """
    train = datasets["train"]
    if len(train.labels) < NEIGHBOURS:
        return []
    rows = evenly_spaced(len(train.labels), REFERENCES)
    references = pooled(train.images[rows])
    distances = {}
    for name, dataset in datasets.items():
        own = {int(row): place for place, row in enumerate(rows)} if name == "train" else {}
        distances[name] = distances_to_nearest(dataset.images, references, NEIGHBOURS, own)
    logarithms = {name: np.log(np.maximum(each, 1)) for name, each in distances.items()}
    median = float(np.median(logarithms["train"]))
    deviation = max(1.4826 * float(np.median(np.abs(logarithms["train"] - median))), 0.01)
    found = []
    for name, dataset in datasets.items():
        for index in np.flatnonzero(logarithms[name] > median + OUTLIER_DEVIATIONS * deviation).tolist():
            score = float(distances[name][index]) / float(np.exp(median))
            label = dataset.classes[dataset.labels[index]]
            found.append(Finding(name, int(dataset.rows[index]), "outlier", score, label))
    return sorted(found, key=lambda each: -each.score)


def images_of(datasets: Mapping[str, Dataset], findings: Iterable[Finding]) -> NDArray[np.uint8]:
    """Return the images of findings about rows, uint8 (n, side, side)."""
    sets = [(datasets[each.file], each.row) for each in findings]
    images = [dataset.images[dataset.rows == row][0] for dataset, row in sets]
    return np.stack(images) if images else datasets["train"].images[:0]
