"""GMMN: images drawn from a generative moment matching network, a baseline.

Bo Zhao's thesis (2022), equation 2.6, appendix B.2 and Table T1, after Yujia Li, Kevin Swersky and Richard Zemel,
"Generative Moment Matching Networks", ICML 2015.

Differences from the paper:

1. Moments are matched class by class, with five Gaussian kernels, widths of 1/4 to 4 mean squared distances.
2. The factor 2, which equation 2.6 lacks, is there.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor, nn

from condensery.method import Task
from condensery.methods.drawn import DrawnImages
from condensery.pretraining import GenerativeModel
from condensery.pretraining.moment_matching import MomentMatching, uniform_codes
from condensery.rng import Rng


@dataclass(frozen=True)
class GMMN(DrawnImages):
    """Draw images from a generative moment matching network."""

    name: ClassVar[str] = "gmmn"
    summary: ClassVar[str] = (
        "images drawn from a moment matching network (Zhao, 2022, appendix B.2): a baseline"
    )

    cost: ClassVar[float] = 1.2

    def model(self, task: Task, generator: nn.Module, classes: Tensor, rng: Rng) -> GenerativeModel:
        return MomentMatching(generator, classes, code_length=self.code_length)

    def codes(self, count: int, rng: Rng) -> Tensor:
        return uniform_codes(count, self.code_length, rng)
