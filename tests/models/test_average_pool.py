"""The faster average pooling gives torch's numbers."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.func import grad, vmap

from condensery.models.layers import AveragePool


@pytest.mark.parametrize("shape", [(4, 32, 32, 32), (2, 64, 17, 31), (1, 3, 4, 4)])
@pytest.mark.parametrize("kind", [torch.float32, torch.float64])
def test_numbers_and_gradients_are_those_of_torch(shape: tuple[int, ...], kind: torch.dtype) -> None:
    images = torch.randn(*shape, dtype=kind, generator=torch.Generator().manual_seed(0)).requires_grad_()
    ours, theirs = AveragePool(2)(images), nn.AvgPool2d(2)(images)
    assert torch.equal(ours, theirs)
    direction = torch.randn(ours.shape, dtype=kind, generator=torch.Generator().manual_seed(1))
    gradients = [
        torch.autograd.grad(pooled, images, direction, retain_graph=True)[0] for pooled in (ours, theirs)
    ]
    assert torch.equal(*gradients)
    second = []
    for pooled in (ours, theirs):
        (gradient,) = torch.autograd.grad(pooled.square().sum(), images, create_graph=True)
        second += torch.autograd.grad(gradient.square().sum(), images)
    assert torch.equal(*second)


def test_gradients_of_single_images_in_one_pass() -> None:
    images = torch.randn(3, 2, 32, 64, 64, generator=torch.Generator().manual_seed(0))
    ours, theirs = (
        vmap(grad(lambda x, pool=pool: pool(x).square().sum()))(images)
        for pool in (AveragePool(2), nn.AvgPool2d(2))
    )
    assert torch.allclose(ours, theirs, rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize("shape", [(4, 32, 32, 32), (2, 64, 17, 31), (1, 3, 4, 4)])
@pytest.mark.parametrize("side", [2, 3])
def test_bfloat16_rounds_once(shape: tuple[int, ...], side: int) -> None:
    """Averages are those of float32 rounded, and so are gradients, which have nothing to add up."""
    images = torch.randn(*shape, generator=torch.Generator().manual_seed(0)).bfloat16().requires_grad_()
    exact = images.detach().float().requires_grad_()
    ours, theirs = AveragePool(side)(images), nn.AvgPool2d(side)(exact)
    assert ours.dtype == torch.bfloat16
    assert torch.allclose(ours.float(), theirs, rtol=2**-8, atol=1e-6)
    direction = torch.randn(ours.shape, generator=torch.Generator().manual_seed(1)).bfloat16()
    ours.backward(direction)
    theirs.backward(direction.float())
    assert images.grad is not None and exact.grad is not None
    assert torch.equal(images.grad, exact.grad.bfloat16())
