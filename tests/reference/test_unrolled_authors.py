"""DD's gradients, LD's ridge and CAFE's layer term against what the authors' functions give on fixed inputs."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from condensery.matching.unrolling import descend, reverse
from condensery.methods.cafe import class_means
from condensery.methods.ld import ridge_weights

THEIRS = json.loads((Path(__file__).parent / "unrolled_authors.json").read_text("utf-8"))


def wave(*shape: int, k: float = 1.0) -> Tensor:
    """sin(k), sin(2 k), ... in double precision."""
    numbers = torch.arange(1, torch.Size(shape).numel() + 1, dtype=torch.float64)
    return torch.sin(k * numbers).reshape(shape)


def test_dd_gradients_by_images_and_rates() -> None:
    """Three steps on two batches in turn, through two layers with tanh whose parameters are one vector."""

    def network(weights: Tensor, x: Tensor) -> Tensor:
        a, b, c, d = weights.split([20, 5, 15, 3])
        return torch.tanh(x @ a.view(4, 5) + b) @ c.view(5, 3) + d

    batches = [wave(3, 4, k=0.7).requires_grad_(), wave(3, 4, k=1.3).requires_grad_()]

    def loss(weights, step: int) -> Tensor:
        return F.cross_entropy(network(weights[0], batches[step % 2]), torch.arange(3))

    rates = [0.3, 0.2, 0.5]
    points = descend(loss, (0.5 * wave(43),), rates)
    here = points[-1][0].requires_grad_()
    value = F.cross_entropy(network(here, wave(6, 4, k=0.9)), torch.arange(6) % 3)
    found = reverse(loss, points, rates, torch.autograd.grad(value, here), batches)
    assert float(value.detach()) == pytest.approx(THEIRS["dd"]["loss"], rel=1e-12)
    for ours, theirs in zip(found.leaves, THEIRS["dd"]["images"], strict=True):
        torch.testing.assert_close(ours, torch.tensor(theirs).double(), rtol=1e-6, atol=1e-8)
    assert found.rates.tolist() == pytest.approx(THEIRS["dd"]["rates"], rel=1e-10)


def test_ld_ridge_weights() -> None:
    ours = ridge_weights(wave(4, 3), wave(4, 2, k=2.0), 1.0)
    torch.testing.assert_close(ours, torch.tensor(THEIRS["ld_ridge"]).double(), rtol=1e-5, atol=1e-6)


def test_cafe_layer_term() -> None:
    """Squared distance of class means, summed over classes and values, of 3 and of 2 images of each of ten classes."""

    class Layers(torch.nn.Module):
        """No activations: the embedding alone is a layer."""

        def embed(self, x: Tensor) -> Tensor:
            return x

    real, ours = (
        class_means(Layers(), list(x.chunk(10)), None)[0] for x in (wave(30, 2, 3), wave(20, 2, 3, k=0.5))
    )
    gap = (real[0] - ours[0]).square().sum()
    assert float(gap) == pytest.approx(THEIRS["cafe_layer"], rel=1e-10)
