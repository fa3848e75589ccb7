"""The state of training: the figures of each epoch, the same bits after a kill, an error where training diverges."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from mnist_pipeline.core.errors import PipelineError
from mnist_pipeline.core.numerics import threads
from mnist_pipeline.core.progress import read_progress, reported
from mnist_pipeline.training import batches
from mnist_pipeline.training.checkpoint import Checkpoint, Saved
from tests.training.runs import CNN, NOTHING, SMALL, MakeParams, samples, score, trained, weights_of

KEY = "0" * 32


class Killed(BaseException):
    """What ends a run in a test."""


class Interrupting(Checkpoint):
    """Saves after every block, and ends the run in place of the n-th save."""

    def __init__(self, folder: Path, saves: int) -> None:
        super().__init__(folder, KEY)
        self.left = saves

    @property
    def due(self) -> bool:
        return True

    def save(self, saved: Saved) -> None:
        if self.left == 0:
            raise Killed
        self.left -= 1
        super().save(saved)


SEVEN_BATCHES = {"model.mlp.hidden_units": [12], "train.epochs": 3, "train.batch_size": 32, "train.log_every": 2}
RUNS: dict[str, dict[str, Any]] = {
    "sgd, one_cycle": {},
    "adam, cosine": {"model.optimizer": "adam", "train.schedule": "cosine"},
    "adamw, constant": {"model.optimizer": "adamw", "train.schedule": "constant"},
    "no momentum": {"optimizers.sgd.momentum": 0.0, "optimizers.sgd.nesterov": False},
    "in the order of the file": {"train.shuffle": False},
    "shuffled in blocks": {"train.shuffle": "blocks"},
    "cnn, augmented": {**CNN, "train.augmentation.shift": 1, "train.augmentation.elastic_alpha": 8},
    "cnn, four shards": {**CNN, "train.shards": 4},
}


@pytest.mark.parametrize("changes", RUNS.values(), ids=RUNS)
def test_a_killed_run_resumes_to_the_same_bits(
    make_params: MakeParams,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    changes: dict[str, Any],
) -> None:
    """Killed in the first epoch, between two epochs, and in the last one; resumed by another number of threads."""
    monkeypatch.setattr(batches, "BLOCK_SIZE", 1)  # a checkpoint after every batch
    params, data = make_params(SEVEN_BATCHES | changes), (samples(200), samples(30, seed=1))
    expected, history = trained(params, *data)
    for saves, place in ((3, "epoch 1, batch 3"), (8, "epoch 2, batch 0"), (20, "epoch 3, batch 4")):
        monkeypatch.setattr(threads, "number", 1)
        with pytest.raises(Killed):
            trained(params, *data, Interrupting(tmp_path / place, saves))
        assert "resuming" not in capsys.readouterr().err
        monkeypatch.setattr(threads, "number", 3)
        resumed, resumed_history = trained(params, *data, Checkpoint(tmp_path / place, KEY))
        assert f"train: resuming at {place}\n" in capsys.readouterr().err
        assert resumed_history == history
        assert torch.equal(weights_of(resumed), weights_of(expected))


def test_a_finished_run_is_not_run_again(make_params: MakeParams, tmp_path: Path) -> None:
    params = make_params(SMALL)
    expected, history = trained(params, samples(100), NOTHING, Checkpoint(tmp_path, KEY))
    again, same = trained(params, samples(100), NOTHING, Interrupting(tmp_path, saves=0))
    assert same == history
    assert torch.equal(weights_of(again), weights_of(expected))


@pytest.mark.parametrize(("epochs", "printed"), [(3, [1, 2, 3]), (50, [1, *range(3, 49, 3), 50])])
def test_a_log_gets_a_line_for_each_epoch_but_no_flood_and_a_watcher_all(
    make_params: MakeParams, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
    epochs: int, printed: list[int],
) -> None:  # fmt: skip
    monkeypatch.setenv("DVC_ROOT", str(tmp_path))
    params = make_params(SMALL | {"train.epochs": epochs})
    with reported("train"):
        _, history = trained(params, samples(100), samples(30, seed=1), Checkpoint(tmp_path, KEY))
    figures = [
        f"loss {each.train_loss:.4f}, validation accuracy {each.validation_accuracy:.4f}" for each in history.epochs
    ]
    lines = capsys.readouterr().out.splitlines()
    assert lines == [f"epoch {epoch}/{epochs}: {figures[epoch - 1]}" for epoch in printed]
    (status,) = read_progress(tmp_path).values()
    assert (status.batch, status.batches) == (4 * epochs, 4 * epochs)
    assert status.accuracies == [each.validation_accuracy for each in history.epochs]
    trained(params, samples(100))  # as a fold of the audit
    assert capsys.readouterr().out == ""


def test_the_figures_of_an_epoch_are_means_over_samples(make_params: MakeParams) -> None:
    """At a learning rate that changes nothing, they are those of the whole training set."""
    still = {"learning_rate": 1e-30, "momentum": 0.0, "nesterov": False, "weight_decay": 0.0}
    params = make_params({**SMALL, "optimizers.sgd": still, "train.batch_size": 4, "train.log_every": 1})
    train = samples(10)
    classifier, history = trained(params, train)
    loss, accuracy = score(classifier, train)
    for epoch in history.epochs:
        assert epoch.train_loss == pytest.approx(loss, rel=1e-6)
        assert epoch.train_accuracy == accuracy
        assert (epoch.validation_loss, epoch.validation_accuracy) == (None, None)  # there is no validation set
    assert loss != pytest.approx(sum(step.loss for step in history.steps[:3]) / 3, rel=1e-4)


def test_validation_figures_are_of_the_weights_at_the_end_of_the_epoch(make_params: MakeParams) -> None:
    validation = samples(40, seed=1)
    classifier, history = trained(make_params(SMALL | CNN), samples(100), validation)
    first, last = history.epochs
    assert (last.validation_loss, last.validation_accuracy) == score(classifier, validation)
    assert last.validation_loss != first.validation_loss


@pytest.mark.parametrize(
    ("optimizer", "changes"),
    [
        ("sgd", {}),
        ("adam", {"model.loss": "mse"}),
        ("adamw", {"model.loss": "bce", "model.output_activation": "sigmoid"}),
    ],
    ids=["cross_entropy", "mse", "bce"],
)
def test_training_that_diverges_names_epoch_step_and_the_setting_to_lower(
    make_params: MakeParams, optimizer: str, changes: dict[str, Any]
) -> None:
    steps = {"model.mlp.layer_norm": False, "train.schedule": "constant", "train.batch_size": 8}
    rate = {"model.optimizer": optimizer, f"optimizers.{optimizer}.learning_rate": 1e38}
    message = (
        r"^training diverged: the loss became nan in epoch 1, step 2; lower "
        rf"optimizers\.{optimizer}\.learning_rate \(was 1e\+38 in this epoch\)$"
    )
    with pytest.raises(PipelineError, match=message):
        trained(make_params({**SMALL, **steps, **rate, **changes}), samples(50))


@pytest.mark.parametrize(
    ("rate", "changes", "what"),
    [
        (1e39, {}, "a weight"),
        (1e30, {"model.mlp.hidden_units": [12, 12], "model.mlp.layer_norm": False}, "the validation loss"),
    ],
)
def test_a_last_step_that_ruins_the_weights_is_noticed(
    make_params: MakeParams, rate: float, changes: dict[str, Any], what: str
) -> None:
    """No further step would show it: the loss of the only one is that of the initial weights."""
    once = {"optimizers.sgd.learning_rate": rate, "train.schedule": "constant", "train.epochs": 1}
    with pytest.raises(PipelineError, match=rf"^training diverged: {what} became (inf|nan) in epoch 1, step 1; lower"):
        trained(make_params({**SMALL, **once, **changes}), samples(30), samples(30, seed=1))
