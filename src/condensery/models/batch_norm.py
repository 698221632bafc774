"""Batch norm is the one layer that mixes the images of a batch; what splits batches has to ask for it."""

from __future__ import annotations

from torch import nn

BATCH_NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d, nn.SyncBatchNorm)
LAZY_BATCH_NORMS = (nn.LazyBatchNorm1d, nn.LazyBatchNorm2d, nn.LazyBatchNorm3d)
"""They turn into the others in the first forward pass."""


def batch_norms(network: nn.Module) -> list[nn.Module]:
    """Every batch norm layer of `network`."""
    return [module for module in network.modules() if isinstance(module, BATCH_NORMS + LAZY_BATCH_NORMS)]


def mixes_samples(network: nn.Module) -> bool:
    """Whether an image's output depends on the rest of its batch: batch norm in training mode."""
    return any(layer.training for layer in batch_norms(network))
