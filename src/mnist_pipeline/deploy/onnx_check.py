"""Check that onnxruntime gives the same probabilities as PyTorch."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from mnist_pipeline.core.errors import PipelineError

TOLERANCE = 1e-4
"""The largest allowed difference of two probabilities: each runtime adds up in an order of its own."""

BATCH_SIZE = 1000


def onnx_probabilities(path: Path, images: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Return the probability of each class, float32 (n, classes), for images, uint8 (n, side, side), by onnxruntime.

    Raises:
        PipelineError: the file is missing, damaged, or takes other images.
    """
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4  # what it would log, it raises
    try:
        session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
        starts = range(0, len(images), BATCH_SIZE)
        parts = [session.run(None, {"images": images[start : start + BATCH_SIZE]})[0] for start in starts]
    except Exception as error:  # onnxruntime's exceptions have no other class in common
        raise PipelineError(f"{path}: must be an ONNX file that the evaluate stage wrote; {error}") from None
    return np.concatenate(parts)


def check_agreement(
    path: Path, images: NDArray[np.uint8], expected: NDArray[np.float64], totals: NDArray[np.float64]
) -> float:
    """Compare an ONNX file with the classifier's own probabilities for the same images.

    Args:
        path: of the file.
        images: uint8 (n, side, side).
        expected: the probabilities, float64 (n, classes).
        totals: what outputs were divided by to give them, float64 (n,). Where that is below 1, the difference of the
            outputs counts: the outputs of sigmoids can all be as small as their rounding errors.

    Returns:
        The largest difference.

    Raises:
        PipelineError: it is larger than ``TOLERANCE``, or the file cannot be used.
    """
    found = onnx_probabilities(path, images)
    if found.shape != expected.shape:
        raise PipelineError(f"{path}: it gives {found.shape[1]} probabilities, the classifier {expected.shape[1]}")
    differences = np.abs(found - expected).max(axis=1) * np.minimum(totals, 1)
    worst = int(differences.argmax())
    if not differences[worst] <= TOLERANCE:
        raise PipelineError(
            f"{path}: onnxruntime and PyTorch must give each image the same probabilities, within {TOLERANCE:g}; for "
            f"row {worst} they differ by {differences[worst]:.3g}; see whether the architecture does "
            "something that depends on the batch"
        )
    return float(differences[worst])
