"""cGAN: images drawn from a conditional generative adversarial network, a baseline.

Bo Zhao's thesis (2022), appendix A.3 and Table T8, after Mehdi Mirza and Simon Osindero, "Conditional Generative
Adversarial Nets", arXiv 1411.1784.

Differences from the paper:

1. Classes are one-hot vectors, and there is no classifier.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor, nn

from condensery.method import Task
from condensery.methods.drawn import DrawnImages
from condensery.pretraining import ConditionalGan, GenerativeModel, random_codes
from condensery.rng import Rng


@dataclass(frozen=True)
class CGAN(DrawnImages):
    """Draw images from a conditional generative adversarial network."""

    name: ClassVar[str] = "cgan"
    summary: ClassVar[str] = "images drawn from a conditional GAN (Zhao, 2022, appendix A.3): a baseline"

    cost: ClassVar[float] = 2.1

    def model(self, task: Task, generator: nn.Module, classes: Tensor, rng: Rng) -> GenerativeModel:
        return ConditionalGan(
            generator,
            classes,
            task.spec.shape,
            code_length=self.code_length,
            class_weight=0.0,
            width=self.generator_width,
            rng=rng,
        )

    def codes(self, count: int, rng: Rng) -> Tensor:
        return random_codes(count, self.code_length, rng)
