"""The training loop, against plain loops and NumPy written here."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import astuple
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from mnist_pipeline import classifier as classifier_module
from mnist_pipeline import training as training_module
from mnist_pipeline.models.classifier import UNIT, Classifier, Scaling, new_classifier, predict
from mnist_pipeline.models.deskew import deskewed
from mnist_pipeline.training.optimizers import make_loss
from mnist_pipeline.params.schema import Params
from mnist_pipeline.training.loop import (
    Epoch,
    History,
    Samples,
    Step,
    PipelineError,
    epoch_order,
    examples_of,
    fit,
    samples_of,
    scaling_of,
    score,
    summary,
)
from tests.conftest import DIGITS, synthetic_dataset

MakeParams = Callable[..., Params]


def samples(rows: int, **settings: Any) -> Samples:
    split = synthetic_dataset(rows, **settings)
    return to_samples(split, np.arange(rows))


NOTHING = Samples(torch.zeros(0, 8, 8, dtype=torch.uint8), torch.zeros(0, dtype=torch.int64))
TUTORIAL_LOOP = {
    "train.batch_size": 1,
    "train.shuffle": False,
    "train.schedule": "constant",
    "optimizers.sgd": {"learning_rate": 0.01, "momentum": 0.0, "nesterov": False, "weight_decay": 0.0},
    "optimizers.adam": {"learning_rate": 0.001, "beta1": 0.9, "beta2": 0.999, "epsilon": 1e-8, "weight_decay": 0.0},
}
SMALL = {"model.mlp.hidden_units": [12], "train.epochs": 2, "train.batch_size": 32}


def trained(params: Params, train: Samples, validation: Samples = NOTHING) -> tuple[Classifier, History]:
    side = train.images.shape[1]
    classifier = new_classifier(side, DIGITS, UNIT, params.model, params.train.seed)
    return classifier, fit(classifier, train, validation, params.train, params.optimizers)


def weights_of(classifier: nn.Module) -> Tensor:
    return torch.cat([parameter.detach().flatten() for parameter in classifier.parameters()])


def test_one_step_by_hand(make_params: MakeParams) -> None:
    """Two layers of sigmoids, MSE against one-hot, SGD: the chain rule in NumPy."""
    changes = {
        "model.mlp.hidden_units": [3],
        "model.hidden_activation": "sigmoid",
        "model.mlp.layer_norm": False,
        "model.output_activation": "sigmoid",
        "model.loss": "mse",
        "train.epochs": 1,
        **TUTORIAL_LOOP,
        "optimizers.sgd": {"learning_rate": 0.7, "momentum": 0.0, "nesterov": False, "weight_decay": 0.0},
    }
    params = make_params(changes)
    classifier = new_classifier(2, ("no", "yes"), UNIT, params.model, seed=4)
    w1, b1, w2, b2 = (parameter.detach().numpy().astype(np.float64) for parameter in classifier.parameters())
    pixels, label = [[0, 100], [200, 255]], 1

    x = np.array(pixels).reshape(4) / 255
    hidden = 1 / (1 + np.exp(-(w1 @ x + b1)))
    output = 1 / (1 + np.exp(-(w2 @ hidden + b2)))
    target = np.eye(2)[label]
    towards_output = 2 * (output - target) / 2 * output * (1 - output)
    towards_hidden = w2.T @ towards_output * hidden * (1 - hidden)
    expected = {
        "network.0.weight": w1 - 0.7 * np.outer(towards_hidden, x),
        "network.0.bias": b1 - 0.7 * towards_hidden,
        "network.2.weight": w2 - 0.7 * np.outer(towards_output, hidden),
        "network.2.bias": b2 - 0.7 * towards_output,
    }

    train = Samples(torch.tensor([pixels], dtype=torch.uint8), torch.tensor([label]))
    history = fit(classifier, train, NOTHING, params.train, params.optimizers)
    assert history.epochs[0].train_loss == pytest.approx(((output - target) ** 2).mean(), rel=1e-5)
    for name, tensor in classifier.state_dict().items():
        np.testing.assert_allclose(tensor.numpy(), expected[name], rtol=0, atol=1e-6, err_msg=name)


def tutorial_network(layer_norm: bool, activations: Callable[[], nn.Module], output: nn.Module) -> nn.Sequential:
    middle = [nn.LayerNorm(12)] if layer_norm else []
    return nn.Sequential(nn.Linear(64, 12), activations(), *middle, nn.Linear(12, 10), output)


def tutorials_loop(
    network: nn.Sequential, loss: nn.Module, optimizer: torch.optim.Optimizer, epochs: int
) -> list[float]:
    """As the tutorial does it: one image after the other, in the order of the file; every loss."""
    split, losses = synthetic_dataset(150), []
    for _ in range(epochs):
        for image, label in zip(split.images, split.labels, strict=True):
            inputs = torch.tensor(image.reshape(-1).tolist()) / 255.0
            target = torch.zeros(10)
            target[int(label)] = 1.0
            error = loss(network(inputs), target)
            optimizer.zero_grad()
            error.backward()
            optimizer.step()
            losses.append(error.item())
    return losses


@pytest.mark.parametrize(
    ("hidden", "layer_norm", "output", "loss", "optimizer"),
    [
        ("sigmoid", False, "sigmoid", "mse", "sgd"),
        ("sigmoid", False, "sigmoid", "bce", "sgd"),
        ("leaky_relu", False, "leaky_relu", "mse", "sgd"),
        ("leaky_relu", False, "leaky_relu", "mse", "adam"),
        ("leaky_relu", True, "leaky_relu", "mse", "sgd"),
        ("leaky_relu", True, "sigmoid", "bce", "sgd"),
        ("leaky_relu", True, "sigmoid", "bce", "adam"),
    ],
    ids=["start", "1-loss", "2-activation", "3-optimizer", "4-norm", "5-sgd", "5-adam"],
)
def test_the_tutorials_loop_gives_the_same_weights(
    make_params: MakeParams, hidden: str, layer_norm: bool, output: str, loss: str, optimizer: str
) -> None:
    changes = {
        "model.mlp.hidden_units": [12],
        "model.hidden_activation": hidden,
        "model.mlp.layer_norm": layer_norm,
        "model.output_activation": output,
        "model.loss": loss,
        "model.optimizer": optimizer,
        "train.epochs": 2,
        "train.seed": 6,
        **TUTORIAL_LOOP,
    }
    classifier, history = trained(make_params(changes), samples(150))

    def activation(name: str) -> nn.Module:
        return nn.Sigmoid() if name == "sigmoid" else nn.LeakyReLU(0.02)

    torch.manual_seed(6)
    network = tutorial_network(layer_norm, lambda: activation(hidden), activation(output))
    parameters = network.parameters()
    kind = torch.optim.SGD(parameters, lr=0.01) if optimizer == "sgd" else torch.optim.Adam(parameters)
    losses = tutorials_loop(network, nn.MSELoss() if loss == "mse" else nn.BCELoss(), kind, epochs=2)

    torch.testing.assert_close(weights_of(classifier), weights_of(network), rtol=0, atol=1e-6)
    assert [step.step for step in history.steps] == list(range(10, 301, 10))
    assert [step.loss for step in history.steps] == pytest.approx(losses[9::10], abs=1e-6)
    assert [epoch.train_loss for epoch in history.epochs] == pytest.approx(
        [np.mean(losses[:150]), np.mean(losses[150:])], abs=1e-6
    )


@pytest.mark.parametrize("batch_size", [7, 25, 32, 500])
def test_batches_give_the_weights_of_a_plain_loop(make_params: MakeParams, batch_size: int) -> None:
    """With all that the default params have: cross-entropy, LayerNorm, Nesterov, weight decay, one cycle."""
    params = make_params({**SMALL, "train.batch_size": batch_size, "train.shuffle": False})
    train = samples(100)
    classifier, _ = trained(params, train)

    torch.manual_seed(params.train.seed)
    network = nn.Sequential(nn.Linear(64, 12), nn.LeakyReLU(0.02), nn.LayerNorm(12), nn.Linear(12, 10))
    optimizer = torch.optim.SGD(network.parameters(), lr=0.2, momentum=0.9, nesterov=True, weight_decay=0.0005)
    steps = 2 * math.ceil(100 / batch_size)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 0.2, total_steps=steps, cycle_momentum=False)
    for _ in range(2):
        for start in range(0, 100, batch_size):
            chosen = slice(start, start + batch_size)
            error = nn.CrossEntropyLoss()(network(train.images[chosen].flatten(1) / 255), train.labels[chosen])
            optimizer.zero_grad()
            error.backward()
            optimizer.step()
            schedule.step()
    torch.testing.assert_close(weights_of(classifier), weights_of(network), rtol=0, atol=1e-5)


@pytest.mark.parametrize("scaling", ["unit", "standard"])
@pytest.mark.parametrize(
    "changes",
    [{}, {"model.optimizer": "adamw"}, {"model.loss": "bce", "model.output_activation": "sigmoid"}],
    ids=["default", "adamw", "bce"],
)
def test_it_learns(make_params: MakeParams, scaling: str, changes: dict[str, Any]) -> None:
    params = make_params({"model.mlp.hidden_units": [30], "train.epochs": 8, "train.batch_size": 32, **changes})
    train, validation = samples(600), samples(200, seed=1)
    classifier = new_classifier(8, DIGITS, scaling_of(train, scaling), params.model, 0)
    history = fit(classifier, train, validation, params.train, params.optimizers)
    first, last = history.epochs[0], history.epochs[-1]
    assert last.validation_accuracy is not None
    assert last.validation_accuracy > 0.95
    assert last.train_accuracy > 0.95
    assert last.train_loss < first.train_loss / 2


def test_the_same_seed_gives_the_same_bits(make_params: MakeParams) -> None:
    params, train, validation = make_params(SMALL), samples(100), samples(30, seed=1)
    torch.manual_seed(1)
    one, first = trained(params, train, validation)
    torch.manual_seed(2)
    two, second = trained(params, train, validation)
    assert torch.equal(weights_of(one), weights_of(two))
    assert first == second


@pytest.mark.parametrize("shuffle", [True, False])
def test_another_seed_gives_other_weights(make_params: MakeParams, shuffle: bool) -> None:
    one, two = (
        trained(make_params({**SMALL, "train.seed": seed, "train.shuffle": shuffle}), samples(100))[0]
        for seed in (1, 2)
    )
    assert not torch.allclose(weights_of(one), weights_of(two), atol=1e-3)


def test_the_seed_decides_the_order_as_well(make_params: MakeParams) -> None:
    """The same initial weights and another order give other weights."""
    results = []
    for seed in (1, 2):
        params = make_params({**SMALL, "train.seed": seed})
        classifier = new_classifier(8, DIGITS, UNIT, params.model, seed=0)
        fit(classifier, samples(100), NOTHING, params.train, params.optimizers)
        results.append(weights_of(classifier))
    assert not torch.allclose(results[0], results[1], atol=1e-4)


@pytest.mark.parametrize(
    ("rows", "batch_size", "sizes"),
    [(10, 4, [4, 4, 2]), (8, 4, [4, 4]), (9, 4, [4, 4, 1]), (3, 128, [3]), (3, 1, [1, 1, 1])],
)
def test_every_sample_is_visited_once_an_epoch(
    make_params: MakeParams, rows: int, batch_size: int, sizes: list[int]
) -> None:
    images = torch.arange(rows, dtype=torch.uint8).reshape(rows, 1, 1)  # the image tells the row
    params = make_params({**SMALL, "train.batch_size": batch_size, "train.epochs": 3})
    classifier = new_classifier(1, DIGITS, UNIT, params.model, 0)
    visited: list[list[int]] = []
    classifier.network.register_forward_pre_hook(
        lambda _, args: visited.append((args[0] * 255).round().to(torch.int64).flatten().tolist())
    )
    fit(classifier, Samples(images, torch.zeros(rows, dtype=torch.int64)), NOTHING, params.train, params.optimizers)
    assert [len(batch) for batch in visited] == sizes * 3
    for epoch in range(3):
        order = [row for batch in visited[epoch * len(sizes) : (epoch + 1) * len(sizes)] for row in batch]
        assert order == epoch_order(rows, params.train, epoch + 1).tolist()
        assert sorted(order) == list(range(rows))


@pytest.mark.parametrize("block", [1, 8, 50, 10_000])
def test_blocks_change_nothing(make_params: MakeParams, monkeypatch: pytest.MonkeyPatch, block: int) -> None:
    params = make_params({**SMALL, "train.batch_size": 8, "train.log_every": 3})
    expected, history = trained(params, samples(100), samples(20, seed=1))
    monkeypatch.setattr(training_module, "BLOCK_SIZE", block)
    classifier, same = trained(params, samples(100), samples(20, seed=1))
    assert same == history
    assert torch.equal(weights_of(classifier), weights_of(expected))


def test_an_epochs_order_is_a_permutation_of_its_own(make_params: MakeParams) -> None:
    params = make_params().train
    orders = [epoch_order(50, params, epoch) for epoch in (1, 2, 3)]
    for order in orders:
        assert sorted(order.tolist()) == list(range(50))
        assert order.dtype == torch.int64
    assert len({tuple(order.tolist()) for order in [*orders, torch.arange(50)]}) == 4


def test_an_epochs_order_depends_on_the_seed_and_the_epoch_alone(make_params: MakeParams) -> None:
    params = make_params().train
    torch.manual_seed(1)
    expected = epoch_order(50, params, 2)
    torch.manual_seed(2)
    state = torch.get_rng_state()
    for epoch in (3, 1):
        epoch_order(50, params, epoch)
    assert torch.equal(epoch_order(50, params, 2), expected)
    assert torch.equal(torch.get_rng_state(), state)
    assert not torch.equal(epoch_order(50, make_params({"train.seed": 1}).train, 2), expected)
    assert torch.equal(epoch_order(50, make_params({"train.epochs": 99}).train, 2), expected)
    assert len(epoch_order(50, make_params({"train.seed": 2**32 - 1}).train, 1)) == 50


def test_without_shuffling_the_order_is_that_of_the_file(make_params: MakeParams) -> None:
    params = make_params({"train.shuffle": False}).train
    assert all(epoch_order(20, params, epoch).tolist() == list(range(20)) for epoch in (1, 2))


def test_without_validation_rows_there_are_no_validation_figures(make_params: MakeParams) -> None:
    classifier, history = trained(make_params(SMALL), samples(50))
    assert [(epoch.validation_loss, epoch.validation_accuracy) for epoch in history.epochs] == [(None, None)] * 2
    assert not classifier.training


def test_history_has_a_row_an_epoch_and_a_step_every_log_every(make_params: MakeParams) -> None:
    changes = {**SMALL, "train.epochs": 5, "train.batch_size": 20, "train.log_every": 4, "train.schedule": "cosine"}
    _, history = trained(make_params(changes), samples(50), samples(20, seed=1))
    assert [epoch.epoch for epoch in history.epochs] == [1, 2, 3, 4, 5]
    assert [step.step for step in history.steps] == [4, 8, 12]  # of 15
    expected = [0.2 * (1 + math.cos(math.pi * step / 15)) / 2 for step in (0, 3, 6, 9, 12)]
    assert [epoch.learning_rate for epoch in history.epochs] == pytest.approx(expected)


def test_training_figures_count_a_short_batch_for_what_it_is(make_params: MakeParams) -> None:
    """At a learning rate that changes nothing, the figures of an epoch are those of the whole training set."""
    still = {"learning_rate": 1e-30, "momentum": 0.0, "nesterov": False, "weight_decay": 0.0}
    params = make_params({**SMALL, "optimizers.sgd": still, "train.batch_size": 4, "train.log_every": 1})
    train, validation = samples(10), samples(30, seed=1)
    classifier, history = trained(params, train, validation)
    loss_of = make_loss("cross_entropy")
    losses = [step.loss for step in history.steps[:3]]
    loss, accuracy = score(classifier, train, loss_of)
    assert history.epochs[0].train_loss == pytest.approx(loss, rel=1e-6)
    assert history.epochs[0].train_loss != pytest.approx(np.mean(losses), rel=1e-4)  # so this test can fail
    assert history.epochs[0].train_accuracy == accuracy
    assert (history.epochs[0].validation_loss, history.epochs[0].validation_accuracy) == score(
        classifier, validation, loss_of
    )


def test_validation_figures_are_of_the_weights_at_the_end(make_params: MakeParams) -> None:
    validation = samples(40, seed=1)
    classifier, history = trained(make_params(SMALL), samples(100), validation)
    with torch.no_grad():
        outputs = classifier(validation.images)
    last = history.epochs[-1]
    assert last.validation_loss == pytest.approx(nn.CrossEntropyLoss()(outputs, validation.labels).item(), rel=1e-6)
    assert last.validation_accuracy == int((outputs.argmax(1) == validation.labels).sum()) / 40
    assert last.validation_loss != history.epochs[0].validation_loss


def test_history_is_of_one_pass_and_the_summary_of_the_predictions(make_params: MakeParams) -> None:
    train, validation = samples(100), samples(40, seed=1)
    params = make_params({**SMALL, "model.test_time_shift": 1})
    classifier = new_classifier(8, DIGITS, UNIT, params.model, 0, deskew=True)
    last = fit(classifier, train, validation, params.train, params.optimizers).epochs[-1]
    loss_of = make_loss("cross_entropy")
    ended = summary(classifier, train, validation, History([last], []))
    assert (ended["validation_loss"], ended["validation_accuracy"]) == score(classifier, validation, loss_of)
    assert ended["validation_loss"] != last.validation_loss
    classifier.params = make_params(SMALL).model  # without a shift
    assert (last.validation_loss, last.validation_accuracy) == score(classifier, validation, loss_of)


def test_validation_does_not_change_training(make_params: MakeParams) -> None:
    with_validation, without = (
        trained(make_params(SMALL), samples(100), validation)[0] for validation in (samples(30, seed=1), NOTHING)
    )
    assert torch.equal(weights_of(with_validation), weights_of(without))


DIVERGING = {"learning_rate": 1e38, "beta1": 0.9, "beta2": 0.999, "epsilon": 1e-8, "weight_decay": 0.0}


@pytest.mark.parametrize(
    ("changes", "key"),
    [
        ({"optimizers.sgd.learning_rate": 1e38}, "sgd"),
        ({"model.optimizer": "adam", "optimizers.adam": DIVERGING, "model.loss": "mse"}, "adam"),
        (
            {
                "model.optimizer": "adamw",
                "optimizers.adamw": DIVERGING,
                "model.loss": "bce",
                "model.output_activation": "sigmoid",
            },
            "adamw",
        ),
    ],
    ids=["cross_entropy", "mse", "bce"],
)
def test_a_diverging_loss_names_epoch_step_and_key(make_params: MakeParams, changes: dict[str, Any], key: str) -> None:
    steps = {"train.schedule": "constant", "train.batch_size": 8}
    params = make_params({**SMALL, "model.mlp.layer_norm": False, **steps, **changes})
    where = rf"^the loss became nan in epoch 1, step 2; lower optimizers\.{key}\.learning_rate \(was 1e\+38 "
    with pytest.raises(PipelineError, match=where):
        trained(params, samples(50))


def test_a_loss_that_is_nan_at_a_known_step(make_params: MakeParams, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[int] = []

    def loss_of(outputs: Tensor, labels: Tensor) -> Tensor:
        calls.append(len(labels))
        return outputs.mean() * (math.nan if len(calls) == 6 else 1.0)

    monkeypatch.setattr(training_module, "make_loss", lambda *_: loss_of)
    params = make_params({**SMALL, "train.batch_size": 30, "train.schedule": "constant", "train.epochs": 9})
    with pytest.raises(PipelineError, match=r"^the loss became nan in epoch 2, step 6; lower optimizers\.sgd\.lear"):
        trained(params, samples(100))
    assert calls == [30, 30, 30, 10] * 2  # what follows in the block is computed, and thrown away


def test_a_last_step_that_ruins_the_weights_is_no_success(make_params: MakeParams) -> None:
    """No further step would show it: the loss of the only one is that of the initial weights."""
    changes = {"optimizers.sgd.learning_rate": 1e39, "train.schedule": "constant", "train.epochs": 1}
    with pytest.raises(PipelineError, match=r"^a weight became (inf|nan) in epoch 1, step 1; lower optimizers\.sgd\."):
        trained(make_params({**SMALL, **changes}), samples(30))


def test_a_validation_loss_that_is_no_number_is_no_success(make_params: MakeParams) -> None:
    changes = {"optimizers.sgd.learning_rate": 1e30, "train.schedule": "constant", "train.epochs": 1}
    params = make_params({**SMALL, **changes, "model.mlp.hidden_units": [12, 12], "model.mlp.layer_norm": False})
    with pytest.raises(PipelineError, match=r"^the validation loss became (inf|nan) in epoch 1, step 1; lower optimiz"):
        trained(params, samples(30), samples(30, seed=1))


@pytest.mark.parametrize("number", [1, 999, 1000, 1001, 2000, 2001])
def test_predict_scores_every_sample_in_order(make_params: MakeParams, number: int) -> None:
    assert classifier_module.SCORED_AT_ONCE == 1000
    classifier = new_classifier(2, DIGITS, UNIT, make_params({"model.mlp.hidden_units": [3]}).model, 0)
    images = torch.from_numpy(np.random.default_rng(0).integers(0, 256, (number, 2, 2)).astype(np.uint8))
    classifier.train()
    outputs = predict(classifier, images)
    with torch.no_grad():
        expected = classifier.network(images.flatten(1) / 255)
    assert outputs.dtype == torch.float32
    assert outputs.shape == (number, 10)
    torch.testing.assert_close(outputs, expected, rtol=0, atol=1e-5)
    assert not outputs.requires_grad
    assert not classifier.training


def test_score_is_the_mean_over_all_samples(make_params: MakeParams, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(classifier_module, "SCORED_AT_ONCE", 7)
    classifier, _ = trained(make_params({**SMALL, "train.epochs": 1}), samples(20))
    validation = samples(24, seed=1)
    with torch.no_grad():
        rows = [classifier(validation.images[row : row + 1]) for row in range(24)]
    losses = [nn.CrossEntropyLoss()(row, validation.labels[i : i + 1]).item() for i, row in enumerate(rows)]
    right = [int(row.argmax()) == int(validation.labels[i]) for i, row in enumerate(rows)]
    loss, accuracy = score(classifier, validation, make_loss("cross_entropy"))
    assert loss == pytest.approx(np.mean(losses), rel=1e-5)
    assert accuracy == sum(right) / 24
    assert 0 < accuracy < 1


def test_scaling_unit_does_not_look_at_the_data() -> None:
    assert scaling_of(samples(20), "unit") == Scaling(0.0, 255.0) == scaling_of(samples(30, seed=5), "unit")


def test_scaling_standard_gives_inputs_of_mean_0_and_sd_1() -> None:
    train = samples(40, seed=3)
    pixels = train.images.numpy().astype(np.float64)
    scaling = scaling_of(train, "standard")
    assert astuple(scaling) == pytest.approx((pixels.mean(), pixels.std()), rel=1e-12)
    inputs = (pixels - scaling.mean) / scaling.sd
    assert (inputs.mean(), inputs.std()) == pytest.approx((0, 1), abs=1e-12)


def test_samples_are_the_rows_asked_for_in_that_order() -> None:
    split = synthetic_dataset(20)
    chosen = to_samples(split, np.array([7, 3, 3, 19]))
    assert len(chosen) == 4
    assert np.array_equal(chosen.images.numpy(), split.images[[7, 3, 3, 19]])
    assert chosen.labels.tolist() == split.labels[[7, 3, 3, 19]].tolist()
    assert (chosen.images.dtype, chosen.labels.dtype) == (torch.uint8, torch.int64)


@pytest.mark.parametrize("validated", [True, False])
def test_summary_is_of_the_last_epoch_and_the_predictions(make_params: MakeParams, validated: bool) -> None:
    classifier = new_classifier(8, DIGITS, UNIT, make_params({"model.mlp.hidden_units": [12]}).model, 0)
    epochs = [Epoch(1, 0.1, 0.9, 0.8, 0.5, 0.6), Epoch(2, 0.1, 0.2, 0.3, 0.9, 0.8)]
    validation = samples(30) if validated else NOTHING
    loss, accuracy = score(classifier, validation, make_loss("cross_entropy")) if validated else (None, None)
    assert summary(classifier, samples(50), validation, History(epochs, [Step(1, 5.0)])) == {
        "validation_accuracy": accuracy,
        "validation_loss": loss,
        "train_accuracy": 0.9,
        "train_loss": 0.2,
        "train_rows": 50,
        "validation_rows": 30 if validated else 0,
        "parameters": 64 * 12 + 12 + 2 * 12 + 12 * 10 + 10,
        "multiply_adds": 64 * 12 + 12 * 10,
    }


def test_standard_scaling_of_pixels_that_are_all_alike_is_refused() -> None:
    images = torch.full((4, 3, 3), 7, dtype=torch.uint8)
    with pytest.raises(PipelineError, match=r"data\.scaling standard needs pixels that differ"):
        scaling_of(Samples(images, torch.zeros(4, dtype=torch.int64)), "standard")


@pytest.mark.parametrize("shift", [0, 1])
def test_examples_are_the_first_images_and_what_augmentation_makes_of_them(make_params: MakeParams, shift: int) -> None:
    params = make_params({"train.augmentation.shift": shift}).train
    classifier = new_classifier(8, DIGITS, UNIT, make_params().model, 0)
    found = examples_of(classifier, samples(300), params)
    assert np.array_equal(found.originals, samples(300).images[:8].numpy())
    if not shift:
        assert found.distorted.shape == (8, 0, 8, 8)
        return
    assert found.distorted.shape == (8, 11, 8, 8)
    versions = found.distorted.reshape(88, -1)
    assert len(np.unique(versions, axis=0)) == 88


MIXED_CNN = {
    "model.architecture": "cnn", "model.cnn.channels": [[16], [16]], "train.epochs": 4, "train.batch_size": 32,
    "optimizers.sgd.learning_rate": 0.1,
}  # fmt: skip


def test_mixed_numerics_multiply_in_bfloat16_and_keep_float32_weights(make_params: MakeParams) -> None:
    params, train, validation = make_params(MIXED_CNN), samples(600), samples(200, seed=1)
    seen: set[tuple[bool, torch.dtype]] = set()

    def note(module: nn.Module, _: Any, output: Tensor) -> None:
        seen.add((module.training, output.dtype))

    runs = []
    for mixed in (True, True, False):
        classifier = new_classifier(8, DIGITS, UNIT, params.model, 0)
        for module in classifier.modules():
            if isinstance(module, nn.Conv2d) and mixed:
                module.register_forward_hook(note)
        history = fit(classifier, train, validation, params.train, params.optimizers, mixed=mixed)
        runs.append((weights_of(classifier), history))
    assert seen == {(True, torch.bfloat16), (False, torch.float32)}
    assert {tensor.dtype for tensor in classifier.state_dict().values()} <= {torch.float32, torch.int64}
    (one, first), (two, second), (exact, third) = runs
    assert torch.equal(one, two)
    assert first == second
    assert not torch.equal(one, exact)
    accuracies = [history.epochs[-1].validation_accuracy or 0 for history in (first, third)]
    assert accuracies[0] > 0.95
    assert accuracies[0] == pytest.approx(accuracies[1], abs=0.03)


@pytest.mark.parametrize("held_out", [80, 0])
def test_training_with_deskewing_is_training_on_deskewed_images(make_params: MakeParams, held_out: int) -> None:
    params = make_params(SMALL | {"train.augmentation.shift": 1})
    train, validation = samples(200), samples(80, seed=9) if held_out else NOTHING
    upright = [Samples(deskewed(each.images), each.labels) for each in (train, validation)]
    classifier = new_classifier(8, DIGITS, UNIT, params.model, params.train.seed, deskew=True)
    history = fit(classifier, train, validation, params.train, params.optimizers)
    expected, expected_history = trained(params, *upright)
    assert torch.equal(weights_of(classifier), weights_of(expected))
    assert history == expected_history
    shown = examples_of(classifier, train, params.train)
    assert np.array_equal(shown.originals, upright[0].images[:8].numpy())
    assert not np.array_equal(shown.originals, train.images[:8].numpy())
