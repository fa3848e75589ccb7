"""Where commands find what the stages wrote. dvc.yaml says it; a test holds these to it."""

from __future__ import annotations

PARAMS = "params.yaml"
LOCK = "dvc.lock"
MODEL = "models/classifier.safetensors"
PREDICTIONS = "metrics/predictions.csv"
STEPS = "models/steps.csv"
TEST_ARRAYS = "data/prepared/test.safetensors"
TEST_METRICS = "metrics/test.json"
TRAIN_METRICS = "metrics/train.json"
