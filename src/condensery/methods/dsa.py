"""DSA: dataset condensation with differentiable Siamese augmentation.

Bo Zhao and Hakan Bilen, ICML 2021, arXiv 2102.08259; thesis chapter 4, Algorithm 2, equation 4.3. DSA is DC in
which real and synthetic images of a class go through the same random transformation before their gradients are
matched, and the network is trained on transformed images.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from condensery.method import State, Task
from condensery.methods.dc import PUBLISHED_LOOPS
from condensery.methods.gradient_matching import GradientMatching
from condensery.rng import Rng


@dataclass(frozen=True)
class DSA(GradientMatching):
    """Match gradients under the same random transformation of real and synthetic images."""

    name: ClassVar[str] = "dsa"
    summary: ClassVar[str] = "DC with Siamese augmentation (Zhao & Bilen, 2021)"
    published_loops: ClassVar = PUBLISHED_LOOPS

    augmentation: str = "auto"
    """Siamese augmentation: groups joined by "_", "none", or "auto" (all six; no flip for digits)"""

    def check(self, task: Task) -> list[str]:
        return self.notes(task)

    def terms(self, task: Task, state: State, rng: Rng) -> Iterator[Tensor]:
        return self.distance_of_each_class(task, state, rng)
