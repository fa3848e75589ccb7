"""The audit: every check, one after the other."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from mnist_pipeline.audit.distribution import drift, order, small_classes
from mnist_pipeline.audit.findings import Finding
from mnist_pipeline.audit.images import outliers, repeated_images, similar_images
from mnist_pipeline.audit.labels import suspected_labels
from mnist_pipeline.data.dataset import Dataset


def audit(datasets: Mapping[str, Dataset], probabilities: Mapping[str, NDArray[np.float64]]) -> list[Finding]:
    """Return all findings.

    Args:
        datasets: "train" and "test".
        probabilities: of each class, by models that were not trained on the image, (n, classes), for each of them.
    """
    findings = [*repeated_images(datasets), *similar_images(datasets)]
    for name, dataset in datasets.items():
        findings += suspected_labels(name, dataset, probabilities[name])
    return [*findings, *outliers(datasets), *small_classes(datasets), *drift(datasets), *order(datasets)]
