"""Gradients of the classification loss with respect to a network's parameters."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.func import functional_call, grad, grad_and_value, vmap
from torch.nn.utils.rnn import pad_sequence

from condensery.matching.distances import Distance, Gradients
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


def sum_of_distances(
    network: nn.Module, distance: Distance, synthetic: Sequence[Tensor], real: Sequence[Gradients], first: int
) -> Tensor:
    """`distance(differentiable_gradient(...), real)` of several classes, added up, in one pass over all of them.

    On a GPU, where small batches wait for the calls that ask for them, it asks for a tenth of the operations. The
    gradient of the distance is computed with it: differentiating it later, outside of `vmap`, torch 2.13 gets layer
    norm wrong.

    Args:
        network: its layers neither mix the images of a batch nor draw random numbers.
        synthetic: images of classes `first`, `first` + 1, ...: (n, C, H, W), each its own n.
        real: the gradient of real images of each of them.
    """
    weights = {name: p.detach() for name, p in network.named_parameters() if p.requires_grad}

    def loss(weights: dict[str, Tensor], images: Tensor, label: Tensor, share: Tensor) -> Tensor:
        losses = F.cross_entropy(
            functional_call(network, weights, (images,)), label.expand(len(images)), reduction="none"
        )
        return (losses * share).sum()

    def gap(images: Tensor, label: Tensor, share: Tensor, target: Gradients) -> Tensor:
        return distance(tuple(grad(loss)(weights, images, label, share).values()), target)

    images = pad_sequence(list(synthetic), batch_first=True)  # (classes, most, C, H, W); black ones weigh 0
    shares = pad_sequence([images.new_full((len(own),), 1 / len(own)) for own in synthetic], batch_first=True)
    labels = torch.arange(first, first + len(synthetic), device=images.device)
    targets = tuple(torch.stack(of_all) for of_all in zip(*real, strict=True))
    gradient, gaps = vmap(grad_and_value(gap))(images.detach(), labels, shares, targets)
    return _WithGradient.apply(images, gaps.sum(), gradient)  # type: ignore[no-any-return]


class _WithGradient(torch.autograd.Function):
    """A function of `images` of which value and gradient are known."""

    @staticmethod
    def forward(ctx: Any, images: Tensor, value: Tensor, gradient: Tensor) -> Tensor:
        ctx.save_for_backward(gradient)
        return value.clone()

    @staticmethod
    def backward(ctx: Any, *slopes: Tensor) -> tuple[Tensor, None, None]:
        return slopes[0] * ctx.saved_tensors[0], None, None
