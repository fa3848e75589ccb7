"""The files of the pipeline that commands read: the paths of dvc.yaml, as a test checks."""

from __future__ import annotations

PARAMS = "params.yaml"
DATA_FILES = "data.yaml"
LOCK = "dvc.lock"
PACKAGES = "requirements.lock"
MODEL = "models/classifier.safetensors"
PREDICTIONS = "metrics/predictions.csv"
VALIDATION_PREDICTIONS = "models/validation_predictions.csv"
STEPS = "models/steps.csv"
TRAIN_ARRAYS = "data/prepared/train.safetensors"
TEST_ARRAYS = "data/prepared/test.safetensors"
DATA_SUMMARY = "metrics/data.json"
TEST_DETAILS = "metrics/test_details.json"
TRAIN_DETAILS = "metrics/train_details.json"
AUDIT = "metrics/audit.csv"
AUDIT_FIGURE = "metrics/figures/audit.png"
CORRECTIONS = "data/corrections"
MACHINE = "metrics/machine.json"
"""The machine that made the committed results, by ``mnist verify --record``."""


def is_data(path: str) -> bool:
    """Whether a dependency is data of a run. Corrections are not: what they change shows in the arrays."""
    return path.startswith("data/") and path != CORRECTIONS
