"""Class means in an embedding space and the gap between them (DM, thesis eq. 5.5)."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

Embedding = Callable[[Tensor], Tensor]


def mean_embedding(embed: Embedding, images: Tensor, chunk: int | None = None) -> Tensor:
    """Mean over the batch of embed(images): (N, C, H, W) -> (D,). Differentiable if grad mode is on.

    `chunk` images go through the network at once (None: all). Small chunks stay in a CPU's cache; the sum
    equals the single pass to float tolerance as long as no layer mixes the images of a batch.
    """
    parts = [embed(part).sum(0) for part in images.split(chunk or len(images))]  # each (D,)
    return torch.stack(parts).sum(0) / len(images)


def segment_means(features: Tensor, counts: list[int]) -> Tensor:
    """Mean of consecutive groups of rows: (sum(counts), D) -> (len(counts), D)."""
    return torch.stack([part.mean(0) for part in features.split(counts)])


def squared_gap(real: Tensor, synthetic: Tensor) -> Tensor:
    """Squared distance summed over every dimension, and over classes if there are several: a scalar."""
    return (real - synthetic).square().sum()
