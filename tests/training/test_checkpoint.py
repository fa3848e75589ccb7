"""Checkpoints: written from time to time, used for their own run alone, set aside where they cannot be used."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch

from mnist_pipeline.training import checkpoint as checkpoint_module
from mnist_pipeline.training.checkpoint import Checkpoint, Saved, checkpoint_for
from tests.training.runs import MakeParams

KEY = "0" * 32


@pytest.fixture
def checkpoint(tmp_path: Path) -> Checkpoint:
    """A checkpoint that holds something."""
    checkpoint = Checkpoint(tmp_path / "new", KEY)
    checkpoint.save(Saved({"a": torch.arange(3.0), "n": torch.tensor(7)}, {"x": [1, None]}))
    return checkpoint


def test_a_discarded_checkpoint_leaves_nothing(checkpoint: Checkpoint) -> None:
    checkpoint.discard()
    checkpoint.discard()
    assert list(checkpoint.path.parent.iterdir()) == []
    assert checkpoint.load() is None


def test_the_checkpoint_of_another_run_is_set_aside(checkpoint: Checkpoint, capsys: pytest.CaptureFixture[str]) -> None:
    other = Checkpoint(checkpoint.path.parent, "1" * 32)
    checkpoint.path.rename(other.path)
    assert other.load() is None
    assert f"train: the checkpoint {other.path} belongs to another run" in capsys.readouterr().err
    assert not other.path.exists()


@pytest.mark.parametrize(
    "damaged",
    [
        pytest.param(lambda content: content[:-3], id="truncated"),
        pytest.param(lambda content: content.replace(b"rest", b"rust"), id="without a part"),
        pytest.param(lambda content: content.replace(KEY.encode(), b"1" * 32), id="another key"),
    ],
)
def test_a_damaged_checkpoint_is_set_aside_with_a_warning(
    checkpoint: Checkpoint, capsys: pytest.CaptureFixture[str], damaged: Callable[[bytes], bytes]
) -> None:
    content = damaged(checkpoint.path.read_bytes())
    checkpoint.path.write_bytes(content)
    assert checkpoint.load() is None
    warning = capsys.readouterr().err
    assert f"train: the checkpoint {checkpoint.path} is damaged" in warning
    assert f"it is not used, and is now {KEY}.unusable" in warning
    assert [path.name for path in checkpoint.path.parent.iterdir()] == [f"{KEY}.unusable"]
    assert checkpoint.path.with_suffix(".unusable").read_bytes() == content


def test_a_checkpoint_is_due_30_seconds_after_the_last(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seconds = iter([100.0, 129.0, 130.0, 132.0, 133.0])
    monkeypatch.setattr(time, "monotonic", lambda: next(seconds))
    checkpoint = Checkpoint(tmp_path, KEY)
    due = [checkpoint.due, checkpoint.due]
    checkpoint.save(Saved({}, {}))
    assert [*due, checkpoint.due] == [False, True, False]


@pytest.fixture
def key_of(make_params: MakeParams, tmp_path: Path) -> Callable[..., str]:
    """The key of a run with these settings, on the data in tmp_path."""
    (tmp_path / "data").write_text("data")
    return lambda changes: checkpoint_for(tmp_path, make_params(changes), tmp_path / "data").key


@pytest.mark.parametrize(
    ("changes", "another"),
    [
        ({"data.deskew": True}, True),
        ({"model.negative_slope": 0.5}, True),
        ({"optimizers.sgd.learning_rate": 0.5}, True),
        ({"optimizers.adam.learning_rate": 0.5}, False),  # not the chosen one
        ({"train.seed": 1}, True),
        ({"runtime.numerics": "fast"}, True),
        ({"evaluate.record": 3, "plot.mistakes": 3, "audit.steps": 3}, False),
    ],
)
def test_another_setting_of_training_gives_another_key_and_no_other_setting_does(
    key_of: Callable[..., str], changes: dict[str, Any], another: bool
) -> None:
    assert len(key_of({})) == 32
    assert (key_of(changes) != key_of({})) is another


@pytest.mark.parametrize(
    ("changes", "another"), [({}, False), ({"runtime.numerics": "fast"}, True), ({"runtime.device": "cuda"}, True)]
)
def test_another_machine_gives_another_key_where_the_bits_depend_on_it(
    key_of: Callable[..., str], monkeypatch: pytest.MonkeyPatch, changes: dict[str, Any], another: bool
) -> None:
    before = key_of(changes)
    monkeypatch.setattr(checkpoint_module, "describe_machine", lambda: {"cpu": "another"})
    assert (key_of(changes) != before) is another


def test_other_data_code_or_packages_give_another_key(
    key_of: Callable[..., str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "code.py").write_text("code")
    keys = [key_of({})]
    (tmp_path / "data").write_text("other data")
    keys.append(key_of({}))
    for name in ("elsewhere", "mnist_pipeline.added", "__main__"):
        module = ModuleType(name)
        module.__file__ = str(tmp_path / "code.py")
        monkeypatch.setitem(sys.modules, name, module)
        keys.append(key_of({}))
    (tmp_path / "code.py").write_text("other code")
    keys.append(key_of({}))
    monkeypatch.setattr(checkpoint_module, "version", lambda name: f"{name} of tomorrow")
    keys.append(key_of({}))
    assert keys[1] == keys[2]  # other packages' modules do not matter
    assert len(set(keys)) == len(keys) - 1
