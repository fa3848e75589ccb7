"""Ensembles: each member is trained as if it were alone, whoever computes it, and all answer together."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from mnist_pipeline.core.errors import PipelineError
from mnist_pipeline.core.numerics import threads
from mnist_pipeline.deploy.onnx_check import check_agreement
from mnist_pipeline.deploy.onnx_export import save_onnx
from mnist_pipeline.models.classifier import Classifier, load_classifier, save_classifier
from mnist_pipeline.models.prediction import predict
from mnist_pipeline.models.registry import count_macs
from mnist_pipeline.params.schema import Params
from mnist_pipeline.training.checkpoint import Checkpoint, Saved
from mnist_pipeline.training.ensemble import checkpoints_for, fit_members, member_params
from mnist_pipeline.training.state import History
from tests.training.runs import CNN, SMALL, MakeParams, samples, trained, untrained, weights_of

TRAIN, VALIDATION = samples(100), samples(40, seed=1)


def fitted(params: Params, checkpoints: list[Checkpoint] | None = None) -> tuple[Classifier, History]:
    classifier, settings = untrained(params), (params.train, params.optimizers)
    return classifier, fit_members(
        classifier, TRAIN, VALIDATION, *settings, checkpoints or [None] * params.model.members
    )


@pytest.mark.parametrize("changes", [SMALL, {**SMALL, **CNN}])
def test_the_first_member_is_the_single_network_and_the_outputs_are_means(
    make_params: MakeParams, changes: dict[str, object]
) -> None:
    ensemble, history = fitted(make_params({**changes, "model.members": 3}))
    alone, single = trained(make_params(changes), TRAIN, VALIDATION)
    members = ensemble.members()
    assert torch.equal(weights_of(members[0]), weights_of(alone))
    assert len({tuple(weights_of(member).tolist()) for member in members}) == 3
    outputs = [predict(member, VALIDATION.images) for member in members]
    assert torch.allclose(predict(ensemble, VALIDATION.images), torch.stack(outputs).mean(0), atol=1e-6)
    assert count_macs(ensemble.network, 64) == 3 * count_macs(alone.network, 64)
    assert [each.epoch for each in history.epochs] == [each.epoch for each in single.epochs]
    assert history.epochs[-1].train_loss != single.epochs[-1].train_loss


def test_two_threads_give_the_bits_of_one(make_params: MakeParams, monkeypatch: pytest.MonkeyPatch) -> None:
    params, found = make_params({**SMALL, "model.members": 3}), []
    for number in (1, 2):
        monkeypatch.setattr(threads, "number", number)
        classifier, history = fitted(params)
        found.append((weights_of(classifier).tolist(), history))
    assert found[0] == found[1]


class Killed(Exception):  # noqa: N818
    pass


class DiesInTheSecond(Checkpoint):
    """Ends the run while the second member trains."""

    def save(self, saved: Saved) -> None:
        super().save(saved)
        raise Killed


def test_a_killed_run_trains_no_member_again(make_params: MakeParams, tmp_path: Path) -> None:
    (data := tmp_path / "train").write_bytes(b"data")
    params = make_params({**SMALL, "model.members": 3})
    expected, _ = fitted(params)
    first, second, third = checkpoints_for(tmp_path, params, data)
    assert len({first.key, second.key, third.key}) == 3
    with pytest.raises(Killed):
        fitted(params, [first, DiesInTheSecond(tmp_path, second.key), third])
    assert first.load() is not None
    first.save = None  # type: ignore[assignment,method-assign]  # would fail if an epoch were trained
    again, _ = fitted(params, [first, second, third])
    assert torch.equal(weights_of(again), weights_of(expected))


def test_the_model_file_and_onnx_have_all_members(make_params: MakeParams, tmp_path: Path) -> None:
    classifier, _ = fitted(make_params({**SMALL, "model.members": 2}))
    save_classifier(tmp_path / "model", classifier)
    loaded = load_classifier(tmp_path / "model")
    assert loaded.params.members == 2
    outputs = predict(loaded, VALIDATION.images)
    assert torch.equal(outputs, predict(classifier, VALIDATION.images))
    save_onnx(tmp_path / "onnx", loaded)
    probabilities = loaded.probabilities(outputs).numpy()
    check_agreement(tmp_path / "onnx", VALIDATION.images.numpy(), probabilities, np.ones(len(VALIDATION)))
    loaded.members()[1].requires_grad_(False).network.get_parameter("0.weight").zero_()
    wrong = loaded.probabilities(predict(loaded, VALIDATION.images)).numpy()
    with pytest.raises(PipelineError):
        check_agreement(tmp_path / "onnx", VALIDATION.images.numpy(), wrong, np.ones(len(VALIDATION)))


def test_seeds_of_members_differ(make_params: MakeParams) -> None:
    train = make_params().train
    seeds = {
        member_params(train.model_copy(update={"seed": seed}), member).seed for seed in range(9) for member in range(9)
    }
    assert len(seeds) == 81
    assert member_params(train, 0) == train
