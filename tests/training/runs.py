"""Short training runs for tests."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor, nn

from mnist_pipeline.models.classifier import UNIT, Classifier, new_classifier
from mnist_pipeline.models.prediction import predict
from mnist_pipeline.params.schema import Params
from mnist_pipeline.training.batches import Samples, to_samples
from mnist_pipeline.training.checkpoint import Checkpoint
from mnist_pipeline.training.loop import fit
from mnist_pipeline.training.losses import loss_and_accuracy
from mnist_pipeline.training.state import History
from tests.conftest import DIGITS, synthetic_dataset

MakeParams = Callable[..., Params]

NOTHING = Samples(torch.zeros(0, 8, 8, dtype=torch.uint8), torch.zeros(0, dtype=torch.int64))
SMALL = {"model.mlp.hidden_units": [12], "train.epochs": 2, "train.batch_size": 32}
CNN = {"model.architecture": "cnn", "model.cnn.channels": [[4], [6, 8]]}


def samples(rows: int, seed: int = 0) -> Samples:
    return to_samples(synthetic_dataset(rows, seed=seed), np.arange(rows))


def untrained(params: Params, deskew: bool = False) -> Classifier:
    return new_classifier(8, DIGITS, UNIT, params.model, params.train.seed, deskew)


def trained(
    params: Params, train: Samples, validation: Samples = NOTHING, checkpoint: Checkpoint | None = None
) -> tuple[Classifier, History]:
    classifier = untrained(params)
    return classifier, fit(classifier, train, validation, params.train, params.optimizers, checkpoint)


def weights_of(network: nn.Module) -> Tensor:
    """Weights and statistics in one vector."""
    return torch.cat([tensor.flatten().to(torch.float64) for tensor in network.state_dict().values()])


def score(classifier: Classifier, samples: Samples) -> tuple[float, float]:
    """Mean loss and accuracy of the predictions."""
    return loss_and_accuracy(classifier, predict(classifier, samples.images), samples.labels)
