"""Training on a GPU, where there is one; what is said where there is none."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from mnist_pipeline import numerics, objective
from mnist_pipeline.models.classifier import UNIT, Classifier, new_classifier
from mnist_pipeline.params.schema import Params
from mnist_pipeline.training.loop import fit, samples_of
from tests.conftest import synthetic_dataset

MakeParams = Callable[..., Params]
EVERYTHING: dict[str, Any] = {
    "train.epochs": 2,
    "train.batch_size": 32,
    "train.augmentation.shift": 1,
    "train.augmentation.elastic_alpha": 5,
    "model.cnn.channels": [[4], [6]],
}
ARCHITECTURES = ["mlp", "cnn"]
LOSSES = {
    "cross_entropy": {"model.loss": "cross_entropy"},
    "mse": {"model.loss": "mse", "model.output_activation": "sigmoid"},
    "bce": {"model.loss": "bce", "model.output_activation": "sigmoid"},
}
on_a_gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUBLAS_WORKSPACE_CONFIG", "")


def trained(params: Params, rows: int, device: str = "cuda") -> Classifier:
    classifier = new_classifier(8, tuple("0123456789"), UNIT, params.model, 0).to(numerics.device(device))
    samples = to_samples(synthetic_dataset(rows), np.arange(rows))
    fit(classifier, samples, samples, params.train, params.optimizers)
    return classifier


@pytest.mark.skipif(torch.cuda.is_available(), reason="needs a machine without a GPU")
def test_without_a_gpu_it_says_so() -> None:
    with pytest.raises(numerics.PipelineError, match=r"runtime\.device is cuda, and PyTorch .* finds no GPU; use -S"):
        numerics.device("cuda")


def test_the_cpu_is_always_there() -> None:
    assert numerics.device("cpu") == torch.device("cpu")


class HostReads(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Counts what would have the host wait for a GPU: item(), bool() and the like; tolist() is not seen on a CPU."""

    count = 0

    def __torch_dispatch__(
        self, function: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        self.count += function is torch.ops.aten._local_scalar_dense.default
        return function(*args, **(kwargs or {}))


def test_host_reads_are_counted() -> None:
    with HostReads() as reads:  # type: ignore[no-untyped-call]
        assert torch.ones(2).sum().item() == 2
        assert bool(torch.ones(2).any())
    assert reads.count == 2


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("architecture", ARCHITECTURES)
@pytest.mark.parametrize(("optimizer", "schedule"), [("sgd", "one_cycle"), ("adam", "constant")])
def test_no_step_has_the_host_read_a_number(
    make_params: MakeParams,
    monkeypatch: pytest.MonkeyPatch,
    loss: str,
    architecture: str,
    optimizer: str,
    schedule: str,
) -> None:
    """On a CPU, by the functions that a GPU has: many steps of an epoch ask for as many numbers as few do."""
    monkeypatch.setattr(objective, "_binary_cross_entropy", objective._binary_cross_entropy_without_sync)
    choices = {"model.architecture": architecture, "model.optimizer": optimizer, "train.schedule": schedule}
    params = make_params(EVERYTHING | LOSSES[loss] | choices)
    counts = []
    for rows in (64, 320):
        with HostReads() as reads:  # type: ignore[no-untyped-call]
            trained(params, rows, "cpu")
        counts.append(reads.count)
    assert counts[0] == counts[1]


@on_a_gpu
@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_one_seed_gives_the_same_bits_twice(make_params: MakeParams, architecture: str) -> None:
    params = make_params(EVERYTHING | {"model.architecture": architecture})
    first, second = trained(params, 400), trained(params, 400)
    for name, tensor in first.state_dict().items():
        assert torch.equal(tensor, second.state_dict()[name])


@on_a_gpu
@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_the_host_waits_as_often_for_many_steps_as_for_few(
    make_params: MakeParams, architecture: str, loss: str
) -> None:
    params = make_params(EVERYTHING | LOSSES[loss] | {"model.architecture": architecture})
    waits = []
    for rows in (100, 1000):
        torch.cuda.set_sync_debug_mode("warn")
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            trained(params, rows)
        torch.cuda.set_sync_debug_mode("default")
        waits.append(sum("synchroniz" in str(each.message) for each in caught))
    assert waits[0] == waits[1]
