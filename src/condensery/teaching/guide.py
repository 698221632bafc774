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
from condensery.records import ImageSpec
from condensery.rng import Rng
from condensery.teaching.sampling import random_crops
from condensery.teaching.settings import TeacherSettings
from condensery.teaching.teacher import teacher_network, teacher_preparation


@dataclass(frozen=True)
class Guide:
    """What a teacher counts, and which.

    Attributes:
        weight: of its cross entropy, the mean over the images of a class; 0 for no teacher.
        settings: which teacher.
    """

    weight: float
    settings: TeacherSettings

    def notes(self, spec: ImageSpec) -> list[str]:
        """Who takes part, for `Method.check`."""
        if not self.weight:
            return []
        name = self.settings.factory(spec).name
        return [
            f"a teacher ({name}) takes part: it is trained on the real images first, unless the cache has it"
        ]

    def preparation(self, pool: ClassPool, device: torch.device, without: Method) -> Preparation | None:
        """What is still to be trained; `without` as in `Preparation`."""
        found = teacher_preparation(pool, self.settings, device) if self.weight else None
        return found and replace(found, without=without, network=self.settings.factory(pool.spec).name)

    def teacher(self, pool: ClassPool, device: torch.device) -> nn.Module | None:
        """The trained network, in evaluation mode, whose weights do not change."""
        return teacher_network(pool, self.settings, device).requires_grad_(False) if self.weight else None

    def stand_in(self, pool: ClassPool, device: torch.device) -> nn.Module:
        """A network with random weights that costs the same."""
        return self.settings.build(pool.spec, Rng(0)).to(device).eval().requires_grad_(False)

    def loss(self, teacher: nn.Module, images: Tensor, c: int, flip: bool, rng: Rng) -> Tensor:
        """The weighted cross entropy () of random crops of images (N, C, H, W) of class `c`, mirrored with `flip`."""
        logits = teacher(random_crops(images, flip, rng))
        return self.weight * F.cross_entropy(logits, logits.new_full((len(logits),), c, dtype=torch.long))
