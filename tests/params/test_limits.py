"""Settings that cannot work with the data are named with their limit."""

from __future__ import annotations

from typing import Any

import pytest

from mnist_pipeline.core.errors import PipelineError
from mnist_pipeline.params.limits import check_limits
from tests.training.runs import MakeParams

SUMMARY = {
    "train": {"rows": 300, "class_counts": {"a": 100, "b": 150, "c": 50}},
    "test": {"rows": 20, "class_counts": {"a": 7, "b": 7, "c": 6}},
}
FITTING = {"data.validation_size": 60, "train.batch_size": 240, "evaluate.record": 19}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({}, ""),
        ({"data.validation_size": 0, "train.batch_size": 300}, ""),
        ({"train.batch_size": 241}, "train.batch_size must be at most the 240 training rows, was 241"),
        ({"data.validation_size": 0.5}, "train.batch_size must be at most the 150 training rows, was 240"),
        ({"data.validation_size": 298}, "data.validation_size 298 must leave at least one row of each of 3 classes"),
        ({"data.validation_size": 2}, "data.validation_size 2 must leave at least one row of each of 3 classes"),
        ({"evaluate.record": 20}, "evaluate.record must be below the 20 rows of the test set, was 20"),
        ({"model.architecture": "cnn", "model.cnn.channels": [[4]] * 3}, ""),
        (
            {"model.architecture": "cnn", "model.cnn.channels": [[4]] * 4},
            "model.cnn.channels has 4 groups, each of which halves the image; an image of side 8 allows 3",
        ),
    ],
)
def test_limits_of_the_data(make_params: MakeParams, changes: dict[str, Any], message: str) -> None:
    params = make_params(FITTING | changes)
    if message:
        with pytest.raises(PipelineError) as raised:
            check_limits(params, 8, SUMMARY)
        assert str(raised.value).startswith(message)
    else:
        check_limits(params, 8, SUMMARY)
