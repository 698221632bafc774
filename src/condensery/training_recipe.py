"""How a network is trained, as values: the loss, the optimiser, the learning rate of each step."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, fields
from functools import partial
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from condensery.augment import SiameseAugmentation, resolve_strategy
from condensery.errors import BadInput
from condensery.models.custom import trainable
from condensery.optimizers import SGD, Adam, AdamW
from condensery.text import count

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

    draws: ClassVar[bool] = True
    """Whether another network comes of the same images."""

    def steps(self, images: int) -> int:
        """Of the optimiser, on so many images."""
        return self.epochs * math.ceil(images / self.batch_size)

    def text(self, augmentation: str) -> str:
        """For people."""
        loss = f"{self.loss} at temperature {self.temperature:g}" if self.loss == "kl" else self.loss
        order = " in a fixed order" if self.order else ""
        weights = ", from weights that the set names" if self.weights >= 0 else ""
        epochs = f"{count(self.epochs, 'epoch')} in batches of {self.batch_size}{order}"
        return f"{epochs}, {self.optimizer} at {self.rate_text}, {loss}, augmentation {augmentation}{weights}"

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
            return SGD(parameters, lr, self.momentum, weight_decay=self.weight_decay)
        kind = Adam if self.optimizer == "adam" else AdamW
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


KERNELS = ("ntk", "nngp", "features")


@dataclass(frozen=True)
class Regression:
    """Kernel ridge regression, which some sets are made for, in place of training.

    Attributes:
        kernel: "ntk" or "nngp" of infinitely wide fully connected networks with ReLU, or "features": of random networks
            of the architecture that would be trained.
        depth: hidden layers of the former.
        networks: of the latter, whose features are joined.
        ridge: share of the mean diagonal of the set's kernel that is added to its diagonal.
        loss: "mse": labels are values for squared errors, not probabilities.

    Raises:
        BadInput: a value out of range.
    """

    kernel: str
    depth: int = 1
    networks: int = 8
    ridge: float = 1e-6
    loss: str = "mse"

    epochs: ClassVar[int] = 0

    def __post_init__(self) -> None:
        for name, choices in (("kernel", KERNELS), ("loss", ("mse",))):
            if getattr(self, name) not in choices:
                raise BadInput(f"unknown {name} {getattr(self, name)!r}; choose one of {', '.join(choices)}")
        for name, low, high in (("depth", 1, 1000), ("networks", 1, 1000), ("ridge", 0, 1e6)):
            if not low <= getattr(self, name) <= high:
                raise BadInput(
                    f"{name} of a regression must lie between {low:g} and {high:g}, not {getattr(self, name)}"
                )

    @property
    def draws(self) -> bool:
        """Whether another classifier comes of the same images."""
        return self.kernel == "features"

    def steps(self, images: int) -> int:
        """Of an optimiser: none."""
        return 0

    def text(self, augmentation: str) -> str:
        """For people."""
        of = (
            f"features of {count(self.networks, 'random network')}"
            if self.draws
            else f"{self.kernel} of infinitely wide networks with {count(self.depth, 'hidden layer')}"
        )
        return f"kernel ridge regression, {of}, ridge {self.ridge:g}; no network is trained"

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


OwnRecipe = Recipe | Regression
_REQUIRED: dict[str, type] = {"epochs": int, "kernel": str}


def own_recipe(training: Mapping[str, Any]) -> tuple[OwnRecipe, str]:
    """How a set wants to be trained, from the JSON object in its file.

    Returns:
        The recipe, and its augmentation: Siamese groups as in `condensery.augment.resolve_strategy`, or "none".

    Raises:
        BadInput: an unknown key, or a value of the wrong type or out of range.
    """
    made = Regression if "kernel" in training else Recipe
    kinds = {f.name: _REQUIRED.get(f.name) or type(f.default) for f in fields(made)}
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
            raise BadInput(
                f"the set wants to be trained with {key} = {value!r:.40}, which is of the wrong type"
            )
    if made is Recipe and "epochs" not in values:
        raise BadInput("the set does not say for how many epochs it wants to be trained")
    strategy = training.get("augmentation", "none")
    if strategy != "none":
        SiameseAugmentation(resolve_strategy(strategy, flip=True))  # refuses groups that there are not
    return made(**values), strategy
