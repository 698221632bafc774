"""MMD: the mean image of each class is matched, a baseline of distribution matching.

Bo Zhao's thesis (2022), appendix B.2 ("MMD") and Table T1: maximum mean discrepancy with a linear kernel on pixels,
without networks and without augmentation. It is DM's objective (eq. 5.5) with pixels for features.

Differences from the paper:

1. The thesis gives no settings; steps, batch, rate and start are those of DM.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from condensery.matching.moments import squared_gap
from condensery.method import State, Task
from condensery.optimizers import SGD
from condensery.rng import Rng


@dataclass(frozen=True)
class MMD:
    """Match the mean image of each class."""

    name: ClassVar[str] = "mmd"
    summary: ClassVar[str] = (
        "mean image of each class (Zhao, 2022, appendix B.2): a baseline without networks"
    )

    iterations: int = 20_000
    """updates of the images"""
    real_batch: int = 256
    """real images per class and step"""
    image_lr: float = 1.0
    """learning rate of the images"""
    image_momentum: float = 0.5
    """momentum of the images' SGD"""
    init: str = "real"
    """start from "real" images, those nearest to means of "clusters", or "noise" """
    factor: int = 1
    """tiles along each side of a stored image, enlarged before use: 2 trains on four images for the bytes of one"""

    def steps(self, ipc: int) -> int:
        return self.iterations

    def check(self, task: Task) -> list[str]:
        return task.start_notes(self.init, self.factor)

    def start(self, task: Task, rng: Rng) -> State:
        synthetic = task.start_images(self.init, self.factor, rng.fork("images"))
        optimizer = SGD(synthetic.leaves().values(), self.image_lr, self.image_momentum)
        return State(synthetic, {"synthetic": optimizer}, {})

    def terms(self, task: Task, state: State, rng: Rng) -> Iterator[Tensor]:
        for c in task.classes:
            real = task.pool.sample(c, self.real_batch, rng.fork("real batch", c))  # (B, C, H, W)
            yield squared_gap(real.mean(0), state.synthetic.of_class(c).mean(0))

    def advance(self, task: Task, state: State, rng: Rng) -> State:
        return state.next()
