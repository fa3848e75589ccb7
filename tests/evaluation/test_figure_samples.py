"""The test images that pictures show: the record, then the mistakes by confidence."""

from __future__ import annotations

from dataclasses import fields, replace
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from mnist_pipeline.evaluation.figure_samples import Showcase, ShowcaseError, choose, load_showcase, save_showcase

CLASSES = ("a", "b", "ü, c")
IMAGES = np.random.default_rng(0).integers(0, 256, (6, 2, 2), np.uint8)
LABELS = np.array([0, 1, 2, 0, 1, 2])
PROBABILITIES = np.array([
    [0.8, 0.1, 0.1],  # right
    [0.6, 0.3, 0.1],  # wrong, third
    [0.05, 0.9, 0.05],  # wrong, most confident
    [0.3, 0.3, 0.4],  # wrong, least confident
    [0.1, 0.9, 0.0],  # right
    [0.2, 0.7, 0.1],  # wrong, second
])  # fmt: skip


def chosen(record: int = 4) -> Showcase:
    return choose(IMAGES, LABELS, PROBABILITIES, CLASSES, record)


def assert_equal(found: Showcase, expected: Showcase) -> None:
    for field in fields(Showcase):
        one, other = getattr(found, field.name), getattr(expected, field.name)
        assert type(one) is type(other)
        if isinstance(other, np.ndarray):
            assert one.dtype == other.dtype
        np.testing.assert_array_equal(one, other)


def test_the_record_and_then_the_mistakes_by_confidence() -> None:
    showcase = chosen()
    assert showcase.classes == CLASSES
    assert showcase.rows.tolist() == [4, 2, 5, 1, 3]


@pytest.mark.parametrize("record", range(6))
def test_everything_belongs_to_its_row(record: int) -> None:
    showcase = chosen(record)
    assert showcase.rows[0] == record
    np.testing.assert_array_equal(showcase.images, IMAGES[showcase.rows])
    np.testing.assert_array_equal(showcase.labels, LABELS[showcase.rows])
    np.testing.assert_array_equal(showcase.probabilities, PROBABILITIES[showcase.rows])
    assert showcase.rows.dtype == showcase.labels.dtype == np.dtype(np.int64)
    assert showcase.images.dtype == np.dtype(np.uint8)
    assert showcase.probabilities.dtype == np.dtype(np.float64)


def test_a_record_that_is_a_mistake_is_there_twice() -> None:
    assert chosen(record=5).rows.tolist() == [5, 2, 5, 1, 3]


def test_mistakes_of_the_same_confidence_are_in_the_order_of_the_file() -> None:
    probabilities = np.tile([[0.25, 0.75, 0.0], [0.0, 0.5, 0.5], [0.0, 0.0, 1.0]], (100, 1))
    showcase = choose(np.zeros((300, 2, 2), np.uint8), np.zeros(300, np.int64), probabilities, CLASSES, 0)
    assert showcase.rows.tolist() == [0, *range(2, 300, 3), *range(0, 300, 3), *range(1, 300, 3)]


def test_no_mistakes_leave_the_record() -> None:
    showcase = choose(IMAGES, PROBABILITIES.argmax(axis=1), PROBABILITIES, CLASSES, 3)
    assert showcase.rows.tolist() == [3]
    assert showcase.images.shape == (1, 2, 2)
    assert showcase.probabilities.shape == (1, 3)


@pytest.mark.parametrize("record", [6, 7, 10000])
def test_a_record_beyond_the_test_set_is_refused_and_named(record: int) -> None:
    with pytest.raises(ShowcaseError) as caught:
        chosen(record)
    assert str(caught.value) == f"evaluate.record must be below the 6 rows of the test set, was {record}"


@pytest.mark.parametrize("record", [0, 5])
def test_round_trip(tmp_path: Path, record: int) -> None:
    path = tmp_path / "below" / "showcase.safetensors"
    save_showcase(path, chosen(record))
    assert_equal(load_showcase(path), chosen(record))
    assert [each.name for each in path.parent.iterdir()] == [path.name]


def test_transposed_arrays(tmp_path: Path) -> None:
    showcase = replace(chosen(), images=chosen().images.T, probabilities=np.asfortranarray(chosen().probabilities))
    save_showcase(tmp_path / "showcase", showcase)
    assert_equal(load_showcase(tmp_path / "showcase"), showcase)


def test_the_same_showcase_gives_the_same_bytes(tmp_path: Path) -> None:
    for name in ("one", "other"):
        save_showcase(tmp_path / name, chosen())
    assert (tmp_path / "one").read_bytes() == (tmp_path / "other").read_bytes()


def test_a_failed_write_leaves_what_was_there(tmp_path: Path) -> None:
    path = tmp_path / "showcase.safetensors"
    path.write_bytes(b"old")
    with pytest.raises(Exception, match="dtype"):
        save_showcase(path, replace(chosen(), rows=np.array(["a"])))
    assert [each.read_bytes() for each in tmp_path.iterdir()] == [b"old"]


def assert_refused(path: Path) -> None:
    with pytest.raises(ShowcaseError) as caught:
        load_showcase(path)
    assert str(caught.value).startswith(f"{path}: must be a showcase that the evaluate stage wrote; ")


@pytest.mark.parametrize("content", [b"", b"1234567", bytes(1000), b"\xff" * 1000, b"row,label\n1,2\n" * 99])
def test_what_is_no_showcase_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "showcase.safetensors"
    path.write_bytes(content)
    assert_refused(path)


@pytest.mark.parametrize("kept", [0, 4, 8, 100, -4, -1])
def test_a_truncated_showcase_is_refused(tmp_path: Path, kept: int) -> None:
    path = tmp_path / "showcase.safetensors"
    save_showcase(path, chosen())
    path.write_bytes(path.read_bytes()[:kept])
    assert_refused(path)


@pytest.mark.parametrize("missing", ["metadata", "classes", "rows", "images", "labels", "probabilities"])
def test_a_showcase_without_a_part_is_refused(tmp_path: Path, missing: str) -> None:
    path = tmp_path / "showcase.safetensors"
    arrays = {name: np.zeros(1) for name in ("rows", "images", "labels", "probabilities") if name != missing}
    metadata = {"metadata": None, "classes": {"other": "[]"}}.get(missing, {"classes": "[]"})
    save_file(arrays, path, metadata)
    assert_refused(path)


def test_a_missing_file_and_a_folder_are_refused(tmp_path: Path) -> None:
    for path in (tmp_path / "missing", tmp_path):
        assert_refused(path)
