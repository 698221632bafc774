"""DCC and DSAC: dataset condensation with contrastive signals.

Saehyung Lee, Sanghyuk Chun, Sangwon Jung, Sangdoo Yun and Sungroh Yoon, ICML 2022, arXiv 2202.02916, Algorithm 1
and equation 10. DC measures a distance for each class and adds them up, which lets features that all classes share
dominate; DCC adds up the gradients of the classes and measures one distance. DSAC is DCC with Siamese augmentation.
Constants that the paper leaves out are those of the authors' `main.py`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import ClassVar

import torch
from torch import Tensor

from condensery.errors import BadInput
from condensery.matching.distances import get_distance
from condensery.matching.gradients import differentiable_gradient, gradient
from condensery.method import State, Task
from condensery.methods.dc import DC, PUBLISHED_LOOPS, loops_at
from condensery.rng import Rng
from condensery.words import count

WARMUPS = ("bilevel", "simple", "none")

# (image updates per network, epochs between them) by images per class: section 4.1 and the authors' get_loops.
DCC_LOOPS = {**PUBLISHED_LOOPS, 1: (10, 5)}


@dataclass(frozen=True)
class DCC:
    """Match the gradient of all classes together, after a warm-up in which classes are matched one by one."""

    name: ClassVar[str] = "dcc"
    summary: ClassVar[str] = (
        "DC that matches all classes at once (Lee et al., 2022): for classes that look alike"
    )

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
    warmup: str = "bilevel"
    """when classes are matched one by one: "bilevel" (the paper's), "simple" (whatever the network) or "none" """
    outer_warmup: int = 250
    """networks on which the bilevel warm-up takes place"""
    inner_warmup: int = 10
    """image updates on each network that the warm-up lasts"""
    augmentation: str = "none"
    """Siamese augmentation, which makes this DSAC: groups joined by "_", "none" or "auto" """
    scheme: str = "siamese"
    """which images are transformed: "siamese" (both alike, the paper's), "independent", "real" or "synthetic" """

    def class_wise(self, ipc: int) -> DC:
        """The class-wise matching of the warm-up, with the loops of this method."""
        outer, inner, _ = loops_at(ipc, DCC_LOOPS)
        shared = {key: value for key, value in asdict(self).items() if "warmup" not in key}
        loops = {"outer_loop": self.outer_loop or outer, "inner_loop": self.inner_loop or inner}
        return DC(**{**shared, **loops})

    def steps(self, ipc: int) -> int:
        return self.class_wise(ipc).steps(ipc)

    def check(self, task: Task) -> list[str]:
        if self.warmup not in WARMUPS:
            raise BadInput(f"unknown warm-up {self.warmup!r}; choose one of {', '.join(WARMUPS)}")
        given = self.outer_loop or self.inner_loop
        origin = "given" if given else loops_at(task.ipc, DCC_LOOPS)[2]
        return [*self.class_wise(task.ipc).notes(task, origin), self._warmup_note(task.ipc)]

    def start(self, task: Task, rng: Rng) -> State:
        return self.class_wise(task.ipc).start(task, rng)

    def terms(self, task: Task, state: State, rng: Rng) -> Iterator[Tensor]:
        if self.is_warming_up(state.step, task.ipc):
            yield from self.class_wise(task.ipc).terms(task, state, rng)
        else:
            yield self._collective_distance(task, state, rng)

    def advance(self, task: Task, state: State, rng: Rng) -> State:
        return self.class_wise(task.ipc).advance(task, state, rng)

    def is_warming_up(self, step: int, ipc: int) -> bool:
        """Whether classes are matched one by one at this step (Algorithm 1, lines 4 to 14; Table 5)."""
        network, update = divmod(step, self.class_wise(ipc).loops(ipc)[0])
        return network < self._warmup_networks() and update < self.inner_warmup

    def _warmup_networks(self) -> float:
        """How many networks, from the first on, have a warm-up."""
        return {"bilevel": self.outer_warmup, "simple": float("inf"), "none": 0}[self.warmup]

    def _warmup_note(self, ipc: int) -> str:
        outer, steps = self.class_wise(ipc).loops(ipc)[0], self.steps(ipc)
        networks = int(min(self._warmup_networks(), self.iterations))
        updates = min(self.inner_warmup, outer)
        first = updates if networks and updates < outer else networks * outer
        if first == 0:
            return "no warm-up: all classes are matched at once from the start"
        if first == steps:
            return f"warm-up ({self.warmup}) in all {count(steps, 'step')}: all classes are never matched at once"
        return (
            f"warm-up ({self.warmup}): classes one by one in {updates} of {count(outer, 'update')} on {networks:,} of "
            f"{count(self.iterations, 'network')}, all at once for the first time after {count(first, 'step')}"
        )

    def _collective_distance(self, task: Task, state: State, rng: Rng) -> Tensor:
        """Equation 10: one distance between gradients of the mean loss over all classes."""
        dc, network = self.class_wise(task.ipc), state.network.train()
        augmentation = dc.siamese(task)
        dc.freeze_batch_norm(task, network, rng)
        synthetic: list[Tensor] = []
        real_mean = [torch.zeros_like(parameter) for parameter in network.parameters()]
        for c in task.classes:
            real, own = task.pair(state.synthetic, c, self.real_batch, augmentation, rng, self.scheme)
            synthetic.append(own)
            of_class = gradient(network, real, task.labels(c, len(real)), task.chunk)
            for total, part in zip(real_mean, of_class, strict=True):
                total += part / len(task.classes)
        of_all = differentiable_gradient(network, torch.cat(synthetic), state.synthetic.labels)
        return get_distance(self.distance)(of_all, real_mean)


@dataclass(frozen=True)
class DSAC:
    """Match the gradient of all classes together, under transformations that each class's images share."""

    name: ClassVar[str] = "dsac"
    summary: ClassVar[str] = (
        "DCC with Siamese augmentation (Lee et al., 2022): DSA for classes that look alike"
    )

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
    warmup: str = "bilevel"
    """when classes are matched one by one: "bilevel" (the paper's), "simple" (whatever the network) or "none" """
    outer_warmup: int = 250
    """networks on which the bilevel warm-up takes place"""
    inner_warmup: int = 10
    """image updates on each network that the warm-up lasts"""
    augmentation: str = "auto"
    """Siamese augmentation: groups joined by "_", "none", or "auto" (all six; no flip for digits)"""
    scheme: str = "siamese"
    """which images are transformed: "siamese" (both alike, the paper's), "independent", "real" or "synthetic" """

    @property
    def contrastive(self) -> DCC:
        """The DCC that DSAC is made of."""
        return DCC(**asdict(self))

    def steps(self, ipc: int) -> int:
        return self.contrastive.steps(ipc)

    def check(self, task: Task) -> list[str]:
        return self.contrastive.check(task)

    def start(self, task: Task, rng: Rng) -> State:
        return self.contrastive.start(task, rng)

    def terms(self, task: Task, state: State, rng: Rng) -> Iterator[Tensor]:
        return self.contrastive.terms(task, state, rng)

    def advance(self, task: Task, state: State, rng: Rng) -> State:
        return self.contrastive.advance(task, state, rng)
