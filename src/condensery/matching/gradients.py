"""Gradients of the classification loss with respect to a network's parameters, for images of one class."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn


def class_gradient(network: nn.Module, images: Tensor, label: int, chunk: int | None = None) -> list[Tensor]:
    """Gradient of the mean cross entropy over `images`, all labelled `label`, without a graph.

    Args:
        network: maps (N, C, H, W) to logits (N, classes).
        images: (N, C, H, W), normalised.
        label: the class of every image.
        chunk: images per pass, None for all at once. On a CPU, passes small enough for the cache are about
            three times faster; the sum over chunks equals the single pass to float tolerance as long as no
            layer mixes the images of a batch.

    Returns:
        One tensor per parameter, in `network.parameters()` order; zeros for one that the loss does not use.
    """
    parameters = list(network.parameters())
    total: list[Tensor] = []
    for part in images.split(chunk or len(images)):
        loss = _cross_entropy_sum(network, part, label) / len(images)
        gradients = torch.autograd.grad(loss, parameters, materialize_grads=True)
        if total:
            for sum_so_far, gradient in zip(total, gradients, strict=True):
                sum_so_far += gradient
        else:
            total = list(gradients)
    return total


def differentiable_class_gradient(network: nn.Module, images: Tensor, label: int) -> tuple[Tensor, ...]:
    """The same gradient as a function of `images` (N, C, H, W), for the second backward pass of matching."""
    loss = _cross_entropy_sum(network, images, label) / len(images)
    parameters = list(network.parameters())
    return torch.autograd.grad(loss, parameters, create_graph=True, materialize_grads=True)


def _cross_entropy_sum(network: nn.Module, images: Tensor, label: int) -> Tensor:
    labels = torch.full((len(images),), label, dtype=torch.long, device=images.device)
    return F.cross_entropy(network(images), labels, reduction="sum")
