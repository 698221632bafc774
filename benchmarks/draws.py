"""What condensery draws in a step, handed to the transcription, so that both compute the same thing."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import nn
from transcription import IDENTITY, Draw, PlainConvNet, Transform

from condensery import Rng, Task
from condensery.augment import SiameseAugmentation, resolve_strategy
from condensery.methods.dc import DC
from condensery.methods.dm import DM
from condensery.methods.dsa import DSA


def plain_network(task: Task, rng: Rng) -> PlainConvNet:
    """The network that the task makes from `rng`, in plain layers with the same weights."""
    ours = task.new_network(rng)
    options = dict(task.network.options)
    plain = PlainConvNet(task.spec.channels, task.spec.height, task.spec.num_classes, **options)
    copy_weights(ours, plain)
    return plain


def copy_weights(source: nn.Module, target: nn.Module) -> None:
    """Parameters in order; both networks have the same."""
    with torch.no_grad():
        for mine, other in zip(target.parameters(), source.parameters(), strict=True):
            mine.copy_(other)


def siamese(method: DM | DC | DSA, task: Task) -> SiameseAugmentation:
    return SiameseAugmentation(resolve_strategy(method.augmentation, task.spec.flip))


def draw_batches(method: DM | DC | DSA, task: Task, rng: Rng, network: nn.Module | None) -> Draw:
    """Real batches and transforms of one step, whose source is `rng`."""
    augmentation = siamese(method, task)
    real, transforms = [], []
    for c in task.classes:
        parameters = augmentation.sample(rng.fork("augmentation", c), task.spec.shape[1:])
        transforms.append((parameters.group, parameters.values))
        real.append(task.pool.sample(c, method.real_batch, rng.fork("real batch", c)))
    return Draw(real, transforms, network)


def dm_draws(method: DM, task: Task, rng: Rng, steps: int) -> Iterator[Draw]:
    """As `condensery.driver` draws with `rng`."""
    network = plain_network(task, rng.fork("start").fork("network"))
    for step in range(steps):
        source = rng.fork("step", step)
        yield draw_batches(method, task, source, network)
        network = plain_network(task, source.fork("advance").fork("network"))


def matching_draws(
    method: DC | DSA, task: Task, rng: Rng, steps: int, loops: tuple[int, int]
) -> Iterator[Draw]:
    """As `condensery.driver` draws with `rng`, for `loops` (outer, inner)."""
    outer, inner = loops
    network: PlainConvNet | None = plain_network(task, rng.fork("start").fork("network"))
    for step in range(steps):
        source = rng.fork("step", step)
        last = (step + 1) % outer == 0
        draw = draw_batches(method, task, source, network)
        training = () if last else tuple(_training(method, task, source.fork("advance"), inner))
        yield Draw(draw.real, draw.transforms, network, training)
        network = plain_network(task, source.fork("advance").fork("network")) if last else None


def _training(method: DC | DSA, task: Task, rng: Rng, inner: int) -> Iterator[tuple[torch.Tensor, Transform]]:
    augmentation = siamese(method, task)
    count = sum(task.counts)
    for epoch in range(inner):
        source = rng.fork("inner", epoch)
        order = torch.randperm(count, generator=source.fork("order").torch())
        for i, indices in enumerate(order.split(method.train_batch)):
            transform = IDENTITY
            if augmentation.strategy not in ("", "none"):
                p = augmentation.sample(source.fork("augment", i), task.spec.shape[1:], len(indices))
                transform = (p.group, p.values)
            yield indices, transform
