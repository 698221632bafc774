"""DSA: dataset condensation with differentiable Siamese augmentation.

Bo Zhao and Hakan Bilen, ICML 2021, arXiv 2102.08259; thesis chapter 4, Algorithm 2, equation 4.3. DSA is DC in
which real and synthetic images of a class go through the same random transformation before their gradients are
matched, and the network is trained on transformed images.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import ClassVar

from torch import Tensor

from condensery.method import State, Task
from condensery.methods.dc import DC
from condensery.rng import Rng


@dataclass(frozen=True)
class DSA:
    """Match gradients under the same random transformation of real and synthetic images."""

    name: ClassVar[str] = "dsa"
    summary: ClassVar[str] = "DC with Siamese augmentation (Zhao & Bilen, 2021): best at 10 images per class"

    iterations: int = 1000
    """random networks to match gradients on"""
    outer_loop: int = 0
    """image updates per network; 0 takes the published value for the budget (interpolated between them)"""
    inner_loop: int = 0
    """epochs of network training between two image updates; 0 takes the published value"""
    real_batch: int = 256
    """real images per class and step"""
    train_batch: int = 256
    """synthetic images per step of network training"""
    image_lr: float = 0.1
    """learning rate of the images (0.01 with an MLP)"""
    image_momentum: float = 0.5
    """momentum of the images' SGD"""
    network_lr: float = 0.01
    """learning rate of the network's plain SGD"""
    init: str = "real"
    """start from "real" images or from "noise" """
    distance: str = "rowwise"
    """gradient distance: "rowwise" cosine (the paper's), "euclidean" or "cosine" """
    norm_images: int = 16
    """real images per class that set batch norm statistics before each step, which are then frozen"""
    augmentation: str = "auto"
    """Siamese augmentation: groups joined by "_", "none", or "auto" (all six; no flip for digits)"""
    scheme: str = "siamese"
    """which images are transformed: "siamese" (both alike, the paper's), "independent", "real" or "synthetic" """

    @property
    def matching(self) -> DC:
        """The gradient matching that DSA is made of."""
        return DC(**asdict(self))

    def steps(self, ipc: int) -> int:
        return self.matching.steps(ipc)

    def check(self, task: Task) -> list[str]:
        return self.matching.check(task)

    def start(self, task: Task, rng: Rng) -> State:
        return self.matching.start(task, rng)

    def terms(self, task: Task, state: State, rng: Rng) -> Iterator[Tensor]:
        return self.matching.terms(task, state, rng)

    def advance(self, task: Task, state: State, rng: Rng) -> State:
        return self.matching.advance(task, state, rng)
