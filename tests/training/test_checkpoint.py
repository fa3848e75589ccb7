"""Training that was cut off goes on to the same bits, and never from what is not its own."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from mnist_pipeline import checkpoint as checkpoint_module
from mnist_pipeline.training import loop
from mnist_pipeline.training.checkpoint import Checkpoint, State, run_key
from mnist_pipeline.models.classifier import UNIT, Classifier, new_classifier
from mnist_pipeline.params.schema import Params
from mnist_pipeline.training.loop import History, fit, samples_of
from tests.conftest import synthetic_dataset

KEY = "0" * 32
SPLIT = synthetic_dataset(230)


class Killed(BaseException):
    """What a test throws to cut a run off."""


class Interrupting(Checkpoint):
    """Saves after every batch, and dies in place of the n-th save."""

    def __init__(self, folder: Path, saves: int) -> None:
        super().__init__(folder, KEY)
        self.left = saves

    @property
    def due(self) -> bool:
        return True

    def save(self, state: State) -> None:
        if self.left == 0:
            raise Killed
        self.left -= 1
        super().save(state)


@pytest.fixture(autouse=True)
def one_batch_a_block(monkeypatch: pytest.MonkeyPatch) -> None:
    """A checkpoint can be made at the end of a block: here, after every batch."""
    monkeypatch.setattr(training, "BLOCK_SIZE", 1)


def run(params: Params, checkpoint: Checkpoint | None) -> tuple[Classifier, History]:
    classifier = new_classifier(8, SPLIT.classes, UNIT, params.model, seed=3)
    rows = np.arange(len(SPLIT.labels))
    train, validation = to_samples(SPLIT, rows[:200]), to_samples(SPLIT, rows[200:])
    return classifier, fit(classifier, train, validation, params.train, params.optimizers, checkpoint)


VARIANTS: dict[str, dict[str, Any]] = {
    "sgd, one_cycle": {},
    "sgd without momentum, constant": {
        "train.schedule": "constant",
        "optimizers.sgd.momentum": 0.0,
        "optimizers.sgd.nesterov": False,
    },
    "adam, cosine": {"model.optimizer": "adam", "train.schedule": "cosine"},
    "adamw, one_cycle, file order": {"model.optimizer": "adamw", "train.shuffle": False},
    "cnn, distorted images": {
        "model.architecture": "cnn",
        "model.cnn.channels": [[4], [6, 8]],
        "train.augmentation.shift": 1,
        "train.augmentation.elastic_alpha": 8,
    },
}


@pytest.mark.parametrize("changes", VARIANTS.values(), ids=VARIANTS)
@pytest.mark.parametrize("saves", [1, 4, 7, 8, 9, 22])
def test_a_run_cut_off_anywhere_ends_in_the_same_bits(
    make_params: Callable[..., Params], tmp_path: Path, changes: dict[str, Any], saves: int
) -> None:
    params = make_params({"train.epochs": 3, "train.batch_size": 32, "train.log_every": 2, **changes})
    expected, history = run(params, None)
    with pytest.raises(Killed):
        run(params, Interrupting(tmp_path, saves))
    resumed, resumed_history = run(params, Checkpoint(tmp_path, KEY))
    assert resumed_history == history
    for name, tensor in expected.state_dict().items():
        assert torch.equal(tensor, resumed.state_dict()[name]), name


def test_a_finished_run_is_not_run_again(make_params: Callable[..., Params], tmp_path: Path) -> None:
    params = make_params({"train.epochs": 2, "train.batch_size": 50})
    expected, history = run(params, Checkpoint(tmp_path, KEY))
    again, same = run(params, Interrupting(tmp_path, saves=0))  # would die at the first batch
    assert same == history
    assert all(torch.equal(a, b) for a, b in zip(expected.parameters(), again.parameters(), strict=True))


def test_going_on_says_where(
    make_params: Callable[..., Params], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    params = make_params({"train.epochs": 2, "train.batch_size": 50})
    with pytest.raises(Killed):
        run(params, Interrupting(tmp_path, saves=7))  # four batches, the epoch, two batches
    run(params, Checkpoint(tmp_path, KEY))
    assert "going on from epoch 2, batch 2" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        pytest.param(lambda path: path.write_bytes(path.read_bytes()[:-100]), "is damaged", id="truncated"),
        pytest.param(lambda path: path.write_bytes(b"garbage"), "is damaged", id="garbage"),
        pytest.param(lambda path: path.write_bytes(b""), "is damaged", id="empty"),
        pytest.param(
            lambda path: path.write_bytes(path.read_bytes().replace(KEY.encode(), b"1" * 32)),
            "belongs to another run",
            id="foreign",
        ),
    ],
)
def test_an_unusable_checkpoint_is_set_aside_with_a_warning(
    make_params: Callable[..., Params],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    damage: Callable[[Path], None],
    reason: str,
) -> None:
    params = make_params({"train.epochs": 2, "train.batch_size": 50})
    expected, history = run(params, None)
    with pytest.raises(Killed):
        run(params, Interrupting(tmp_path, saves=3))
    damage(tmp_path / f"{KEY}.safetensors")
    got, same = run(params, Checkpoint(tmp_path, KEY))
    assert reason in capsys.readouterr().err
    assert (tmp_path / f"{KEY}.unusable").exists()
    assert same == history
    assert all(torch.equal(a, b) for a, b in zip(expected.parameters(), got.parameters(), strict=True))


def test_one_is_due_after_a_while(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seconds = iter([100.0, 129.0, 131.0, 132.0, 133.0])
    monkeypatch.setattr(time, "monotonic", lambda: next(seconds))
    checkpoint = Checkpoint(tmp_path, KEY)
    due = [checkpoint.due, checkpoint.due]
    checkpoint.save(State({}, {}))
    assert [*due, checkpoint.due] == [False, True, False]


def test_discard_leaves_nothing(tmp_path: Path) -> None:
    checkpoint = Checkpoint(tmp_path, KEY)
    checkpoint.save(State({"a": torch.ones(2)}, {"x": 1}))
    checkpoint.discard()
    checkpoint.discard()
    assert list(tmp_path.iterdir()) == []
    assert checkpoint.load() is None


def test_the_key_covers_all_that_determines_a_run(tmp_path: Path) -> None:
    data, other_data, code, other_code = (tmp_path / name for name in ("data", "other_data", "code", "other_code"))
    for path in (data, other_data, code, other_code):
        path.write_text(path.name)
    keys = {
        run_key({"seed": 0}, data, [code], None),
        run_key({"seed": 1}, data, [code], None),
        run_key({"seed": 0}, other_data, [code], None),
        run_key({"seed": 0}, data, [other_code], None),
        run_key({"seed": 0}, data, [code, other_code], None),
        run_key({"seed": 0}, data, [code], {"cpu": "this one"}),
    }
    assert len(keys) == 6
    assert run_key({"seed": 0}, data, [code], None) in keys


def test_the_key_covers_the_packages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = tmp_path / "data"
    data.write_text("x")
    before = run_key({}, data, [], None)
    monkeypatch.setattr(checkpoint_module, "version", lambda name: f"{name} of tomorrow")
    assert run_key({}, data, [], None) != before
