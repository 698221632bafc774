"""Learners: how a network takes up a new task without losing the earlier ones.

Each is a frozen dataclass whose fields are its settings. `learn` gets the network as it was after the step before.
Outputs of classes to come exist from the start; loss and choice leave them out.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any, ClassVar, Protocol

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from condensery import plugins
from condensery.apps.training import StepLoss, batches_of, drawn, train_steps
from condensery.errors import BadInput, did_you_mean
from condensery.models.registry import NetworkFactory
from condensery.records import ImageSpec
from condensery.rng import Rng
from condensery.training import FORWARD, Augment, Images, TensorImages, train_network
from condensery.training_recipe import Recipe


@dataclass(frozen=True)
class Joined:
    """Images of two kinds as one, the first before the second."""

    first: Images
    second: Images

    def __len__(self) -> int:
        return len(self.first) + len(self.second)

    def batch(self, indices: Tensor) -> tuple[Tensor, Tensor]:
        count = len(self.first)
        sides = ((self.first, indices[indices < count]), (self.second, indices[indices >= count] - count))
        parts = [images.batch(chosen) for images, chosen in sides if len(chosen)]
        return torch.cat([images for images, _ in parts]), torch.cat([labels for _, labels in parts])


@dataclass(frozen=True)
class Lesson:
    """What there is to learn from at one step.

    Attributes:
        new: the real images of the step, with the stream's classes.
        arrival: int64 (len(new),), the order in which they come.
        old: the memory of earlier steps; None at the first.
        kept: the memory of this step.
        rivals: see `Stream.rivals`.
        heads: the groups of classes that distillation compares, old ones before the new.
        renewed: whether this step's classes are a group of their own.
        network, spec: make a network for all classes.
    """

    new: Images
    arrival: Tensor
    old: TensorImages | None
    kept: TensorImages
    rivals: Tensor
    heads: list[Tensor]
    renewed: bool
    network: NetworkFactory
    spec: ImageSpec
    augment: Augment | None
    device: torch.device

    @property
    def memory(self) -> TensorImages:
        """All that is kept, this step's too."""
        if self.old is None:
            return self.kept
        images = torch.cat([self.old.images, self.kept.images])
        return TensorImages(images, torch.cat([self.old.labels, self.kept.labels]))

    def fresh(self, rng: Rng) -> nn.Module:
        """A network with random weights."""
        return self.network.build(self.spec, rng.fork("network")).to(self.device)

    def loss(self, logits: Tensor, labels: Tensor) -> Tensor:
        """Cross entropy among the classes that an image may be taken for, summed over images."""
        rivals = self.rivals.to(labels.device)[labels]
        return F.cross_entropy(logits.masked_fill(~rivals, -math.inf), labels, reduction="sum")


class Learner(Protocol):
    """The contract.

    Attributes:
        name, summary: for the command line.
        continues: whether it goes on with the network of the step before.
    """

    name: ClassVar[str]
    summary: ClassVar[str]
    continues: ClassVar[bool]
    __dataclass_fields__: ClassVar[dict[str, Any]]

    def learn(self, network: nn.Module | None, lesson: Lesson, rng: Rng) -> nn.Module:
        """The network after this step; `network` is that of the step before, and may be changed."""
        ...

    def work(self, new: int, memory: int) -> float:
        """Images that go through a training step, for so many new ones and so many in memory after the step."""
        ...


@dataclass(frozen=True)
class EEIL:
    """New images and memory together with distillation, then balanced fine-tuning on memory alone.

    F. M. Castro et al., "End-to-End Incremental Learning", ECCV 2018; numbers as Zhao, Mopuri & Bilen, "Dataset
    Condensation with Gradient Matching", ICLR 2021, appendix.
    """

    name: ClassVar[str] = "eeil"
    summary: ClassVar[str] = "new images and memory, distillation, balanced fine-tuning (Castro et al., 2018)"
    continues: ClassVar[bool] = True

    steps: int = 5000
    """iterations on new images and memory"""
    lr: float = 0.01
    """their learning rate"""
    balanced_steps: int = 500
    """iterations on memory alone"""
    balanced_lr: float = 0.001
    """their learning rate"""
    weight: float = 1.0
    """of the distillation loss"""
    temperature: float = 2.0
    """of distillation"""
    batch_size: int = 256
    """images in an iteration"""

    def __post_init__(self) -> None:
        if not self.temperature > 0:
            raise BadInput(f"the temperature of distillation must be more than 0, not {self.temperature:g}")

    def learn(self, network: nn.Module | None, lesson: Lesson, rng: Rng) -> nn.Module:
        teachers = []
        if network is not None:
            teachers.append((_frozen(network), lesson.heads[:-1] if lesson.renewed else lesson.heads))
        network = lesson.fresh(rng) if network is None else network
        images = Joined(lesson.new, lesson.old) if lesson.old is not None else lesson.new
        self._train(network, images, self.steps, self.lr, lesson, teachers, rng.fork("main"))
        if lesson.old is not None:
            if lesson.renewed:  # else the new classes would be lost to the balanced images
                teachers.append((_frozen(network), lesson.heads[-1:]))
            self._train(
                network,
                lesson.memory,
                self.balanced_steps,
                self.balanced_lr,
                lesson,
                teachers,
                rng.fork("balanced"),
            )
        return network

    def work(self, new: int, memory: int) -> float:
        return (self.steps + self.balanced_steps) * self.batch_size * (1 + FORWARD * bool(self.weight))

    def _train(
        self,
        network: nn.Module,
        images: Images,
        steps: int,
        lr: float,
        lesson: Lesson,
        teachers: Sequence[tuple[nn.Module, list[Tensor]]],
        rng: Rng,
    ) -> None:
        recipe = Recipe(1, lr=lr, batch_size=self.batch_size)

        def loss(batch: Tensor, logits: Tensor, labels: Tensor) -> Tensor:
            total = lesson.loss(logits, labels)
            for teacher, heads in teachers if self.weight else ():
                total = total + self.weight * distillation(teacher, heads, batch, logits, self.temperature)
            return total

        _train(network, batches_of(images, recipe, steps, rng), recipe, rng, loss, lesson)


def distillation(
    teacher: nn.Module, heads: Sequence[Tensor], images: Tensor, logits: Tensor, temperature: float
) -> Tensor:
    """Cross entropy of softened outputs, over each group of classes apart, summed over groups and images."""
    with torch.no_grad():
        known = teacher(images)
    total = logits.new_zeros(())
    for head in heads:
        head = head.to(logits.device)
        targets = (known[:, head] / temperature).softmax(1)
        total = total + F.cross_entropy(logits[:, head] / temperature, targets, reduction="sum")
    return total


@dataclass(frozen=True)
class GDumb:
    """A fresh network at each step, trained on the memory alone.

    A. Prabhu et al., "GDumb", ECCV 2020; as Zhao & Bilen, "Dataset Condensation with Distribution Matching", WACV 2023:
    trained as condensed sets are evaluated, with Siamese augmentation in place of CutMix.
    """

    name: ClassVar[str] = "gdumb"
    summary: ClassVar[str] = "a fresh network on the memory alone (Prabhu et al., 2020)"
    continues: ClassVar[bool] = False

    epochs: int = 1000
    """passes over the memory"""

    def learn(self, network: nn.Module | None, lesson: Lesson, rng: Rng) -> nn.Module:
        # As `condensery.evaluation.protocols` counts epochs.
        recipe = Recipe(self.epochs + 1, decay_after=(self.epochs // 2 + 2,))
        return train_network(
            lesson.network,
            lesson.spec,
            lesson.memory,
            recipe,
            rng,
            augment=lesson.augment,
            device=lesson.device,
        )

    def work(self, new: int, memory: int) -> float:
        return (self.epochs + 1) * memory


@dataclass(frozen=True)
class Replay:
    """Experience replay: each batch of new images comes with one from memory; one pass over the new images.

    A. Chaudhry et al., "On Tiny Episodic Memories in Continual Learning", 2019. The memory of the running step is made
    at its end.
    """

    name: ClassVar[str] = "er"
    summary: ClassVar[str] = "a batch from memory with each new one, in one pass (Chaudhry et al., 2019)"
    continues: ClassVar[bool] = True

    passes: int = 1
    """over the new images"""
    lr: float = 0.03
    """learning rate"""
    batch_size: int = 10
    """new images in a batch, and as many from memory"""

    def learn(self, network: nn.Module | None, lesson: Lesson, rng: Rng) -> nn.Module:
        network = lesson.fresh(rng) if network is None else network
        recipe = Recipe(1, lr=self.lr, momentum=0.0, weight_decay=0.0, batch_size=self.batch_size)
        _train(network, self._batches(lesson, rng), recipe, rng, lambda _, x, y: lesson.loss(x, y), lesson)
        return network

    def work(self, new: int, memory: int) -> float:
        return 2 * self.passes * new

    def _batches(self, lesson: Lesson, rng: Rng) -> Iterator[tuple[Tensor, Tensor]]:
        parts = [part for _ in range(self.passes) for part in lesson.arrival.split(self.batch_size)]
        old = lesson.old
        replayed = iter(()) if old is None else drawn(len(old), self.batch_size, 10**9, rng.fork("memory"))
        for indices in parts:
            batch = [lesson.new.batch(indices)]
            if old is not None:
                batch.append(old.batch(next(replayed)))
            yield torch.cat([images for images, _ in batch]), torch.cat([labels for _, labels in batch])


def _train(
    network: nn.Module,
    batches: Iterator[tuple[Tensor, Tensor]],
    recipe: Recipe,
    rng: Rng,
    loss: StepLoss,
    lesson: Lesson,
) -> None:
    train_steps(network, batches, recipe, rng, loss, augment=lesson.augment, device=lesson.device)


def _frozen(network: nn.Module) -> nn.Module:
    """A copy that is only asked."""
    return copy.deepcopy(network).eval().requires_grad_(False)


LEARNERS: dict[str, type[Learner]] = {one.name: one for one in (EEIL, GDumb, Replay)}
_SHORT: dict[str, tuple[str, dict[str, Any]]] = {"eeil-no-kd": ("eeil", {"weight": 0.0})}


def learners(names: Sequence[str], settings: Mapping[str, Any]) -> dict[str, Learner]:
    """Learners by what they are called: a name, or "eeil-no-kd" for one without distillation.

    Args:
        settings: "label.field" sets a field of one, "field" that of all that have it.

    Raises:
        BadInput: an unknown name or field, or a value out of range.
    """
    found: dict[str, Learner] = {}
    used: set[str] = set()
    for label in names:
        name, own = _SHORT.get(label, (label, {}))
        if name not in LEARNERS:
            known = [*LEARNERS, *_SHORT]
            raise BadInput(
                f"unknown learner {label!r}; there are {', '.join(known)}{did_you_mean(label, known)}"
            )
        has = {field.name for field in fields(LEARNERS[name])}
        chosen = {key: value for key, value in settings.items() if key in has}
        chosen |= {
            k.partition(".")[2]: v for k, v in settings.items() if k.partition(".")[0] == label and "." in k
        }
        used |= {key for key in settings if key in has or key.partition(".")[0] == label}
        found[label] = plugins.configure("learner", LEARNERS, name, {**chosen, **own})
    if not found:
        raise BadInput(f"name a learner with --learners: {', '.join([*LEARNERS, *_SHORT])}")
    for key in settings:
        if key not in used:
            raise BadInput(f"--learning {key}: none of {', '.join(found)} has a field of that name")
    return found
