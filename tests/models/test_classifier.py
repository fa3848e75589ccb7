"""The classifier: from bytes to outputs to probabilities, and into a file and back."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mnist_pipeline.models.classifier import UNIT, Classifier, Scaling, load_classifier, new_classifier, save_classifier
from mnist_pipeline.models.deskew import deskewed
from mnist_pipeline.modelfile import ModelFile, PipelineError, load_model, save_model
from mnist_pipeline.params.schema import ModelParams, Params

MakeParams = Callable[..., Params]
CLASSES = ("a", "b", "c")
SIDE = 3
STANDARD = Scaling(mean=33.3, sd=78.6)


def model_params(**changes: Any) -> ModelParams:
    """A small network with everything in it."""
    content: dict[str, Any] = {
        "architecture": "mlp",
        "mlp": {"hidden_units": [5], "layer_norm": True},
        "hidden_activation": "leaky_relu",
        "negative_slope": 0.02,
        "output_activation": "none",
        "loss": "cross_entropy",
        "optimizer": "sgd",
        "test_time_shift": 0,
    }
    return ModelParams.model_validate(content | changes)


NO_HIDDEN = {"hidden_units": [], "layer_norm": True}
SIGMOID_BCE = {"output_activation": "sigmoid", "loss": "bce"}
LEAKY_MSE = {"output_activation": "leaky_relu", "loss": "mse"}


def images_of(number: int, side: int = SIDE) -> torch.Tensor:
    random = np.random.default_rng(number)
    return torch.from_numpy(random.integers(0, 256, (number, side, side)).astype(np.uint8))


def by_hand(classifier: Classifier, images: torch.Tensor) -> Any:
    """What the network of ``model_params()`` gives, in NumPy and float64."""
    weights = {name: tensor.numpy().astype(np.float64) for name, tensor in classifier.state_dict().items()}
    pixels = images.numpy().reshape(len(images), -1).astype(np.float64)
    inputs = (pixels - classifier.scaling.mean) / classifier.scaling.sd
    hidden = inputs @ weights["network.0.weight"].T + weights["network.0.bias"]
    hidden = np.where(hidden > 0, hidden, 0.02 * hidden)
    centred = hidden - hidden.mean(axis=1, keepdims=True)
    hidden = centred / np.sqrt((centred**2).mean(axis=1, keepdims=True) + 1e-5)
    hidden = hidden * weights["network.2.weight"] + weights["network.2.bias"]
    return hidden @ weights["network.3.weight"].T + weights["network.3.bias"]


@pytest.mark.parametrize("scaling", [UNIT, STANDARD], ids=["unit", "standard"])
def test_outputs_are_those_computed_by_hand(scaling: Scaling) -> None:
    classifier = new_classifier(SIDE, CLASSES, scaling, model_params(), seed=1)
    with torch.no_grad():
        for parameter in classifier.parameters():  # LayerNorm starts with ones and zeros
            parameter.add_(torch.linspace(-0.3, 0.3, parameter.numel()).reshape(parameter.shape))
    images = images_of(20)
    with torch.no_grad():
        outputs = classifier(images)
    assert outputs.dtype == torch.float32
    np.testing.assert_allclose(outputs.numpy(), by_hand(classifier, images), rtol=0, atol=1e-5)


def test_unit_scaling_divides_by_255() -> None:
    classifier = Classifier(1, ("a", "b"), UNIT, model_params(mlp=NO_HIDDEN))
    weights = {"network.0.weight": torch.tensor([[1.0], [-2.0]]), "network.0.bias": torch.zeros(2)}
    classifier.load_state_dict(weights)
    with torch.no_grad():
        outputs = classifier(torch.tensor([0, 51, 255], dtype=torch.uint8).reshape(3, 1, 1))
    assert torch.equal(outputs, torch.tensor([[0.0, 0.0], [0.2, -0.4], [1.0, -2.0]]))


def test_cross_entropys_outputs_become_probabilities_by_softmax() -> None:
    classifier = Classifier(SIDE, CLASSES, UNIT, model_params())
    logits = [[0.0, math.log(2), math.log(5)], [-3.0, -3.0, -3.0], [0.0, 200.0, -200.0]]
    probabilities = classifier.probabilities(torch.tensor(logits))
    assert probabilities.dtype == torch.float64
    expected = [[1 / 8, 2 / 8, 5 / 8], [1 / 3, 1 / 3, 1 / 3], [0.0, 1.0, 0.0]]
    np.testing.assert_allclose(probabilities.numpy(), expected, rtol=0, atol=1e-7)


@pytest.mark.parametrize("changes", [SIGMOID_BCE, LEAKY_MSE], ids=["bce", "mse"])
def test_other_outputs_become_probabilities_by_division(changes: dict[str, Any]) -> None:
    classifier = Classifier(SIDE, CLASSES, UNIT, model_params(**changes))
    probabilities = classifier.probabilities(torch.tensor([[0.5, 0.25, 0.25], [0.5, 1.0, 0.5], [1.5, -0.2, 0.5]]))
    assert probabilities.dtype == torch.float64
    expected = [[0.5, 0.25, 0.25], [0.25, 0.5, 0.25], [0.75, 0.0, 0.25]]
    np.testing.assert_allclose(probabilities.numpy(), expected, rtol=0, atol=1e-15)


@pytest.mark.parametrize(
    "row", [[-0.02, -0.01, -0.03], [-1e4, -1.0, -1e4], [0.0, 0.0, 0.0], [-3e38, -3e38, -3e38], [-1e-45, 0.0, -1e-45]]
)
def test_a_row_without_a_positive_output_still_gives_probabilities(row: list[float]) -> None:
    classifier = Classifier(SIDE, CLASSES, UNIT, model_params(**LEAKY_MSE))
    outputs = torch.tensor([row, [0.0, 0.0, 1.0]])
    probabilities = classifier.probabilities(outputs)
    assert probabilities[0].sum().item() == pytest.approx(1, abs=1e-12)
    assert bool((probabilities >= 0).all())
    assert probabilities[0].max() == probabilities[0, int(outputs[0].argmax())]
    np.testing.assert_allclose(probabilities[1].numpy(), [0, 0, 1], rtol=0, atol=1e-12)


@settings(deadline=None)
@given(
    st.sampled_from([{}, SIGMOID_BCE, LEAKY_MSE]),
    st.lists(
        st.lists(st.floats(-(2.0**100), 2.0**100, width=32) | st.floats(-2, 2, width=32), min_size=3, max_size=3),
        min_size=1,
        max_size=4,
    ),
)
def test_probabilities_sum_to_1_and_the_likeliest_class_has_the_largest_output(
    changes: dict[str, Any], rows: list[list[float]]
) -> None:
    classifier = Classifier(1, CLASSES, UNIT, model_params(mlp=NO_HIDDEN, **changes))
    outputs = torch.tensor(rows)
    probabilities = classifier.probabilities(outputs).numpy()
    assert ((probabilities >= 0) & (probabilities <= 1)).all()
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, rtol=0, atol=1e-12)
    largest = outputs.argmax(dim=1).numpy()
    assert (probabilities[np.arange(len(rows)), largest] == probabilities.max(axis=1)).all()


@pytest.mark.parametrize("pixels", [1, 2])
def test_a_shifted_prediction_is_the_mean_of_five(pixels: int) -> None:
    plain = new_classifier(SIDE, CLASSES, UNIT, model_params(), seed=1, deskew=True)
    shifted = new_classifier(SIDE, CLASSES, UNIT, model_params(test_time_shift=pixels), seed=1, deskew=True)
    images = images_of(7)
    upright = deskewed(images).numpy()
    views = [upright]
    for axis in (1, 2):
        for way in (pixels, -pixels):
            moved = np.roll(upright, way, axis)
            edge = [slice(None)] * 3
            edge[axis] = slice(0, pixels) if way > 0 else slice(-pixels, None)
            moved[tuple(edge)] = 0
            views.append(moved)
    with torch.no_grad():
        expected = torch.stack([plain.network(plain.inputs(torch.from_numpy(view))) for view in views]).mean(0)
        torch.testing.assert_close(shifted(images), expected, rtol=0, atol=1e-6)
        assert not torch.allclose(shifted(images), plain(images))
    assert (plain.passes, shifted.passes) == (1, 5)


@pytest.mark.parametrize("deskew", [False, True])
@pytest.mark.parametrize(
    ("scaling", "changes"),
    [
        (UNIT, {}),
        (STANDARD, SIGMOID_BCE | {"mlp": NO_HIDDEN, "negative_slope": 0.1}),
        (STANDARD, LEAKY_MSE | {"mlp": {"hidden_units": [6, 4], "layer_norm": False}, "hidden_activation": "gelu"}),
        (
            UNIT,
            {
                "mlp": {"hidden_units": [2] * 11, "layer_norm": True},
                "optimizer": "adamw",
            },  # network.10.weight comes before network.2.weight
        ),
    ],
    ids=["default", "no-hidden", "two-hidden", "eleven-hidden"],
)
def test_the_file_alone_gives_the_same_classifier(
    tmp_path: Path, scaling: Scaling, changes: dict[str, Any], deskew: bool
) -> None:
    path = tmp_path / "model.safetensors"
    classifier = new_classifier(SIDE, ("ä", "b c", "0"), scaling, model_params(**changes), 5, deskew).eval()
    save_classifier(path, classifier)
    images = images_of(30)
    with torch.no_grad():
        expected = classifier(images)
    torch.manual_seed(99)  # what the generator gives must not matter
    loaded = load_classifier(path)
    assert (loaded.image_side, loaded.classes, loaded.scaling) == (SIDE, ("ä", "b c", "0"), scaling)
    assert (loaded.params, loaded.deskew) == (classifier.params, deskew)
    assert not loaded.training
    with torch.no_grad():
        assert torch.equal(loaded(images), expected)
        assert torch.equal(loaded.probabilities(loaded(images)), classifier.probabilities(expected))


def test_the_same_classifier_gives_the_same_bytes(tmp_path: Path) -> None:
    for name in ("one", "two"):
        save_classifier(tmp_path / name, new_classifier(SIDE, CLASSES, UNIT, model_params(), seed=5))
    save_classifier(tmp_path / "again", load_classifier(tmp_path / "one"))
    content = (tmp_path / "one").read_bytes()
    assert content == (tmp_path / "two").read_bytes() == (tmp_path / "again").read_bytes()


def test_the_file_holds_json_and_numbers_and_no_pickle(tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    classifier = new_classifier(SIDE, CLASSES, UNIT, model_params(), seed=5)
    save_classifier(path, classifier)
    content = path.read_bytes()
    length = int.from_bytes(content[:8], "little")
    header = json.loads(content[8 : 8 + length])
    assert set(header) == {"__metadata__", *classifier.state_dict()}
    parameters = sum(parameter.numel() for parameter in classifier.parameters())
    assert len(content) == 8 + length + 4 * parameters  # nothing else is in it


def altered(path: Path, change: Callable[[dict[str, Any], dict[str, Any]], object]) -> Path:
    """A model file with a change to its description or its tensors."""
    save_classifier(path, new_classifier(SIDE, CLASSES, UNIT, model_params(), seed=5))
    model = load_model(path)
    description, tensors = dict(model.description), dict(model.tensors)
    change(description, tensors)
    save_model(path, ModelFile(description, tensors))
    return path


@pytest.mark.parametrize(
    "change",
    [
        lambda description, _: description.pop("image_side"),
        lambda description, _: description.pop("scaling"),
        lambda description, _: description.update(image_side=4),
        lambda description, _: description.update(image_side="three"),
        lambda description, _: description.update(classes=["a", "b"]),
        lambda description, _: description.update(classes=None),
        lambda description, _: description.update(scaling={"mean": 0.0}),
        lambda description, _: description.update(scaling={"mean": 0.0, "sd": 1.0, "skew": 0.0}),
        lambda description, _: description["model"]["mlp"].update(hidden_units=[6]),
        lambda description, _: description["model"]["mlp"].update(layer_norm=False),
        lambda description, _: description["model"].update(hidden_activation="swish"),
        lambda description, _: description["model"].update(loss="bce"),
        lambda description, _: description["model"].pop("loss"),
        lambda _, tensors: tensors.pop("network.3.bias"),
        lambda _, tensors: tensors.update(extra=np.zeros(3, np.float32)),
    ],
    ids=[
        "no-side",
        "no-scaling",
        "other-side",
        "side-no-number",
        "fewer-classes",
        "no-classes",
        "scaling-lacks-sd",
        "scaling-unknown",
        "other-units",
        "no-layer-norm",
        "unknown-activation",
        "loss-and-output-differ",
        "no-loss",
        "tensor-missing",
        "tensor-too-many",
    ],
)
def test_a_file_whose_description_does_not_fit_is_refused(
    tmp_path: Path, change: Callable[[dict[str, Any], dict[str, Any]], object]
) -> None:
    path = altered(tmp_path / "model.safetensors", change)
    with pytest.raises(PipelineError, match=r"model\.safetensors: its description does not fit its weights; .+"):
        load_classifier(path)


def test_an_unaltered_file_is_not_refused(tmp_path: Path) -> None:
    assert load_classifier(altered(tmp_path / "model.safetensors", lambda _, __: None)).classes == CLASSES


@pytest.mark.parametrize("content", [None, b"", b"not safetensors at all"], ids=["missing", "empty", "other"])
def test_no_model_file_is_refused(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "model.safetensors"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(PipelineError, match=r"model\.safetensors: must be a model"):
        load_classifier(path)


def test_the_seed_determines_the_weights(make_params: MakeParams) -> None:
    def weights(seed: int, before: int) -> torch.Tensor:
        torch.manual_seed(before)
        classifier = new_classifier(SIDE, CLASSES, UNIT, make_params().model, seed)
        return torch.cat([parameter.detach().flatten() for parameter in classifier.parameters()])

    assert torch.equal(weights(7, before=1), weights(7, before=2))
    assert not torch.equal(weights(7, before=1), weights(8, before=1))


def test_a_new_classifier_leaves_torchs_generator_as_it_was() -> None:
    torch.manual_seed(42)
    before = torch.get_rng_state()
    new_classifier(SIDE, CLASSES, UNIT, model_params(), seed=7)
    assert torch.equal(torch.get_rng_state(), before)
