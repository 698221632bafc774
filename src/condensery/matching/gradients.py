"""Gradients of the classification loss with respect to a network's parameters."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from condensery.models.custom import trainable


def gradient(network: nn.Module, images: Tensor, labels: Tensor, chunk: int | None = None) -> list[Tensor]:
    """Gradient of the mean cross entropy over a batch, without a graph.

    Args:
        network: maps (N, C, H, W) to logits (N, classes).
        images: (N, C, H, W), normalised.
        labels: int64 (N,).
        chunk: images per pass, None for all at once. On a CPU, passes small enough for the cache are faster
            (benchmarks/README.md); the sum over chunks equals the single pass to float tolerance as long as no
            layer mixes the images of a batch.

    Returns:
        One tensor for each of its trainable parameters, in `network.parameters()` order; zeros for one that the loss
        does not use.

    Raises:
        BadInput: the network has no trainable parameters.
    """
    parameters = trainable(network)
    total: list[Tensor] = []
    size = chunk or len(images)
    for part, part_labels in zip(images.split(size), labels.split(size), strict=True):
        loss = F.cross_entropy(network(part), part_labels, reduction="sum") / len(images)
        gradients = torch.autograd.grad(loss, parameters, materialize_grads=True)
        if total:
            for sum_so_far, part_gradient in zip(total, gradients, strict=True):
                sum_so_far += part_gradient
        else:
            total = list(gradients)
    return total


def differentiable_gradient(
    network: nn.Module, images: Tensor, labels: Tensor, weights: Tensor | None = None
) -> tuple[Tensor, ...]:
    """The same gradient as a function of `images` (N, C, H, W), for the second backward pass of matching.

    Args:
        weights: float32 (N,), those of the images in the mean, which sum to 1; None for equal ones.
    """
    if weights is None:
        loss = F.cross_entropy(network(images), labels, reduction="sum") / len(images)
    else:
        loss = (F.cross_entropy(network(images), labels, reduction="none") * weights).sum()
    return torch.autograd.grad(loss, trainable(network), create_graph=True, materialize_grads=True)
