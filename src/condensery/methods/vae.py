"""VAE: images drawn from a conditional variational autoencoder, a baseline.

Bo Zhao's thesis (2022), appendix B.2 and Table T1.

Differences from the paper:

1. Theirs is a DC-VAE; ours is the plain one of `condensery.pretraining.vae`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor, nn

from condensery.method import Task
from condensery.methods.drawn import DrawnImages
from condensery.pretraining import GenerativeModel, random_codes
from condensery.pretraining.vae import VariationalAutoencoder
from condensery.rng import Rng


@dataclass(frozen=True)
class VAE(DrawnImages):
    """Draw images from a conditional variational autoencoder."""

    name: ClassVar[str] = "vae"
    summary: ClassVar[str] = (
        "images drawn from a variational autoencoder (Zhao, 2022, appendix B.2): a baseline"
    )

    cost: ClassVar[float] = 1.5

    def model(self, task: Task, generator: nn.Module, classes: Tensor, rng: Rng) -> GenerativeModel:
        return VariationalAutoencoder(
            generator,
            classes,
            task.spec.shape,
            code_length=self.code_length,
            width=self.generator_width,
            rng=rng,
        )

    def codes(self, count: int, rng: Rng) -> Tensor:
        return random_codes(count, self.code_length, rng)
