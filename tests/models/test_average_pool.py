"""The faster average pooling gives torch's numbers."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from condensery.models.layers import AveragePool


@pytest.mark.parametrize("shape", [(4, 32, 32, 32), (2, 64, 17, 31), (1, 3, 4, 4)])
@pytest.mark.parametrize("kind", [torch.float32, torch.float64])
def test_numbers_and_gradients_are_those_of_torch(shape: tuple[int, ...], kind: torch.dtype) -> None:
    images = torch.randn(*shape, dtype=kind, generator=torch.Generator().manual_seed(0)).requires_grad_()
    ours, theirs = AveragePool(2)(images), nn.AvgPool2d(2)(images)
    assert torch.equal(ours, theirs)
    direction = torch.randn(ours.shape, dtype=kind, generator=torch.Generator().manual_seed(1))
    gradients = [torch.autograd.grad(pooled, images, direction)[0] for pooled in (ours, theirs)]
    assert torch.equal(*gradients)
