"""The one training loop and the one accuracy, for real and synthetic images alike."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Protocol

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from condensery.models.batch_norm import mixes_samples
from condensery.rng import Rng

Augment = Callable[[Tensor, Rng], Tensor]
OnBatch = Callable[[Tensor, Tensor], None]
"""Gets the indices (n,) of a training batch and the network's logits (n, classes) for it, from before the step."""

FORWARD = 1 / 3
"""Rough work of a forward pass; a training step, which also goes backward, is 1."""
CPU_CHUNK = 16  # images whose activations in a 128-wide ConvNet at 32x32 still fit a core's cache


def default_chunk(device: torch.device) -> int | None:
    """Images per pass: few on a CPU, where activations should stay in cache; whole batches on a GPU."""
    return CPU_CHUNK if device.type == "cpu" else None


def forward_layout(images: Tensor) -> Tensor:
    """`images` (N, C, H, W) laid out for a pass without a backward pass: channels last on a CPU.

    There a forward pass is faster than in NCHW and a backward pass is not (benchmarks/README.md).
    Only for networks with `any_layout`: `x.view(len(x), -1)`, which people write, fails on this layout.
    """
    if images.device.type != "cpu":
        return images
    return images.contiguous(memory_format=torch.channels_last)


def chunk_for(network: nn.Module, chunk: int | None) -> int | None:
    """`chunk`, or None where splitting a batch would change the result (batch norm in training mode)."""
    return None if mixes_samples(network) else chunk


class Images(Protocol):
    """Labelled images that can be drawn in batches."""

    def __len__(self) -> int: ...

    def batch(self, indices: Tensor) -> tuple[Tensor, Tensor]:
        """Normalised images (n, C, H, W) and their labels at CPU `indices` (n,), on the training device.

        Labels are classes, int64 (n,), or probabilities of all classes, float32 (n, classes).
        """
        ...


@dataclass(frozen=True)
class TensorImages:
    """Images that are held as tensors.

    Attributes:
        images: normalised (N, C, H, W).
        labels: classes, int64 (N,), or probabilities of all classes, float32 (N, classes).
    """

    images: Tensor
    labels: Tensor

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def bytes(self) -> int:
        """Bytes that images and labels take in memory."""
        return self.images.nbytes + self.labels.nbytes

    def batch(self, indices: Tensor) -> tuple[Tensor, Tensor]:
        indices = indices.to(self.labels.device)
        return self.images[indices], self.labels[indices]


@dataclass(frozen=True)
class Recipe:
    """How a network is trained from scratch.

    Attributes:
        epochs: passes over the images.
        lr, momentum, weight_decay: of SGD.
        batch_size: images per step; the last batch of an epoch may be smaller.
        decay_after: epochs after which the learning rate is divided by 10 and the optimiser made anew, which
            drops its momentum (authors' code, utils.py, evaluate_synset).
    """

    epochs: int
    lr: float = 0.01
    momentum: float = 0.9
    weight_decay: float = 5e-4
    batch_size: int = 256
    decay_after: tuple[int, ...] = ()

    def optimizer(self, network: nn.Module, lr: float) -> torch.optim.Optimizer:
        return torch.optim.SGD(network.parameters(), lr, self.momentum, weight_decay=self.weight_decay)


def fit(
    network: nn.Module,
    images: Images,
    recipe: Recipe,
    rng: Rng,
    *,
    augment: Augment | None = None,
    chunk: int | None = None,
    on_epoch: Callable[[int], None] | None = None,
    on_batch: OnBatch | None = None,
) -> None:
    """Train `network` in place by `recipe`."""
    lr = recipe.lr
    optimizer = recipe.optimizer(network, lr)
    for epoch in range(recipe.epochs):
        train_epoch(
            network,
            optimizer,
            images,
            recipe.batch_size,
            rng.fork(epoch),
            augment=augment,
            chunk=chunk,
            on_batch=on_batch,
        )
        if epoch + 1 in recipe.decay_after:
            lr *= 0.1
            optimizer = recipe.optimizer(network, lr)
        if on_epoch:
            on_epoch(epoch)


def train_epoch(
    network: nn.Module,
    optimizer: torch.optim.Optimizer,
    images: Images,
    batch_size: int,
    rng: Rng,
    *,
    augment: Augment | None = None,
    chunk: int | None = None,
    on_batch: OnBatch | None = None,
) -> None:
    """One pass over `images` in random order: mean cross entropy per batch, one optimiser step per batch."""
    network.train()
    order = torch.randperm(len(images), generator=rng.fork("order").torch())
    for i, indices in enumerate(order.split(batch_size)):
        batch, labels = images.batch(indices)
        if augment is not None:
            batch = augment(batch, rng.fork("augment", i))
        logits = train_step(network, optimizer, batch, labels, chunk)
        if on_batch is not None:
            on_batch(indices, logits)


def train_step(
    network: nn.Module, optimizer: torch.optim.Optimizer, images: Tensor, labels: Tensor, chunk: int | None
) -> Tensor:
    """One optimiser step on the mean cross entropy of a batch, in passes of at most `chunk` images.

    Args:
        labels: classes, int64 (n,), or probabilities of all classes, float32 (n, classes).

    Returns:
        The logits (n, classes) that the gradient was taken of, detached.
    """
    optimizer.zero_grad()
    chunk = chunk_for(network, chunk) or len(images)
    logits = []
    for part, part_labels in zip(images.split(chunk), labels.split(chunk), strict=True):
        logits.append(network(part))
        loss = F.cross_entropy(logits[-1], part_labels, reduction="sum") / len(images)
        loss.backward()
        logits[-1] = logits[-1].detach()
    optimizer.step()
    return torch.cat(logits)


@torch.no_grad()
def accuracy(network: nn.Module, batches: Iterable[tuple[Tensor, Tensor]], chunk: int | None = None) -> float:
    """Fraction of images classified correctly, in evaluation mode.

    Args:
        batches: normalised images (n, C, H, W) and labels (n,).
    """
    network.eval()
    correct = total = 0
    for images, labels in batches:
        size = chunk or len(images)
        for part, part_labels in zip(images.split(size), labels.split(size), strict=True):
            correct += int((network(part).argmax(1) == part_labels).sum())
        total += len(labels)
    return correct / total
