"""ONNX files: in onnxruntime they say what the classifier says, and nothing in them tells of this machine."""

from __future__ import annotations

import json
import re
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from torch import Tensor, nn

from mnist_pipeline.models.classifier import UNIT, Classifier, Scaling, new_classifier, predict
from mnist_pipeline.deploy.onnx_check import TOLERANCE, PipelineError, check_agreement, onnx_probabilities
from mnist_pipeline.deploy.onnx_export import PipelineError, save_onnx
from mnist_pipeline.params.schema import Params

MakeParams = Callable[..., Params]
CLASSES = ("zero", "ä", 'with "quotes"')
SIDE = 9
SMALL = {"model.mlp.hidden_units": [6], "model.cnn.channels": [[3], [4, 5]]}
IMAGES = np.random.default_rng(0).integers(0, 256, (37, SIDE, SIDE)).astype(np.uint8)


def classifier_of(params: Params, deskew: bool = False, scaling: Scaling = UNIT) -> Classifier:
    return new_classifier(SIDE, CLASSES, scaling, params.model, 0, deskew).eval()


def answers(classifier: Classifier, images: np.ndarray[Any, Any] = IMAGES) -> Any:
    return classifier.probabilities(predict(classifier, torch.from_numpy(images))).numpy()


@pytest.mark.parametrize(
    ("changes", "deskew"),
    [
        ({}, False),
        ({"model.architecture": "cnn", "model.hidden_activation": "gelu"}, False),
        (
            {
                "model.loss": "mse",
                "model.output_activation": "leaky_relu",
                "model.hidden_activation": "tanh",
                "model.test_time_shift": 2,
            },
            True,
        ),
        ({"model.loss": "bce", "model.output_activation": "sigmoid", "model.mlp.hidden_units": []}, False),
    ],
    ids=["default", "cnn", "mse, deskewed, shifted", "bce, no hidden layer"],
)
def test_onnxruntime_says_what_the_classifier_says(
    make_params: MakeParams, tmp_path: Path, changes: dict[str, Any], deskew: bool
) -> None:
    path = tmp_path / "new" / "model.onnx"
    classifier = classifier_of(make_params(SMALL | changes), deskew, Scaling(33.0, 78.5))
    save_onnx(path, classifier)
    found = onnx_probabilities(path, IMAGES)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, answers(classifier), rtol=0, atol=1e-5)
    assert check_agreement(path, IMAGES, answers(classifier)) < 1e-5
    np.testing.assert_allclose(onnx_probabilities(path, IMAGES[:1]), answers(classifier, IMAGES[:1]), atol=1e-5)
    assert len({tuple(row) for row in found}) == len(IMAGES)  # the images do make a difference


def test_the_file_says_what_goes_in_and_out_and_nothing_of_this_machine(
    make_params: MakeParams, tmp_path: Path
) -> None:
    path = tmp_path / "model.onnx"
    save_onnx(path, classifier_of(make_params(SMALL)))
    model = onnx.load(path)
    (given,), (taken,) = model.graph.input, model.graph.output
    shapes = [
        [each.dim_param or each.dim_value for each in value.type.tensor_type.shape.dim] for value in (given, taken)
    ]
    assert (given.name, shapes[0], given.type.tensor_type.elem_type) == (
        "images",
        ["n", SIDE, SIDE],
        onnx.TensorProto.UINT8,
    )
    assert (taken.name, shapes[1], taken.type.tensor_type.elem_type) == (
        "probabilities",
        ["n", 3],
        onnx.TensorProto.FLOAT,
    )
    metadata = {each.key: each.value for each in model.metadata_props}
    assert tuple(json.loads(metadata["classes"])) == CLASSES
    assert metadata["image_side"] == str(SIDE)
    assert not re.search(rb"/(home|root|usr|work|tmp)/|\.py|torch|\+cpu", path.read_bytes())


def test_the_same_classifier_gives_the_same_bytes(make_params: MakeParams, tmp_path: Path) -> None:
    classifier = classifier_of(make_params(SMALL))
    for name in ("one", "two"):
        save_onnx(tmp_path / name, classifier)
    assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes()


class Unsayable(nn.Module):
    def forward(self, inputs: Tensor) -> Tensor:
        return inputs if inputs.sum() > 0 else -inputs  # what only a run can know


def test_a_network_that_onnx_cannot_say_is_named(make_params: MakeParams, tmp_path: Path) -> None:
    classifier = classifier_of(make_params(SMALL))
    classifier.network.append(Unsayable())
    with warnings.catch_warnings(), pytest.raises(PipelineError, match=r"what model\.architecture mlp does; build it"):
        warnings.simplefilter("ignore")
        save_onnx(tmp_path / "model.onnx", classifier)
    assert not list(tmp_path.iterdir())


def test_another_classifiers_file_is_refused(make_params: MakeParams, tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    classifier = classifier_of(make_params(SMALL))
    save_onnx(path, classifier)
    expected = answers(classifier)
    expected[21] += [2 * TOLERANCE, -TOLERANCE, -TOLERANCE]
    with pytest.raises(PipelineError, match=r"model\.onnx: .* must give .* for row 21 they differ by 0\.0002"):
        check_agreement(path, IMAGES, expected)
    with pytest.raises(PipelineError, match="row 0 they differ by nan"):
        check_agreement(path, IMAGES, np.full_like(expected, np.nan))
    with pytest.raises(PipelineError, match="it gives 3 probabilities, the classifier 4"):
        check_agreement(path, IMAGES, np.zeros((len(IMAGES), 4)))
    with pytest.raises(PipelineError, match=r"model\.onnx: must be an ONNX file that the export stage wrote; .*dimensions"):
        onnx_probabilities(path, IMAGES[:, :5, :5])


@pytest.mark.parametrize("content", [None, b"", b"no model"])
def test_what_is_no_onnx_file_is_refused(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "model.onnx"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(PipelineError, match=r"model\.onnx: must be an ONNX file that the export stage wrote"):
        onnx_probabilities(path, IMAGES)
