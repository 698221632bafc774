"""Batch norm is the one layer that mixes the images of a batch; what splits batches has to ask for it."""

from __future__ import annotations

from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm


def batch_norms(network: nn.Module) -> list[nn.Module]:
    """Every batch norm layer of `network`."""
    return [module for module in network.modules() if isinstance(module, _BatchNorm)]


def mixes_samples(network: nn.Module) -> bool:
    """Whether an image's output depends on the rest of its batch: batch norm in training mode."""
    return any(layer.training for layer in batch_norms(network))
