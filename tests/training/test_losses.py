"""Loss functions are NaN where an output is NaN; test_loop.py compares them with PyTorch's own."""

from __future__ import annotations

import math

import pytest
import torch

from mnist_pipeline.training.losses import make_loss


@pytest.mark.parametrize("name", ["mse", "bce", "cross_entropy"])
def test_the_loss_is_nan_where_a_single_output_is_nan(name: str) -> None:
    outputs = torch.full((4, 3), 0.3)
    outputs[2, 1] = math.nan
    loss = make_loss(name)(outputs.requires_grad_(), torch.tensor([0, 1, 2, 0]))
    assert math.isnan(loss.item())
    loss.backward()  # type: ignore[no-untyped-call]
