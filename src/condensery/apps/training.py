"""Training for a number of steps, where what counts is iterations and not passes."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import torch
from torch import Tensor, nn

from condensery.rng import Rng
from condensery.training import Augment, Images, chunk_for, default_chunk
from condensery.training_recipe import Recipe

StepLoss = Callable[[Tensor, Tensor, Tensor], Tensor]
"""(images (n, C, H, W), logits (n, classes), labels (n,)) -> the loss, summed over the n images."""


def drawn(count: int, batch_size: int, steps: int, rng: Rng) -> Iterator[Tensor]:
    """Indices (n,) of `steps` batches from passes over `count` images, each in a random order; `rng` decides it."""
    left, passes = steps, 0
    while left > 0:
        order = torch.randperm(count, generator=rng.fork("order", passes).torch())
        batches = order.split(batch_size)[:left]
        yield from batches
        left, passes = left - len(batches), passes + 1


def train_steps(
    network: nn.Module,
    batches: Iterator[tuple[Tensor, Tensor]],
    recipe: Recipe,
    rng: Rng,
    loss: StepLoss,
    *,
    augment: Augment | None,
    device: torch.device,
) -> None:
    """A step of the optimiser of `recipe` at its learning rate for each of `batches`: images and their classes."""
    network.train()
    optimizer = recipe.make_optimizer(network, recipe.lr)
    with rng.fork("layers").seeded(device):
        for i, (images, labels) in enumerate(batches):
            if augment is not None:
                images = augment(images, rng.fork("augment", i))
            optimizer.zero_grad()
            size = chunk_for(network, default_chunk(device)) or len(images)
            for part, its_labels in zip(images.split(size), labels.split(size), strict=True):
                (loss(part, network(part), its_labels) / len(images)).backward()
            optimizer.step()


def batches_of(images: Images, recipe: Recipe, steps: int, rng: Rng) -> Iterator[tuple[Tensor, Tensor]]:
    """`steps` batches of `images`."""
    yield from (images.batch(indices) for indices in drawn(len(images), recipe.batch_size, steps, rng))
