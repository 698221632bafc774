"""A teacher that takes part in learning images: they are to be taken for their class, beside what a method matches.

Source: Yin et al., "Squeeze, Recover and Relabel" (SRe2L, NeurIPS 2023, arXiv 2306.13092): there a trained network's
cross entropy on random crops and the statistics of its batch norms are all that images are learned by.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from condensery.data import ClassPool
from condensery.method import Method, Preparation
from condensery.rng import Rng
from condensery.teaching.epochs import epochs_of
from condensery.teaching.sampling import random_crops
from condensery.teaching.settings import TeacherSettings
from condensery.teaching.teacher import teacher_network, teacher_preparation
from condensery.text import count

_STEPS = 500
"""Of the teacher's training, if nobody says how many epochs. On CIFAR-10 more gained nothing (benchmarks/README.md)."""
_SEEN = 64
"""Pixels on the shorter side of what it sees at most: larger images are averaged to that."""


@dataclass(frozen=True)
class Guide:
    """A teacher and what it counts.

    Attributes:
        pool: the real images that it is trained on.
        device: where it works.
        weight: of its cross entropy, the mean over the images of a class; 0 for no teacher.
        epochs: of its training; 0 for as many as make 500 steps.
    """

    pool: ClassPool
    device: torch.device
    weight: float
    epochs: int

    @property
    def settings(self) -> TeacherSettings:
        """Which teacher it is."""
        epochs = self.epochs or epochs_of(_STEPS, len(self.pool.labels))
        return TeacherSettings(epochs=epochs, size=_SEEN if self._side > _SEEN else None)

    @property
    def _side(self) -> int:
        return min(self.pool.spec.height, self.pool.spec.width)

    def notes(self) -> list[str]:
        """Who takes part, for `Method.check`."""
        if not self.weight:
            return []
        name, epochs = self.settings.factory(self.pool.spec).name, count(self.settings.epochs or 0, "epoch")
        seen = f" that sees {self.settings.size} pixels" if self.settings.size else ""
        return [
            f"a teacher ({name}){seen} takes part: it is trained on the real images for {epochs} first, "
            "unless the cache has it"
        ]

    def preparation(self, without: Method) -> Preparation | None:
        """What is still to be trained; `without` as in `Preparation`."""
        found = teacher_preparation(self.pool, self.settings, self.device) if self.weight else None
        name, share = self.settings.factory(self.pool.spec).name, min(1.0, _SEEN / self._side)
        return found and replace(found, without=without, network=name, work=found.work * share**2)

    def teacher(self) -> nn.Module | None:
        """The trained network, in evaluation mode, whose weights do not change."""
        if not self.weight:
            return None
        return teacher_network(self.pool, self.settings, self.device).requires_grad_(False)

    def stand_in(self) -> nn.Module:
        """A network with random weights that costs the same."""
        network = self.settings.build(self.pool.spec, Rng(0))
        return network.to(self.device).eval().requires_grad_(False)

    def loss(self, teacher: nn.Module, images: Tensor, labels: Tensor, rng: Rng) -> Tensor:
        """The weighted cross entropy () of random crops of images (N, C, H, W) of classes `labels` (N,)."""
        logits = teacher(random_crops(images, self.pool.spec.flip, rng))
        return self.weight * F.cross_entropy(logits, labels)
