"""The one training loop and the one accuracy, for real and synthetic images alike."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from functools import partial
from typing import Any, Protocol

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from condensery.augment import SiameseAugmentation, resolve_strategy
from condensery.data.pool import batches
from condensery.errors import BadInput
from condensery.models.batch_norm import mixes_samples
from condensery.models.custom import trainable
from condensery.models.registry import NetworkFactory
from condensery.records import ImageData, ImageSpec
from condensery.rng import Rng
from condensery.views import Views

Augment = Callable[[Tensor, Rng], Tensor]
OnBatch = Callable[[Tensor, Tensor], None]
"""Gets the indices (n,) of a training batch and the network's logits (n, classes) for it, from before the step."""

FORWARD = 1 / 3
"""Rough work of a forward pass; a training step, which also goes backward, is 1."""
_PASS = 256  # images per pass of a network that is only asked
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


Loss = Callable[[Tensor, Tensor], Tensor]
"""(logits (n, classes), labels) -> the loss summed over the n images. Labels are classes or values for all classes."""


def cross_entropy(logits: Tensor, labels: Tensor) -> Tensor:
    """- sum over classes of p log q, summed over images; p is 1 for the class where labels are classes."""
    return F.cross_entropy(logits, labels, reduction="sum")


def kl_divergence(logits: Tensor, labels: Tensor, temperature: float = 1.0) -> Tensor:
    """sum p log(p / q), q = softmax(logits / temperature), summed over images; not multiplied by temperature^2.

    The labels p have that temperature already (as in RDED's validation/main.py).
    """
    targets = labels if labels.ndim > 1 else F.one_hot(labels, logits.shape[1]).to(logits.dtype)
    return F.kl_div((logits / temperature).log_softmax(1), targets, reduction="sum")


def squared_error(logits: Tensor, labels: Tensor) -> Tensor:
    """Half the squared distance from the labels, summed over images; a class c is 1 - 1/C at c and -1/C elsewhere.

    Source: Zhou et al., FRePo, NeurIPS 2022, whose code centres one-hot labels so.
    """
    if labels.ndim == 1:
        labels = F.one_hot(labels, logits.shape[1]).to(logits.dtype) - 1 / logits.shape[1]
    return 0.5 * (logits - labels).square().sum()


LOSSES = ("cross-entropy", "kl", "mse")
OPTIMIZERS = ("sgd", "adam", "adamw")
SCHEDULES = ("step", "cosine", "one-cycle")


@dataclass(frozen=True)
class Recipe:
    """How a network is trained from scratch.

    Attributes:
        epochs: passes over the images.
        lr, momentum, weight_decay: of the optimiser; momentum is SGD's alone.
        batch_size: images per step; the last batch of an epoch may be smaller.
        decay_after: epochs after which the learning rate is divided by 10 and the optimiser made anew, which
            drops its momentum (authors' code, utils.py, evaluate_synset); for the schedule "step" alone.
        loss: "cross-entropy", "kl" or "mse", see `cross_entropy`, `kl_divergence` and `squared_error`.
        temperature: of "kl", and of the labels that it compares with.
        optimizer: "sgd", "adam" or "adamw".
        schedule: of the learning rate: "step"; "cosine", from `lr` to `floor` in half a wave over all steps;
            "one-cycle", from `lr` to `floor` in a straight line.
        warmup: share of all steps in which "cosine" and "one-cycle" first rise from 0 to `lr` in a straight line.
        floor: the last learning rate as a share of `lr`.
        rates: the learning rate of each step in place of `lr` and a schedule, again from the first after the last; ().
        momenta: the momentum of each step of "sgd" in place of `momentum`, likewise; ().
        order: indices of all images in the order in which every epoch takes them; () shuffles them anew.
        weights: seed of the initial weights, where a set was made for these alone; -1 draws them.

    Raises:
        BadInput: a value out of range.
    """

    epochs: int
    lr: float = 0.01
    momentum: float = 0.9
    weight_decay: float = 5e-4
    batch_size: int = 256
    decay_after: tuple[int, ...] = ()
    loss: str = "cross-entropy"
    temperature: float = 1.0
    optimizer: str = "sgd"
    schedule: str = "step"
    warmup: float = 0.0
    floor: float = 0.0
    rates: tuple[float, ...] = ()
    momenta: tuple[float, ...] = ()
    order: tuple[int, ...] = ()
    weights: int = -1

    def __post_init__(self) -> None:
        for name, choices in (("loss", LOSSES), ("optimizer", OPTIMIZERS), ("schedule", SCHEDULES)):
            if getattr(self, name) not in choices:
                raise BadInput(f"unknown {name} {getattr(self, name)!r}; choose one of {', '.join(choices)}")
        for name in ("epochs", "batch_size"):
            if getattr(self, name) < 1:
                raise BadInput(f"{name} of a recipe must be at least 1, not {getattr(self, name)}")
        for name, low, high in _RANGES:
            if not low <= getattr(self, name) <= high:
                raise BadInput(
                    f"{name} of a recipe must lie between {low:g} and {high:g}, not {getattr(self, name)}"
                )
        if self.schedule != "step" and self.decay_after:
            raise BadInput(f"decay_after is for the schedule step, not for {self.schedule}")
        if self.schedule == "step" and (self.warmup or self.floor):
            raise BadInput("warmup and floor are for the schedules cosine and one-cycle, not for step")
        self._check_steps()
        if sorted(self.order) != list(range(len(self.order))):
            raise BadInput(f"order of a recipe must name each of {len(self.order)} images once")

    def _check_steps(self) -> None:
        """Raises BadInput for rates or momenta of single steps that cannot be."""
        if self.rates and (self.schedule != "step" or self.decay_after):
            raise BadInput("rates are given for each step, so without a schedule or decay_after")
        if not all(0 <= rate <= 1e6 for rate in self.rates):
            raise BadInput("rates of a recipe must lie between 0 and 1e+06")
        if not all(0 <= momentum <= 10 for momentum in self.momenta):
            raise BadInput("momenta of a recipe must lie between 0 and 10")
        if self.momenta and self.optimizer != "sgd":
            raise BadInput(f"momenta are given for each step of sgd, not of {self.optimizer}")

    @property
    def rate_text(self) -> str:
        """The learning rate as people read it."""
        if not self.rates:
            return f"{self.lr:g}, {self.schedule}"
        return f"{min(self.rates):.3g} to {max(self.rates):.3g}, {len(self.rates)} of its own"

    @property
    def loss_function(self) -> Loss:
        if self.loss == "kl":
            return partial(kl_divergence, temperature=self.temperature)
        return squared_error if self.loss == "mse" else cross_entropy

    def make_optimizer(self, network: nn.Module, lr: float) -> torch.optim.Optimizer:
        """A new one. Raises BadInput if the network has nothing to train."""
        parameters = trainable(network)
        if self.optimizer == "sgd":
            return torch.optim.SGD(parameters, lr, self.momentum, weight_decay=self.weight_decay)
        kind = torch.optim.Adam if self.optimizer == "adam" else torch.optim.AdamW
        return kind(parameters, lr, weight_decay=self.weight_decay)

    def rate(self, step: int, steps: int) -> float:
        """The learning rate at `step` of `steps`, from 0, with `rates` or under "cosine" and "one-cycle"."""
        if self.rates:
            return self.rates[step % len(self.rates)]
        rising = round(self.warmup * steps)
        if step < rising:
            return self.lr * (step + 1) / rising
        done = (step - rising) / max(1, steps - rising)
        left = (1 + math.cos(math.pi * done)) / 2 if self.schedule == "cosine" else 1 - done
        return self.lr * (self.floor + (1 - self.floor) * left)

    def to_json(self) -> dict[str, Any]:
        """Every field of the published recipe, and of the others those that are not at their defaults."""
        known = {f.name: (getattr(self, f.name), f.default) for f in fields(self)}
        record = {k: v for k, (v, default) in known.items() if k in _PUBLISHED or v != default}
        return {k: list(v) if isinstance(v, tuple) else v for k, v in record.items()}


_PUBLISHED = ("epochs", "lr", "momentum", "weight_decay", "batch_size", "decay_after")
_RANGES = (
    ("lr", 0, 1e6),
    ("momentum", 0, 1),
    ("weight_decay", 0, 1e6),
    ("temperature", 1e-6, 1e6),
    ("warmup", 0, 1),
    ("floor", 0, 1),
)


def own_recipe(training: Mapping[str, Any]) -> tuple[Recipe, str]:
    """How a set wants to be trained, from the JSON object in its file.

    Returns:
        The recipe, and its augmentation: Siamese groups as in `condensery.augment.resolve_strategy`, or "none".

    Raises:
        BadInput: an unknown key, or a value of the wrong type or out of range.
    """
    kinds = {f.name: type(f.default) if f.name != "epochs" else int for f in fields(Recipe)}
    values: dict[str, Any] = {}
    for key, value in training.items():
        if key == "augmentation" and isinstance(value, str):
            continue
        if key not in kinds:
            raise BadInput(
                f"the set wants to be trained with {key!r:.40}, which this condensery does not know"
            )
        entries = (int, float) if key in ("rates", "momenta") else (int,)
        if kinds[key] is tuple and isinstance(value, list) and all(type(v) in entries for v in value):
            values[key] = tuple(value)
        elif type(value) is kinds[key] or (kinds[key] is float and type(value) is int):
            values[key] = value
        else:
            raise BadInput(f"the set wants to be trained with {key} = {value!r:.40}")
    if "epochs" not in values:
        raise BadInput("the set does not say for how many epochs it wants to be trained")
    strategy = training.get("augmentation", "none")
    if strategy != "none":
        SiameseAugmentation(resolve_strategy(strategy, flip=True))  # refuses groups that there are not
    return Recipe(**values), strategy


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
    if recipe.order and len(recipe.order) != len(images):
        raise BadInput(f"the recipe has an order of {len(recipe.order)} images, not of {len(images)}")
    lr = recipe.lr
    optimizer = recipe.make_optimizer(network, lr)
    per_epoch = math.ceil(len(images) / recipe.batch_size)
    for epoch in range(recipe.epochs):
        train_epoch(
            network,
            optimizer,
            images.in_epoch(epoch) if isinstance(images, ViewImages) else images,
            recipe.batch_size,
            rng.fork(epoch),
            augment=augment,
            chunk=chunk,
            on_batch=on_batch,
            loss=recipe.loss_function,
            rate=None
            if recipe.schedule == "step" and not recipe.rates
            else _rate(recipe, epoch * per_epoch, recipe.epochs * per_epoch),
            momenta=[recipe.momenta[(epoch * per_epoch + i) % len(recipe.momenta)] for i in range(per_epoch)]
            if recipe.momenta
            else (),
            order=recipe.order,
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
    source = rng.fork("network") if recipe.weights < 0 else Rng(recipe.weights)
    network = factory.build(spec, source).to(device)
    train(network, images, recipe, rng, augment=augment, device=device, on_epoch=on_epoch)
    return network


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
        chunk = default_chunk(device)
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
    on_batch: OnBatch | None = None,
    loss: Loss = cross_entropy,
    rate: Callable[[int], float] | None = None,
    momenta: Sequence[float] = (),
    order: Sequence[int] = (),
) -> None:
    """One pass over `images` in random order: mean loss per batch, one optimiser step per batch.

    Args:
        rate: the learning rate of each batch, by its number; None leaves the optimiser's.
        momenta: the momentum of each batch; () leaves the optimiser's.
        order: indices of all images in place of a random order.
    """
    network.train()
    shuffled = torch.randperm(len(images), generator=rng.fork("order").torch())
    for i, indices in enumerate((torch.tensor(order) if order else shuffled).split(batch_size)):
        batch, labels = images.batch(indices)
        if augment is not None:
            batch = augment(batch, rng.fork("augment", i))
        if rate is not None:
            for group in optimizer.param_groups:
                group["lr"] = rate(i)
        if momenta:
            for group in optimizer.param_groups:
                group["momentum"] = momenta[i]
        logits = train_step(network, optimizer, batch, labels, chunk, loss)
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
    correct = total = 0
    for images, labels in batches:
        size = chunk or len(images)
        for part, part_labels in zip(images.split(size), labels.split(size), strict=True):
            correct += int((network(part).argmax(1) == part_labels).sum())
        total += len(labels)
    return correct / total


def accuracy_on_test(
    network: nn.Module, factory: NetworkFactory, data: ImageData, device: torch.device
) -> float:
    """Fraction of the test images that `network`, made by `factory`, classifies correctly."""
    test = batches(data.test, data.spec, device, _PASS)
    if factory.any_layout:
        test = ((forward_layout(images), labels) for images, labels in test)
    return accuracy(network, test, default_chunk(device))
