"""ONNX files: onnxruntime gives the probabilities of the classifier, and nothing in them depends on this machine."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from mnist_pipeline.core.errors import PipelineError
from mnist_pipeline.deploy import onnx_check
from mnist_pipeline.deploy.onnx_check import TOLERANCE, check_agreement, onnx_probabilities
from mnist_pipeline.deploy.onnx_export import save_onnx
from mnist_pipeline.models.classifier import Classifier, Scaling, new_classifier
from mnist_pipeline.models.prediction import predict
from mnist_pipeline.params.overrides import with_overrides
from mnist_pipeline.params.schema import Params
from tests.training.runs import MakeParams

CLASSES = ("zero", "ä", 'with "quotes"')
SIDE = 9
SMALL = {"model.mlp.hidden_units": [6], "model.cnn.channels": [[3], [4, 5]]}
IMAGES = np.random.default_rng(0).integers(0, 256, (37, SIDE, SIDE), np.uint8)


def classifier_of(params: Params, deskew: bool = False) -> Classifier:
    return new_classifier(SIDE, CLASSES, Scaling(33.0, 78.5), params.model, 0, deskew).eval()


def answers(classifier: Classifier, images: NDArray[np.uint8] = IMAGES) -> Any:
    return classifier.probabilities(predict(classifier, torch.from_numpy(images))).numpy()


def agreement(path: Path, classifier: Classifier) -> float:
    outputs = predict(classifier, torch.from_numpy(IMAGES))
    return check_agreement(path, IMAGES, answers(classifier), classifier.totals(outputs).numpy())


@pytest.fixture(scope="module")
def exported(params_content: Any, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Classifier]:
    """A small convolutional classifier with a temperature, and its file."""
    path = tmp_path_factory.mktemp("onnx") / "new" / "model.onnx"
    changes = SMALL | {"model.architecture": "cnn", "model.hidden_activation": "gelu"}
    classifier = classifier_of(Params.model_validate(with_overrides(params_content, changes)))
    classifier.temperature = 0.3
    save_onnx(path, classifier)
    return path, classifier


def test_onnxruntime_gives_the_probabilities_of_the_classifier(
    exported: tuple[Path, Classifier], monkeypatch: pytest.MonkeyPatch
) -> None:
    path, classifier = exported
    found = onnx_probabilities(path, IMAGES)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, answers(classifier), rtol=0, atol=1e-5)
    outputs = predict(classifier, torch.from_numpy(IMAGES))
    assert np.abs(found - outputs.softmax(dim=1).numpy()).max() > 0.01  # and so does the temperature
    assert len({tuple(row) for row in found}) == len(IMAGES)  # the images do make a difference
    assert agreement(path, classifier) < 1e-5
    np.testing.assert_allclose(onnx_probabilities(path, IMAGES[:1]), answers(classifier, IMAGES[:1]), atol=1e-5)
    monkeypatch.setattr(onnx_check, "BATCH_SIZE", 5)
    np.testing.assert_allclose(onnx_probabilities(path, IMAGES), found, atol=1e-6)


def test_deskewing_and_test_time_augmentation_are_in_the_file(make_params: MakeParams, tmp_path: Path) -> None:
    outputs = {"model.loss": "mse", "model.output_activation": "leaky_relu", "model.hidden_activation": "tanh"}
    classifier = classifier_of(make_params({**SMALL, **outputs, "model.test_time_shift": 2}), deskew=True)
    save_onnx(tmp_path / "model.onnx", classifier)
    assert agreement(tmp_path / "model.onnx", classifier) < 1e-5


def test_the_file_describes_input_and_output_and_nothing_of_this_machine(exported: tuple[Path, Classifier]) -> None:
    model = onnx.load(exported[0])
    described = []
    for value in (*model.graph.input, *model.graph.output):
        kind = value.type.tensor_type
        described.append((value.name, kind.elem_type, [each.dim_param or each.dim_value for each in kind.shape.dim]))
    assert described == [
        ("images", onnx.TensorProto.UINT8, ["n", SIDE, SIDE]),
        ("probabilities", onnx.TensorProto.FLOAT, ["n", 3]),
    ]
    metadata = {each.key: each.value for each in model.metadata_props}
    assert tuple(json.loads(metadata["classes"])) == CLASSES
    assert metadata["image_side"] == str(SIDE)
    assert not re.search(rb"/(home|root|usr|work|tmp)/|\.py|torch|\+cpu", exported[0].read_bytes())


def test_the_same_classifier_gives_the_same_bytes(exported: tuple[Path, Classifier], tmp_path: Path) -> None:
    save_onnx(tmp_path / "again", exported[1])
    assert (tmp_path / "again").read_bytes() == exported[0].read_bytes()


class DependsOnTheInput(nn.Module):
    def forward(self, inputs: Tensor) -> Tensor:
        return inputs if inputs.sum() > 0 else -inputs


class DependsOnTheBatch(nn.Module):
    def forward(self, inputs: Tensor) -> Tensor:
        return inputs.view(len(inputs), -1)


class NotInOnnx(nn.Module):
    def forward(self, inputs: Tensor) -> Tensor:
        return inputs.logcumsumexp(dim=1)


@pytest.mark.parametrize("layer", [DependsOnTheInput, DependsOnTheBatch, NotInOnnx])
def test_an_architecture_that_onnx_cannot_express_is_named(
    make_params: MakeParams, tmp_path: Path, layer: type[nn.Module]
) -> None:
    classifier = classifier_of(make_params(SMALL))
    classifier.network.append(layer())
    with pytest.raises(PipelineError, match=r"^ONNX cannot express model\.architecture mlp;"):
        save_onnx(tmp_path / "model.onnx", classifier)
    assert not list(tmp_path.iterdir())


def test_a_file_of_another_classifier_is_refused(exported: tuple[Path, Classifier]) -> None:
    path, classifier = exported
    expected, totals = answers(classifier), np.ones(len(IMAGES))
    expected[21] += [2 * TOLERANCE, -TOLERANCE, -TOLERANCE]
    with pytest.raises(PipelineError, match=r"model\.onnx: .* must give .* for row 21 they differ by 0\.0002"):
        check_agreement(path, IMAGES, expected, totals)
    with pytest.raises(PipelineError, match="row 0 they differ by nan"):
        check_agreement(path, IMAGES, np.full_like(expected, np.nan), totals)
    with pytest.raises(PipelineError, match="it gives 3 probabilities, the classifier 4"):
        check_agreement(path, IMAGES, np.zeros((len(IMAGES), 4)), totals)
    with pytest.raises(PipelineError, match=r"model\.onnx: must be an ONNX file that the evaluate stage wrote; "):
        onnx_probabilities(path, IMAGES[:, :5, :5])


@pytest.mark.parametrize("content", [None, b"", b"no model"])
def test_a_file_that_is_missing_or_something_else_is_refused(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "model.onnx"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(PipelineError, match=r"model\.onnx: must be an ONNX file that the evaluate stage wrote; "):
        onnx_probabilities(path, IMAGES)
