"""Training on a GPU, where there is one; on a CPU, that the host reads nothing that it would wait for."""

from __future__ import annotations

import warnings
from typing import Any

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from mnist_pipeline.core import numerics
from mnist_pipeline.core.errors import PipelineError
from mnist_pipeline.models.classifier import Classifier
from mnist_pipeline.params.schema import Params
from mnist_pipeline.training.loop import fit
from tests.training.runs import MakeParams, samples, untrained

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


def trained_on(device: str, params: Params, rows: int) -> Classifier:
    classifier, data = untrained(params).to(numerics.device(device)), samples(rows)
    fit(classifier, data, data, params.train, params.optimizers)
    return classifier


@pytest.mark.skipif(torch.cuda.is_available(), reason="needs a machine without a GPU")
def test_without_a_gpu_it_says_so() -> None:
    with pytest.raises(PipelineError, match=r"runtime\.device is cuda, and PyTorch .* finds no GPU; use -S"):
        numerics.device("cuda")


class HostReads(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Counts what would have the host wait for a GPU: item(), bool() and the like; tolist() is not seen on a CPU."""

    count = 0

    def __torch_dispatch__(
        self, function: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        self.count += function is torch.ops.aten._local_scalar_dense.default
        return function(*args, **(kwargs or {}))


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize(
    ("architecture", "optimizer", "schedule"), [("mlp", "sgd", "one_cycle"), ("cnn", "adam", "constant")]
)
def test_no_step_has_the_host_read_a_number(
    make_params: MakeParams, loss: str, architecture: str, optimizer: str, schedule: str
) -> None:
    """Many steps of an epoch ask for as many numbers as few do."""
    choices = {"model.architecture": architecture, "model.optimizer": optimizer, "train.schedule": schedule}
    params = make_params(EVERYTHING | LOSSES[loss] | choices)
    counts = []
    for rows in (64, 320):
        with HostReads() as reads:  # type: ignore[no-untyped-call]
            trained_on("cpu", params, rows)
        counts.append(reads.count)
    assert counts[0] == counts[1] > 0


@on_a_gpu
@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_one_seed_gives_the_same_bits_twice(make_params: MakeParams, architecture: str) -> None:
    params = make_params(EVERYTHING | {"model.architecture": architecture})
    first, second = (trained_on("cuda", params, 400) for _ in range(2))
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
            trained_on("cuda", params, rows)
        torch.cuda.set_sync_debug_mode("default")
        waits.append(sum("synchroniz" in str(each.message) for each in caught))
    assert waits[0] == waits[1]
