"""Export a classifier to ONNX, with preprocessing inside: bytes in, probabilities out.

Input ``images``: uint8 (n, side, side), 0 (background) to 255 (ink). Output ``probabilities``: float32 (n, classes).
The names of the classes are in the file's metadata, under "classes", as JSON.
"""

from __future__ import annotations

import io
import json
import warnings
from pathlib import Path
from typing import Any

import onnx
import torch
from torch import Tensor, nn
from torch.jit import TracerWarning  # type: ignore[attr-defined]

from mnist_pipeline.core.errors import PipelineError
from mnist_pipeline.core.files import atomic_write
from mnist_pipeline.models.classifier import Classifier
from mnist_pipeline.models.prediction import predict_batch

INPUT, OUTPUT = "images", "probabilities"
OPSET = 20  # of ONNX 1.15 (2023): older runtimes have it, and it knows GELU


def save_onnx(path: Path, classifier: Classifier) -> None:
    """Write a classifier as ONNX; the same classifier gives the same bytes.

    Raises:
        PipelineError: ONNX cannot express an operation of the network.
    """
    model = _exported(classifier)
    model.producer_name, model.producer_version = "mnist-pipeline", ""  # not that of PyTorch
    metadata = {"classes": json.dumps(classifier.classes, ensure_ascii=False), "image_side": str(classifier.image_side)}
    onnx.helper.set_model_props(model, metadata)
    onnx.checker.check_model(model, full_check=True)
    with atomic_write(path) as temporary:
        temporary.write_bytes(model.SerializeToString(deterministic=True))


class _BytesToProbabilities(nn.Module):
    def __init__(self, classifier: Classifier) -> None:
        super().__init__()
        self.classifier = classifier

    def forward(self, images: Tensor) -> Tensor:
        return self.classifier.probabilities(predict_batch(self.classifier, images)).to(torch.float32)


def _exported(classifier: Classifier) -> Any:
    """Trace the classifier. The exporter that PyTorch prefers, through torch.export, takes two seconds longer.

    A trace has one path through the code, so that whatever Python decides by a value is an error here.
    """
    images = torch.zeros(2, classifier.image_side, classifier.image_side, dtype=torch.uint8)  # 1 would be a constant
    content = io.BytesIO()
    reason = ""
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("ignore")  # of PyTorch, about this exporter and how fast its result is
        warnings.simplefilter("always", TracerWarning)
        TracerWarning.ignore_lib_warnings()  # type: ignore[no-untyped-call]
        try:
            torch.onnx.export(
                _BytesToProbabilities(classifier).eval(),
                (images,),
                content,  # type: ignore[arg-type]  # it takes any file
                dynamo=False,
                opset_version=OPSET,
                input_names=[INPUT],
                output_names=[OUTPUT],
                dynamic_axes={INPUT: {0: "n"}, OUTPUT: {0: "n"}},
            )
        except torch.onnx.OnnxExporterError as error:
            reason = str(error)
    if reason := reason or "".join(str(each.message) for each in warned):
        raise PipelineError(
            f"ONNX cannot express model.architecture {classifier.params.architecture}; build it from layers and "
            f"operations that torch.onnx.export supports with dynamo=False: {reason.strip().splitlines()[0]}"
        )
    return onnx.load_from_string(content.getvalue())
