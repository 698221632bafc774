"""DC: dataset condensation with gradient matching.

Bo Zhao, Konda Reddy Mopuri and Hakan Bilen, ICLR 2021, arXiv 2006.05929; thesis chapter 3, Algorithm 1,
equations 3.9 and 3.10.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from condensery.method import State, Task
from condensery.methods.gradient_matching import GradientMatching
from condensery.rng import Rng

# The authors' utils.py, get_loops. The paper's rule for the inner loop, 500 / outer, differs at 30 and 40.
PUBLISHED_LOOPS = {1: (1, 1), 10: (10, 50), 20: (20, 25), 30: (30, 20), 40: (40, 15), 50: (50, 10)}


@dataclass(frozen=True)
class DC(GradientMatching):
    """Match the gradients of real and synthetic images, class by class, along the training of a network."""

    name: ClassVar[str] = "dc"
    summary: ClassVar[str] = (
        "gradient matching (Zhao, Mopuri & Bilen, 2021), while a network trains on the set"
    )
    published_loops: ClassVar = PUBLISHED_LOOPS

    init: str = "noise"
    """start from "noise", from "real" images, or from the images of another set, by its file"""

    def check(self, task: Task) -> list[str]:
        return self.notes(task)

    def terms(self, task: Task, state: State, rng: Rng) -> Iterator[Tensor]:
        return self.distance_of_each_class(task, state, rng)
