"""The audit finds what is planted in clean data, and nothing else."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from mnist_pipeline.audit.audit import audit
from mnist_pipeline.audit.distribution import NEIGHBOURS, drift, order, small_classes, two_sample_test
from mnist_pipeline.audit.features import distances_to_nearest, pooled
from mnist_pipeline.audit.findings import Finding, count, warnings, write_findings
from mnist_pipeline.audit.gallery import draw_suspects
from mnist_pipeline.audit.images import repeated_images, similar_images
from mnist_pipeline.core.statistics import wilson_interval
from mnist_pipeline.data.dataset import Dataset
from tests.conftest import strokes

CLASSES = ("ant", "bee", "cow")
IMAGES = strokes(450, 16)
LABELS = np.random.default_rng(0).permutation(np.arange(450) % 3).astype(np.uint8)
Datasets = dict[str, Dataset]


@pytest.fixture
def datasets() -> Datasets:
    """Clean data: 300 training and 150 test images, all different, in a random order; below a header."""
    parts = {"train": np.arange(300), "test": np.arange(300, 450)}
    numbers = np.arange(2, 302, dtype=np.int32)
    return {
        name: Dataset(IMAGES[part], LABELS[part], CLASSES, numbers[: len(part)].copy()) for name, part in parts.items()
    }


def certain(labels: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Probabilities that agree with all labels."""
    return np.eye(3)[labels] * 0.97 + 0.01


def audited(datasets: Datasets) -> list[Finding]:
    return audit(datasets, {name: certain(dataset.labels) for name, dataset in datasets.items()})


def places(findings: list[Finding]) -> list[tuple[object, ...]]:
    return [(each.kind, each.file, each.row, each.suggested, each.other_file, each.other_row) for each in findings]


def plant(datasets: Datasets) -> None:
    """Repeat, move and spoil some images; rows are numbered from 2."""
    train, test = datasets["train"], datasets["test"]
    train.images[40] = train.images[7]
    train.labels[[7, 40]] = 0
    train.images[[60, 61, 62]] = train.images[59]
    train.labels[[59, 60, 61, 62]] = [2, 1, 1, 1]
    test.images[10] = train.images[100]
    test.labels[10] = train.labels[100] = 1
    test.images[20] = np.roll(train.images[200], (1, 1), (0, 1))
    test.labels[20], train.labels[200] = 0, 2
    test.images[30] = np.random.default_rng(0).integers(0, 256, (16, 16))


PLANTED = [
    ("duplicate", "train", 42, "", "train", 9),
    ("contradiction", "train", 61, "bee", "train", 62),
    ("duplicate", "train", 63, "", "train", 62),
    ("duplicate", "train", 64, "", "train", 62),
    ("duplicate", "test", 12, "", "train", 102),
    ("near_duplicate", "test", 22, "cow", "train", 202),
    ("outlier", "test", 32, "", "", None),
]


def test_nothing_is_found_in_clean_data(datasets: Datasets) -> None:
    findings = audited(datasets)
    assert findings == []
    assert warnings(findings) == {}
    assert sum(sum(files.values()) for files in count(findings).values()) == 0
    draw_suspects(datasets, findings)  # of nothing


def test_what_is_planted_is_found_and_nothing_else(datasets: Datasets, tmp_path: Path) -> None:
    plant(datasets)
    findings = audited(datasets)
    assert sorted(places(findings), key=str) == sorted(PLANTED, key=str)
    scores = {each.row: each.score for each in findings}
    assert (scores[42], scores[61], scores[12]) == (2, 4, 2)
    assert scores[22] == 0
    given = {each.row: each.given for each in findings}
    assert (given[61], given[22], given[32]) == ("cow", "ant", CLASSES[datasets["test"].labels[30]])

    counts = count(findings)
    assert counts["duplicate"] == {"train": 3, "test": 1}
    assert counts["contradiction"] == {"train": 1, "test": 0}
    lines = warnings(findings)
    assert list(lines) == ["duplicate", "contradiction", "near_duplicate", "outlier"]
    assert lines["duplicate"] == "4 images occur again, 1 of them in the other file"
    assert lines["contradiction"] == "1 group of identical images carries different labels"
    drawn = {axes.get_title() for axes in draw_suspects(datasets, findings).axes if axes.images}
    assert drawn == {
        "cow → bee\ncontradiction\ntrain 61",
        "ant → cow\nnear duplicate\ntest 22",
        f"{given[32]}\noutlier\ntest 32",
    }

    for name in ("one", "two"):
        write_findings(tmp_path / name, audited(datasets))
    assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes()
    header, *rows = (tmp_path / "one").read_text("utf-8").splitlines()
    assert header == "file,row,kind,score,given,suggested,other_file,other_row"
    assert [row.split(",")[2] for row in rows] == 4 * ["duplicate"] + ["contradiction", "near_duplicate", "outlier"]
    assert rows[4] == "train,61,contradiction,4,cow,bee,train,62"


@pytest.mark.parametrize("name", ["train", "test"])
def test_a_class_of_which_a_file_has_no_image_is_small(datasets: Datasets, name: str) -> None:
    dataset = datasets[name]
    kept = dataset.labels != 2
    parts = {each: getattr(dataset, each)[kept] for each in ("images", "labels", "rows")}
    findings = audited(datasets | {name: Dataset(**parts, classes=CLASSES)})
    assert [(each.kind, each.file, each.given, each.score) for each in findings] == [("small_class", name, "cow", 0)]


@pytest.mark.parametrize("labels", [(0, 1, 1), (1, 0, 1), (1, 1, 0), (0, 1, 2), (2, 2, 2)])
def test_the_most_frequent_label_of_an_image_is_suggested(datasets: Datasets, labels: tuple[int, ...]) -> None:
    train, test = datasets["train"], datasets["test"]
    train.images[5], test.images[[8, 9]] = test.images[7], test.images[7]
    train.labels[5], test.labels[[8, 9]] = labels[0], labels[1:]
    only = {"train": train, "test": replace(test, images=test.images[8:], labels=test.labels[8:], rows=test.rows[8:])}
    usual = max(labels, key=labels.count)
    wrong = [label for label in labels if label != usual]
    found = list(repeated_images(only))
    assert [each.given for each in found if each.kind == "contradiction"] == [CLASSES[label] for label in wrong]
    assert {each.suggested for each in found if each.kind == "contradiction"} <= {CLASSES[usual]}
    assert len(found) == 2  # all but a row of the usual label
    assert list(similar_images(only)) == []


def test_distances_to_the_nearest_images_are_those_of_a_plain_loop() -> None:
    references = pooled(IMAGES[20:50])
    found = distances_to_nearest(IMAGES[:30], references, 5, {20 + place: place for place in range(10)})
    for index, image in enumerate(pooled(IMAGES[:30])):
        others = [reference for place, reference in enumerate(references) if place + 20 != index]
        nearest = sorted(float(np.linalg.norm(image - other)) for other in others)[:5]
        assert found[index] == pytest.approx(sum(nearest) / 5)
    cells = IMAGES[:2, :16, :14].astype(float)
    assert pooled(IMAGES[:2])[:, 0].tolist() == np.floor(cells[:, :2, :2].mean(axis=(1, 2)) + 0.5).tolist()


@pytest.mark.parametrize(
    ("rows", "found"), [((120, 100, 60, 20), [3]), ((400, 100, 60, 39), [3]), ((40, 0, 40, 40), [1])]
)
def test_small_classes_are_named(rows: tuple[int, ...], found: list[int]) -> None:
    labels = np.repeat(np.arange(4, dtype=np.uint8), rows)
    dataset = Dataset(np.zeros((len(labels), 1, 1), np.uint8), labels, ("a", "b", "c", "d"))
    findings = list(small_classes({"train": dataset}))
    assert [each.given for each in findings] == ["abcd"[label] for label in found]
    for each, label in zip(findings, found, strict=True):
        assert each.score == (wilson_interval(rows[label], rows[label])[0] if rows[label] else 0)


def test_a_class_that_differs_between_the_files_is_named(datasets: Datasets) -> None:
    bees = datasets["test"].labels == 1
    datasets["test"].images[bees] = strokes(450, 16, seed=5)[: bees.sum()] // 2
    findings = list(drift(datasets))
    assert [(each.kind, each.file, each.row, each.given) for each in findings] == [("drift", "test", None, "bee")]
    assert findings[0].score > 0.1


@pytest.mark.parametrize("name", ["train", "test"])
def test_rows_that_are_sorted_are_found(datasets: Datasets, name: str) -> None:
    dataset = datasets[name]
    by_label = np.argsort(dataset.labels, kind="stable")
    by_ink = np.argsort(dataset.images.sum(axis=(1, 2)), kind="stable")
    for rows in (by_label, by_ink):
        changed = replace(dataset, images=dataset.images[rows], labels=dataset.labels[rows])
        findings = list(order(datasets | {name: changed}))
        assert [(each.kind, each.file, each.row) for each in findings] == [("order", name, None)]
        assert 0.05 < findings[0].score < 0.7


def test_the_two_sample_statistic_is_that_of_a_plain_loop() -> None:
    random = np.random.default_rng(0)
    for sizes in ((14, 9), (2, 30), (3, 2)):
        samples = [random.integers(0, 100, (size, 6)).astype(np.float64) for size in sizes]
        both, side = np.concatenate(samples), [0] * sizes[0] + [1] * sizes[1]
        same, all_pairs = [], []
        for i, row in enumerate(both):
            distances = {j: float(((row - other) ** 2).sum()) for j, other in enumerate(both) if j != i}
            limit = sorted(distances.values())[min(NEIGHBOURS, len(distances)) - 1]
            same += [side[i] == side[j] for j, distance in distances.items() if distance <= limit]
            all_pairs += [side[i] == side[j] for j in distances]
        excess, p = two_sample_test(*samples)
        assert excess == pytest.approx(np.mean(same) - np.mean(all_pairs), abs=1e-12)
        assert 0.001 <= p <= 1


def test_samples_are_told_apart_only_if_they_differ() -> None:
    random = np.random.default_rng(0)

    def sample(size: int) -> NDArray[np.float64]:
        return random.integers(0, 100, (size, 6)).astype(np.float64)

    excess, p = two_sample_test(sample(40), sample(40) + 1000)
    assert excess == pytest.approx(1 - 39 / 79)
    assert p == 0.001
    p_values = [two_sample_test(sample(30), sample(20))[1] for _ in range(20)]
    assert sum(p <= 0.2 for p in p_values) <= 9  # 4 are expected, and more than 9 in one case of 400
    assert len(set(p_values)) > 10
    assert two_sample_test(sample(1), sample(40)) == (0.0, 1.0)
