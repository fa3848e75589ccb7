"""Loss functions: PyTorch's own, against one-hot targets, and NaN where an output is NaN."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from mnist_pipeline.training.losses import make_loss


@pytest.mark.parametrize(
    ("name", "reference"), [("mse", nn.MSELoss()), ("bce", nn.BCELoss()), ("cross_entropy", nn.CrossEntropyLoss())]
)
def test_a_loss_and_its_gradient_are_those_of_pytorchs_own_class(name: str, reference: nn.Module) -> None:
    labels = torch.arange(16) % 5
    ours, theirs = (torch.linspace(0.01, 0.99, 80).view(16, 5).requires_grad_() for _ in range(2))
    loss = make_loss(name)(ours, labels)
    expected = reference(theirs, labels if name == "cross_entropy" else nn.functional.one_hot(labels).float())
    assert torch.equal(loss, expected)
    loss.backward()  # type: ignore[no-untyped-call]
    expected.backward()
    torch.testing.assert_close(ours.grad, theirs.grad, rtol=0, atol=0)


@pytest.mark.parametrize("name", ["mse", "bce", "cross_entropy"])
def test_the_loss_is_nan_where_a_single_output_is_nan(name: str) -> None:
    outputs = torch.full((4, 3), 0.3)
    outputs[2, 1] = math.nan
    loss = make_loss(name)(outputs.requires_grad_(), torch.tensor([0, 1, 2, 0]))
    assert math.isnan(loss.item())
    loss.backward()  # type: ignore[no-untyped-call]
