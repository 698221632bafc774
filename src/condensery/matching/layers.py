"""Features of every layer of a network, and how far those of synthetic images are from the means of real ones."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import torch
from torch import Tensor, nn

from condensery.matching.moments import Embedding

_POOLINGS = (nn.AvgPool2d, nn.MaxPool2d)
_ACTIVATIONS = (nn.ReLU, nn.LeakyReLU, nn.Sigmoid, nn.SiLU)


def layer_features(network: nn.Module, images: Tensor, chunk: int | None = None) -> list[Tensor]:
    """What each layer of `network` makes of `images` (N, C, H, W), the first layer first: tensors (N, F, h, w).

    A layer ends at a pooling or is a block of its own, such as a residual one; without any, it ends at an activation.
    Of a user's own network without a sequence of `features`, the embedding (N, D) is the only layer.

    Args:
        chunk: images that go through the network at once; None for all.
    """
    parts = [_features(network, part) for part in images.split(chunk or len(images))]
    return [torch.cat(layer) for layer in zip(*parts, strict=True)]


def _features(network: nn.Module, images: Tensor) -> list[Tensor]:
    layers = getattr(network, "features", None)
    if not isinstance(layers, nn.Sequential):
        return [cast(Embedding, network.embed)(images)]
    ends = [m for m in layers if isinstance(m, _POOLINGS) or any(m.children())]
    ends = ends or [m for m in layers if isinstance(m, _ACTIVATIONS)]
    found, x = [], images
    for layer in layers:
        x = layer(x)
        if any(layer is end for end in ends):
            found.append(x)
    return found


def pooled(features: Tensor) -> Tensor:
    """Means over positions, (N, F, h, w) -> (N, F)."""
    return features.flatten(2).mean(2) if features.ndim > 2 else features


def layer_gap(synthetic: Sequence[Tensor], real: Sequence[Tensor]) -> Tensor:
    """Squared distances summed over layers (Zhang et al., eq. 2), each the mean over its values and over images.

    Args:
        synthetic: features of each layer, (n, ...).
        real: for each synthetic image the mean features of its real images, (n, ...).
    """
    gaps = [(s - r).square().mean() for s, r in zip(synthetic, real, strict=True)]
    return torch.stack(gaps).sum()


def dealt(images: int, groups: int) -> Tensor:
    """float32 (groups, images): shares that average images that are dealt to groups in turn, rows sum to 1.

    Where there are fewer images than groups, they go round again.
    """
    turns = torch.arange(max(images, groups))
    shares = torch.zeros(groups, images)
    shares[turns % groups, turns % images] = 1.0
    return shares / shares.sum(1, keepdim=True)
