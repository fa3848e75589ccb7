"""Ensembles: networks that are trained on their own, from other weights, on other orders, and answer together."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from statistics import fmean

from mnist_pipeline.core.numerics import threads
from mnist_pipeline.models.classifier import Classifier
from mnist_pipeline.params.model import OptimizersParams
from mnist_pipeline.params.run import TrainParams
from mnist_pipeline.params.schema import Params
from mnist_pipeline.training.batches import Samples, derive_seed
from mnist_pipeline.training.checkpoint import Checkpoint, checkpoint_for
from mnist_pipeline.training.loop import fit
from mnist_pipeline.training.shards import is_distributed
from mnist_pipeline.training.state import Epoch, History, Step


def member_params(params: TrainParams, member: int) -> TrainParams:
    """Return how a member is trained: the first as a single network would be, others with seeds of their own."""
    return params.model_copy(update={"seed": derive_seed(params.seed, 0, 0, member) % 2**32}) if member else params


def checkpoints_for(folder: Path, params: Params, data: Path) -> list[Checkpoint]:
    """Return a checkpoint for each member; see ``checkpoint_for``."""
    trains = [member_params(params.train, member) for member in range(params.model.members)]
    return [checkpoint_for(folder, params.model_copy(update={"train": train}), data) for train in trains]


def fit_members(
    classifier: Classifier,
    train: Samples,
    validation: Samples,
    params: TrainParams,
    optimizers: OptimizersParams,
    checkpoints: Sequence[Checkpoint | None],
    mixed_precision: bool = False,
) -> History:
    """Train each member of a classifier in place; see ``fit``. Cores share the members, to the same bits.

    Returns:
        The mean over the members of each figure.
    """
    # Processes exchange gradients, and must do so in the same order.
    one_by_one = is_distributed() or threads.number == 1

    def fit_member(number: int, member: Classifier) -> History:
        own, checkpoint, shown = member_params(params, number), checkpoints[number], one_by_one or number == 0
        return fit(member, train, validation, own, optimizers, checkpoint, mixed_precision, shown=shown)

    members = classifier.members()
    histories = list((map if one_by_one else threads.in_order)(fit_member, range(len(members)), members))
    classifier.eval()
    return histories[0] if len(histories) == 1 else mean_history(histories)


def mean_history(histories: Sequence[History]) -> History:
    """Return the mean of each figure over runs with as many steps."""
    epochs = [
        Epoch(
            each[0].epoch,
            each[0].learning_rate,
            fmean(one.train_loss for one in each),
            _mean([one.validation_loss for one in each]),
            fmean(one.train_accuracy for one in each),
            _mean([one.validation_accuracy for one in each]),
        )
        for each in zip(*(history.epochs for history in histories), strict=True)
    ]
    steps = zip(*(history.steps for history in histories), strict=True)
    return History(epochs, [Step(each[0].step, fmean(one.loss for one in each)) for each in steps])


def _mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return fmean(known) if known else None
