"""The classifier: from pixels to outputs to probabilities, and into a file and back."""

from __future__ import annotations

import math
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from torch import Tensor

from mnist_pipeline.core.arrays import load_arrays, save_arrays
from mnist_pipeline.core.errors import PipelineError
from mnist_pipeline.models.classifier import UNIT, Classifier, Scaling, load_classifier, new_classifier, save_classifier
from mnist_pipeline.models.deskew import deskewed
from mnist_pipeline.params.model import ModelParams

CLASSES = ("a", "b", "c")
SIDE = 3
STANDARD = Scaling(mean=33.3, sd=78.6)
NO_HIDDEN = {"hidden_units": [], "layer_norm": True}
SIGMOID_BCE = {"output_activation": "sigmoid", "loss": "bce"}
LEAKY_MSE = {"output_activation": "leaky_relu", "loss": "mse"}


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


def random_images(number: int, side: int = SIDE) -> Tensor:
    return torch.from_numpy(np.random.default_rng(number).integers(0, 256, (number, side, side), np.uint8))


def saved_classifier(path: Path, **settings: Any) -> Path:
    save_classifier(path, new_classifier(SIDE, CLASSES, UNIT, model_params(**settings), seed=5))
    return path


@pytest.mark.parametrize(("scaling", "mean", "std"), [(UNIT, 0, 255), (STANDARD, 33.3, 78.6)])
def test_the_network_sees_scaled_pixels(scaling: Scaling, mean: float, std: float) -> None:
    classifier, images = new_classifier(SIDE, CLASSES, scaling, model_params(), seed=1), random_images(20)
    with torch.no_grad():
        outputs, expected = classifier(images), classifier.network(((images.flatten(1) - mean) / std).float())
    assert outputs.dtype == torch.float32
    torch.testing.assert_close(outputs, expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize("number", [7, 1003])
def test_a_deskewing_classifier_sees_deskewed_images(number: int) -> None:
    deskewing, plain = (new_classifier(SIDE, CLASSES, UNIT, model_params(), 1, deskew) for deskew in (True, False))
    images = random_images(number)
    with torch.no_grad():
        torch.testing.assert_close(deskewing(images), plain(deskewed(images)), rtol=0, atol=0)
        assert not torch.allclose(deskewing(images), plain(images))


@pytest.mark.parametrize(
    ("changes", "outputs", "expected"),
    [
        ({}, [0.0, math.log(2), math.log(5)], [1 / 8, 2 / 8, 5 / 8]),
        ({}, [-3.0, -3.0, -3.0], [1 / 3, 1 / 3, 1 / 3]),
        ({}, [0.0, 200.0, -200.0], [0.0, 1.0, 0.0]),
        (SIGMOID_BCE, [0.5, 1.0, 0.5], [0.25, 0.5, 0.25]),
        (SIGMOID_BCE, [0.5, 0.25, 0.25], [0.5, 0.25, 0.25]),
        (LEAKY_MSE, [1.5, -0.2, 0.5], [0.75, 0.0, 0.25]),
    ],
)
def test_probabilities_are_a_softmax_of_logits_and_shares_of_other_outputs(
    changes: dict[str, Any], outputs: list[float], expected: list[float]
) -> None:
    probabilities = Classifier(SIDE, CLASSES, UNIT, model_params(**changes)).probabilities(torch.tensor([outputs]))
    assert probabilities.dtype == torch.float64
    np.testing.assert_allclose(probabilities.numpy(), [expected], rtol=0, atol=1e-7 if changes == {} else 1e-15)


OUTPUT = st.floats(-2, 2, width=32) | st.floats(width=32, allow_nan=False, allow_infinity=False)


@settings(deadline=None)
@given(
    st.sampled_from([{}, SIGMOID_BCE, LEAKY_MSE]),
    st.lists(st.lists(OUTPUT, min_size=3, max_size=3), min_size=1, max_size=4),
)
@example(LEAKY_MSE, [[-0.02, -0.01, -0.03], [0.0, 0.0, 0.0], [-3e38, -3e38, -3e38], [-1e-45, 0.0, -1e-45]])
def test_probabilities_sum_to_1_and_the_likeliest_class_has_the_largest_output(
    changes: dict[str, Any], rows: list[list[float]]
) -> None:
    outputs = torch.tensor(rows)
    probabilities = Classifier(1, CLASSES, UNIT, model_params(mlp=NO_HIDDEN, **changes)).probabilities(outputs).numpy()
    assert ((probabilities >= 0) & (probabilities <= 1)).all()
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, rtol=0, atol=1e-12)
    largest = outputs.argmax(dim=1).numpy()
    assert (probabilities[np.arange(len(rows)), largest] == probabilities.max(axis=1)).all()


def test_the_seed_determines_the_weights_and_torchs_generator_stays_as_it_was() -> None:
    def weights(seed: int, before: int) -> Tensor:
        torch.manual_seed(before)
        state = torch.get_rng_state()
        classifier = new_classifier(SIDE, CLASSES, UNIT, model_params(), seed)
        assert torch.equal(torch.get_rng_state(), state)
        return torch.cat([parameter.detach().flatten() for parameter in classifier.parameters()])

    assert torch.equal(weights(7, before=1), weights(7, before=2))
    assert not torch.equal(weights(7, before=1), weights(8, before=1))


def test_threads_do_not_mix_their_initial_weights() -> None:
    def weights(seed: int) -> list[float]:
        params = model_params(mlp={"hidden_units": [500], "layer_norm": True})
        return [each.sum().item() for each in new_classifier(SIDE, CLASSES, UNIT, params, seed).parameters()]

    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(weights, range(100))) == [weights(seed) for seed in range(100)]


@pytest.mark.parametrize("deskew", [False, True])
@pytest.mark.parametrize(
    ("scaling", "changes"),
    [
        (UNIT, {}),
        (STANDARD, SIGMOID_BCE | {"mlp": NO_HIDDEN, "negative_slope": 0.1}),
        (STANDARD, LEAKY_MSE | {"architecture": "cnn", "cnn": {"channels": [[4]], "kernel_size": 3}}),
        # network.10.weight comes before network.2.weight
        (UNIT, {"mlp": {"hidden_units": [2] * 11, "layer_norm": True}, "hidden_activation": "gelu"}),
    ],
    ids=["default", "no-hidden", "cnn", "eleven-hidden"],
)
def test_the_file_alone_gives_the_same_classifier(
    tmp_path: Path, scaling: Scaling, changes: dict[str, Any], deskew: bool
) -> None:
    path, images, params = tmp_path / "model.safetensors", random_images(30), model_params(**changes)
    classifier = new_classifier(SIDE, ("ä", "b c", "0"), scaling, params, 5, deskew).eval()
    save_classifier(path, classifier)
    loaded = load_classifier(path)
    assert (loaded.image_side, loaded.classes, loaded.scaling) == (SIDE, ("ä", "b c", "0"), scaling)
    assert (loaded.params.architecture, loaded.params.settings) == (params.architecture, params.settings)
    assert (loaded.params.loss, loaded.deskew) == (params.loss, deskew)
    assert (loaded.params.mlp is None) == (params.architecture != "mlp")  # the chosen architecture's settings alone
    assert not loaded.training
    with torch.no_grad():
        assert torch.equal(loaded(images), classifier(images))


def test_the_same_classifier_gives_the_same_bytes(tmp_path: Path) -> None:
    one, two = (saved_classifier(tmp_path / name).read_bytes() for name in ("one", "two"))
    save_classifier(tmp_path / "again", load_classifier(tmp_path / "one"))
    assert one == two == (tmp_path / "again").read_bytes()


Change = Callable[[dict[str, Any], dict[str, NDArray[Any]]], object]


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(lambda description, _: description.pop("image_side"), id="no side"),
        pytest.param(lambda description, _: description.update(image_side=4), id="another side"),
        pytest.param(lambda description, _: description.update(classes=["a", "b"]), id="a class less"),
        pytest.param(lambda description, _: description.update(scaling={"mean": 0.0}), id="no std"),
        pytest.param(lambda description, _: description["model"]["mlp"].update(hidden_units=[6]), id="another width"),
        pytest.param(lambda description, _: description["model"].update(hidden_activation="swish"), id="unknown value"),
        pytest.param(lambda description, _: description["model"].update(loss="bce"), id="loss does not fit output"),
        pytest.param(
            lambda description, _: description["model"].update(
                architecture="cnn", cnn={"channels": [[1]] * 9, "kernel_size": 3}
            ),
            id="images too small for the network",
        ),
        pytest.param(lambda _, arrays: arrays.pop("network.3.bias"), id="a weight less"),
        pytest.param(lambda _, arrays: arrays.update(extra=np.zeros(3, np.float32)), id="a weight more"),
        pytest.param(lambda _, arrays: arrays["network.3.bias"].fill(np.nan), id="NaN"),
        pytest.param(
            lambda _, arrays: arrays.update({"network.3.bias": arrays["network.3.bias"].astype(np.int64)}),
            id="integers",
        ),
        pytest.param(
            lambda description, _: description.update(classes=["a", "b\x1b[31m", "c"]), id="control character"
        ),
        pytest.param(
            lambda description, _: description["model"]["mlp"].update(hidden_units=[10**9] * 3),
            id="terabytes of weights",
        ),
        pytest.param(lambda description, _: description.update(temperature=0.0), id="no temperature"),
    ],
)
def test_a_file_whose_description_does_not_fit_its_weights_is_refused(tmp_path: Path, change: Change) -> None:
    path = saved_classifier(tmp_path / "model.safetensors")
    file = load_arrays(path, "a model")
    change(file.metadata["classifier"], file.arrays)
    save_arrays(path, file.arrays, file.metadata)
    with pytest.raises(
        PipelineError, match=r"model\.safetensors: its description (does not fit its weights;|is wrong:) .+"
    ):
        load_classifier(path)


@pytest.mark.parametrize("content", [None, b"", b"not safetensors at all", (2).to_bytes(8, "little") + b"{}"])
def test_a_file_that_is_missing_or_something_else_is_refused(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "model.safetensors"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(PipelineError, match=r"model\.safetensors: must be a model that the train stage wrote; "):
        load_classifier(path)
