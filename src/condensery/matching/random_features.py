"""Random features: the kernel of a random linear head on the embeddings of random networks.

Source: Loo et al., "Efficient Dataset Distillation using Random Feature Approximation" (RFAD), NeurIPS 2022,
arXiv 2210.12067, section 3; variances as in their code.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import cast

import torch
from torch import Tensor, nn

from condensery.matching.infinite import BIAS, WEIGHT
from condensery.matching.moments import Embedding
from condensery.rng import Rng
from condensery.team import ALONE, Team


def feature_kernel(one: Tensor, other: Tensor) -> Tensor:
    """2 f g^T + 0.01, float64: that of a random linear head on features (n, D) and (m, D)."""
    return WEIGHT * one.double() @ other.double().T + BIAS


def joined_features(
    networks: Sequence[nn.Module], images: Tensor, chunk: int | None, team: Team = ALONE
) -> Tensor:
    """Embeddings (n, networks * D) over the square root of their number."""
    found = [team.features(cast(Embedding, network.embed), images, chunk) for network in networks]
    features = torch.cat(found, 1)
    return features / math.sqrt(features.shape[1])


def gaussian(network: nn.Module, rng: Rng) -> None:
    """Weights from N(0, 2 / inputs) and biases from N(0, 0.01), in place; norm layers stay as they are."""
    generator = rng.torch()
    with torch.no_grad():
        for layer in network.modules():
            if isinstance(layer, nn.Linear | nn.Conv1d | nn.Conv2d | nn.Conv3d):
                inputs = layer.weight[0].numel()
                # drawn on the CPU, whatever the device
                drawn = torch.randn(layer.weight.shape, generator=generator)
                layer.weight.copy_(drawn * math.sqrt(WEIGHT / inputs))
                if layer.bias is not None:
                    layer.bias.copy_(torch.randn(layer.bias.shape, generator=generator) * math.sqrt(BIAS))
