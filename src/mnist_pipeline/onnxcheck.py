"""Whether an ONNX file says what the classifier says, in onnxruntime."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnxruntime
from numpy.typing import NDArray

TOLERANCE = 1e-4
"""How far a probability may be from PyTorch's: each runtime adds up in an order of its own."""

AT_ONCE = 1000


class OnnxError(ValueError):
    """A file is missing, is no ONNX model of this project, or says something else than the classifier."""


def onnx_probabilities(path: Path, images: NDArray[np.uint8]) -> NDArray[np.float32]:
    """The probability of each class, float32 (n, classes), for images, uint8 (n, side, side), by onnxruntime.

    Raises:
        OnnxError: the file is missing, damaged, or takes other images.
    """
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4  # what it would log, it raises
    try:
        session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
        starts = range(0, len(images), AT_ONCE)
        parts = [session.run(None, {"images": images[start : start + AT_ONCE]})[0] for start in starts]
    except Exception as error:  # onnxruntime's exceptions have no other class in common
        raise OnnxError(f"{path}: must be an ONNX file that the export stage wrote; {error}") from None
    return np.concatenate(parts)


def check_agreement(path: Path, images: NDArray[np.uint8], expected: NDArray[np.float64]) -> float:
    """Hold an ONNX file to the classifier's own probabilities, float64 (n, classes), for the same images.

    Returns:
        The largest difference of two probabilities.

    Raises:
        OnnxError: it is larger than ``TOLERANCE``, or the file cannot be used.
    """
    found = onnx_probabilities(path, images)
    if found.shape != expected.shape:
        raise OnnxError(f"{path}: it gives {found.shape[1]} probabilities, the classifier {expected.shape[1]}")
    differences = np.abs(found - expected).max(axis=1)
    worst = int(differences.argmax())
    if not differences[worst] <= TOLERANCE:
        raise OnnxError(
            f"{path}: onnxruntime and PyTorch must give each image the same probabilities, within {TOLERANCE:g}; for "
            f"row {worst} they differ by {differences[worst]:.3g}; run dvc repro export, and see whether the "
            "architecture does something that depends on the batch"
        )
    return float(differences[worst])
