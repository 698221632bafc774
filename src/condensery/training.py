"""The one training loop and the one accuracy, for real and synthetic images alike."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor, nn

from condensery.data.pool import batches
from condensery.errors import BadInput
from condensery.models.batch_norm import mixes_samples
from condensery.models.precision import BFLOAT16, FLOAT32, precision_of
from condensery.models.registry import NetworkFactory
from condensery.records import ImageData, ImageSpec
from condensery.rng import Rng
from condensery.training_recipe import Loss, Recipe, cross_entropy
from condensery.views import Views

Augment = Callable[[Tensor, Rng], Tensor]
Batch = tuple[Tensor, Tensor, Tensor]
"""Indices (n,) of images, the images (n, C, H, W) as a network sees them, and their labels."""
OnBatch = Callable[[Tensor, Tensor], None]
"""Gets the indices (n,) of a training batch and the network's logits (n, classes) for it, from before the step."""

FORWARD = 1 / 3
"""Rough work of a forward pass; a training step, which also goes backward, is 1."""
_PASS = 256  # images per pass of a network that is only asked
CPU_CHUNK = 16  # images whose activations in a 128-wide ConvNet at 32x32 still fit a core's cache
_LOW_CHUNK = 128  # in bfloat16, where calling oneDNN costs more than the cache gives (docs/speed.md)


def default_chunk(device: torch.device, precision: str = FLOAT32) -> int | None:
    """Images per pass: few on a CPU, where activations should stay in cache; whole batches on a GPU."""
    if device.type != "cpu":
        return None
    return _LOW_CHUNK if precision == BFLOAT16 else CPU_CHUNK


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
        indices = indices.to(self.labels.device, non_blocking=True)
        return self.images[indices], self.labels[indices]


@dataclass(frozen=True)
class ViewImages:
    """Images of which a network sees one view in each pass, with the label of that view.

    Pass e shows view e % V of every image.

    Attributes:
        images: normalised (M, C, H, W).
        views: theirs.
        temperature: of the labels; None takes their own.
    """

    images: Tensor
    views: Views
    temperature: float | None = None

    def __len__(self) -> int:
        return len(self.images)

    def batch(self, indices: Tensor) -> tuple[Tensor, Tensor]:
        """The first view of each image."""
        return self.in_epoch(0).batch(indices)

    def in_epoch(self, epoch: int) -> Images:
        """What pass number `epoch` shows."""
        return _OneView(self, epoch % self.views.per_image)


@dataclass(frozen=True)
class _OneView:
    source: ViewImages
    number: int

    def __len__(self) -> int:
        return len(self.source)

    def batch(self, indices: Tensor) -> tuple[Tensor, Tensor]:
        source = self.source
        indices = indices.to(source.images.device)
        views = source.views.of(source.images, indices, self.number)
        return views, source.views.probabilities(indices, self.number, source.temperature)


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
    """Train `network` in place by `recipe`. Raises BadInput if its order is one of another number of images."""
    epochs = draws(images, recipe, rng, augment)
    loss = recipe.loss_function
    follow(network, recipe, len(images), epochs, loss, chunk=chunk, on_epoch=on_epoch, on_batch=on_batch)


def draws(
    images: Images, recipe: Recipe, rng: Rng, augment: Augment | None
) -> Callable[[int], Iterator[Batch]]:
    """What a network is shown by `recipe` in each epoch, by its number.

    Raises:
        BadInput: the recipe has an order of another number of images.
    """
    if recipe.order and len(recipe.order) != len(images):
        raise BadInput(f"the recipe has an order of {len(recipe.order)} images, not of {len(images)}")

    def epoch(number: int) -> Iterator[Batch]:
        shown = images.in_epoch(number) if isinstance(images, ViewImages) else images
        return _drawn(shown, recipe.batch_size, rng.fork(number), augment, recipe.order)

    return epoch


def follow(
    network: nn.Module,
    recipe: Recipe,
    count: int,
    epochs: Callable[[int], Iterator[Batch]],
    loss: Loss,
    *,
    chunk: int | None = None,
    on_epoch: Callable[[int], None] | None = None,
    on_batch: OnBatch | None = None,
) -> None:
    """The optimiser and the learning rates of `recipe`, with the batches of `epochs`, `count` images in each."""
    lr = recipe.lr
    optimizer = recipe.make_optimizer(network, lr)
    per_epoch = math.ceil(count / recipe.batch_size)
    for epoch in range(recipe.epochs):
        steps = range(epoch * per_epoch, (epoch + 1) * per_epoch)
        _train_on(
            network,
            optimizer,
            epochs(epoch),
            chunk,
            loss,
            rate=None
            if recipe.schedule == "step" and not recipe.rates
            else _rate(recipe, steps.start, recipe.epochs * per_epoch),
            momenta=[recipe.momenta[i % len(recipe.momenta)] for i in steps] if recipe.momenta else (),
            on_batch=on_batch,
        )
        if epoch + 1 in recipe.decay_after:
            lr *= 0.1
            optimizer = recipe.make_optimizer(network, lr)
        if on_epoch:
            on_epoch(epoch)


def train_network(
    factory: NetworkFactory,
    spec: ImageSpec,
    images: Images,
    recipe: Recipe,
    rng: Rng,
    *,
    augment: Augment | None,
    device: torch.device,
    on_epoch: Callable[[int], None] | None = None,
) -> nn.Module:
    """A fresh network, trained by `recipe` on `images`, which are drawn on `device`."""
    network = untrained(factory, spec, recipe, rng, device)
    train(network, images, recipe, rng, augment=augment, device=device, on_epoch=on_epoch)
    return network


def untrained(
    factory: NetworkFactory, spec: ImageSpec, recipe: Recipe, rng: Rng, device: torch.device
) -> nn.Module:
    """A fresh network with the weights that `recipe` starts from."""
    source = rng.fork("network") if recipe.weights < 0 else Rng(recipe.weights)
    return factory.build(spec, source).to(device, non_blocking=True)


def train(
    network: nn.Module,
    images: Images,
    recipe: Recipe,
    rng: Rng,
    *,
    augment: Augment | None,
    device: torch.device,
    on_epoch: Callable[[int], None] | None = None,
) -> None:
    """`fit` with layers that draw, such as dropout, and in passes that suit the device."""
    with rng.fork("layers").seeded(device):
        chunk = default_chunk(device, precision_of(network))
        fit(network, images, recipe, rng.fork("training"), augment=augment, chunk=chunk, on_epoch=on_epoch)


def _rate(recipe: Recipe, before: int, steps: int) -> Callable[[int], float]:
    """The learning rate of batch i of an epoch that begins after `before` of `steps` steps."""
    return lambda i: recipe.rate(before + i, steps)


def train_epoch(
    network: nn.Module,
    optimizer: torch.optim.Optimizer,
    images: Images,
    batch_size: int,
    rng: Rng,
    *,
    augment: Augment | None = None,
    chunk: int | None = None,
    rate: Callable[[int], float] | None = None,
    order: Sequence[int] = (),
) -> None:
    """One pass over `images` in random order: mean loss per batch, one optimiser step per batch.

    Args:
        rate: the learning rate of each batch, by its number; None leaves the optimiser's.
        order: indices of all images in place of a random order.
    """
    _train_on(network, optimizer, _drawn(images, batch_size, rng, augment, order), chunk, rate=rate)


def _drawn(
    images: Images, batch_size: int, rng: Rng, augment: Augment | None, order: Sequence[int] = ()
) -> Iterator[Batch]:
    """The batches of one epoch."""
    shuffled = torch.randperm(len(images), generator=rng.fork("order").torch())
    for i, indices in enumerate((torch.tensor(order) if order else shuffled).split(batch_size)):
        batch, labels = images.batch(indices)
        if augment is not None:
            batch = augment(batch, rng.fork("augment", i))
        yield indices, batch, labels


def _train_on(
    network: nn.Module,
    optimizer: torch.optim.Optimizer,
    batches: Iterable[Batch],
    chunk: int | None,
    loss: Loss = cross_entropy,
    *,
    rate: Callable[[int], float] | None = None,
    momenta: Sequence[float] = (),
    on_batch: OnBatch | None = None,
) -> None:
    """One optimiser step per batch; `rate` and `momenta` are those of each batch in place of the optimiser's."""
    network.train()
    for i, (indices, images, labels) in enumerate(batches):
        if rate is not None:
            for group in optimizer.param_groups:
                group["lr"] = rate(i)
        if momenta:
            for group in optimizer.param_groups:
                group["momentum"] = momenta[i]
        logits = train_step(network, optimizer, images, labels, chunk, loss)
        if on_batch is not None:
            on_batch(indices, logits)


def train_step(
    network: nn.Module,
    optimizer: torch.optim.Optimizer,
    images: Tensor,
    labels: Tensor,
    chunk: int | None,
    loss: Loss = cross_entropy,
) -> Tensor:
    """One optimiser step on the mean loss of a batch, in passes of at most `chunk` images.

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
        (loss(logits[-1], part_labels) / len(images)).backward()
        logits[-1] = logits[-1].detach()
    optimizer.step()
    return torch.cat(logits)


@torch.no_grad()
def logits_of(network: nn.Module, images: Tensor, chunk: int | None = None) -> Tensor:
    """What `network` says in evaluation mode, float32 (N, classes), of normalised `images` (N, C, H, W)."""
    network.eval()
    return torch.cat([network(part).float() for part in images.split(chunk or len(images))])


def probabilities(network: nn.Module, images: Tensor, temperature: float) -> Tensor:
    """softmax(logits / temperature), float32 (N, classes), of normalised `images` (N, C, H, W)."""
    chunk = default_chunk(images.device) or _PASS
    return (logits_of(network, images, chunk) / temperature).softmax(1)


@torch.no_grad()
def accuracy(network: nn.Module, batches: Iterable[tuple[Tensor, Tensor]], chunk: int | None = None) -> float:
    """Fraction of images classified correctly, in evaluation mode.

    Args:
        batches: normalised images (n, C, H, W) and labels (n,).
    """
    network.eval()
    total, correct = 0, torch.zeros((), dtype=torch.long)
    for images, labels in batches:
        size = chunk or len(images)
        for part, part_labels in zip(images.split(size), labels.split(size), strict=True):
            correct = (network(part).argmax(1) == part_labels).sum() + correct  # read once, at the end
        total += len(labels)
    return int(correct) / total


def accuracy_on_test(
    network: nn.Module, factory: NetworkFactory, data: ImageData, device: torch.device
) -> float:
    """Fraction of the test images that `network`, made by `factory`, classifies correctly."""
    test = batches(data.test, data.spec, device, _PASS)
    if factory.any_layout:
        test = ((forward_layout(images), labels) for images, labels in test)
    return accuracy(network, test, default_chunk(device, factory.precision))
