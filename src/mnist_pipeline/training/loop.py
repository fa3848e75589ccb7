"""The training loop."""

from __future__ import annotations

from contextlib import nullcontext
from functools import partial

import torch
from torch import Tensor, nn

from mnist_pipeline.models.classifier import Classifier, device_of
from mnist_pipeline.params.model import OptimizersParams
from mnist_pipeline.params.run import TrainParams
from mnist_pipeline.training.batches import Blocks, Samples, upright_samples
from mnist_pipeline.training.checkpoint import Checkpoint
from mnist_pipeline.training.losses import make_loss
from mnist_pipeline.training.optimizers import make_optimizer, make_schedule
from mnist_pipeline.training.shards import Shards
from mnist_pipeline.training.state import History, TrainingState


def fit(
    classifier: Classifier,
    train: Samples,
    validation: Samples,
    params: TrainParams,
    optimizers: OptimizersParams,
    checkpoint: Checkpoint | None = None,
    mixed_precision: bool = False,
    *,
    shown: bool = True,
) -> History:
    """Train a network in place, on its device, and score it on ``validation`` (may be empty) after every epoch.

    With a ``checkpoint``, resume from it if there is one, to the same bits. ``mixed_precision`` computes the network in
    bfloat16; weights, loss and optimizer stay float32 (Micikevicius et al. 2018). Raises ``PipelineError`` if the loss
    or a weight becomes infinite or NaN. Progress is reported if there is a checkpoint, unless ``shown`` is false.
    """
    device = device_of(classifier)
    blocks = Blocks(classifier, train.to(device), params)
    validation = upright_samples(classifier, validation.to(device))
    loss_function = make_loss(classifier.params.loss)
    optimizer = make_optimizer(classifier.params.optimizer, optimizers, classifier.parameters())
    schedule = make_schedule(params.schedule, optimizer, steps=params.epochs * blocks.batches)
    autocast = partial(torch.autocast, device.type, torch.bfloat16) if mixed_precision else nullcontext

    def forward(network: nn.Module, inputs: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        with autocast():
            outputs = network(inputs).float()  # (b, classes)
        return loss_function(outputs, labels), outputs

    shards = Shards(classifier.network, params.shards)
    state = TrainingState(classifier, optimizer, schedule, params, checkpoint, shown=shown)
    while state.progress.epoch <= params.epochs:
        state.start_epoch(blocks.batches)
        for block in blocks.of_epoch(state.progress.epoch, done=state.progress.batch):
            steps = []
            for inputs, labels in block.batches(params.batch_size):  # (b, side²), (b,)
                optimizer.zero_grad()
                steps.append(shards.backward(forward, inputs, labels))  # (), (b, classes)
                optimizer.step()
                schedule.step()
            state.record(steps, block.labels)
        state.finish_epoch(len(train), validation)
    classifier.eval()
    return state.progress.history
