"""Gradients beside finite differences."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pytest
import torch
from torch import Tensor

from condensery import Rng


def assert_slopes(
    loss: Callable[[], Tensor], leaves: Sequence[Tensor], gradients: Sequence[Tensor], rng: Rng
) -> None:
    """In a random direction for each leaf, in double precision."""
    for leaf, gradient in zip(leaves, gradients, strict=True):
        direction = torch.randn(leaf.shape, generator=rng.torch(), dtype=torch.float64)
        around = []
        for step in (1e-5, -1e-5):
            with torch.no_grad():
                leaf += step * direction
            around.append(float(loss().detach()))
            with torch.no_grad():
                leaf -= step * direction
        slope = (around[0] - around[1]) / 2e-5
        assert float((gradient * direction).sum()) == pytest.approx(slope, rel=1e-5)
