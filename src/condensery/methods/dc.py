"""DC: dataset condensation with gradient matching.

Bo Zhao, Konda Reddy Mopuri and Hakan Bilen, ICLR 2021, arXiv 2006.05929; thesis chapter 3, Algorithm 1,
equations 3.9 and 3.10. Constants that the paper leaves out are those of the authors' `main.py`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor, nn

from condensery.augment import SiameseAugmentation, require_scheme, resolve_strategy
from condensery.errors import BadInput
from condensery.matching.distances import get_distance
from condensery.matching.gradients import differentiable_gradient, gradient
from condensery.method import State, Task
from condensery.models.batch_norm import batch_norms
from condensery.rng import Rng
from condensery.synthetic import Pixels
from condensery.training import TensorImages, train_epoch
from condensery.words import count

# Image updates per network (outer) and training epochs between them (inner), by images per class: the authors'
# utils.py, get_loops. The paper's rule for the inner loop, 500 / outer, differs at 30 and 40.
PUBLISHED_LOOPS = {1: (1, 1), 10: (10, 50), 20: (20, 25), 30: (30, 20), 40: (40, 15), 50: (50, 10)}


def loops_at(ipc: int, published: Mapping[int, tuple[int, int]]) -> tuple[int, int, str]:
    """(outer, inner, origin) from published loops by ipc, ascending: linear between them, the last one beyond."""
    known, last = list(published), max(published)
    outers, inners = zip(*published.values(), strict=True)
    outer = round(float(np.interp(ipc, known, outers)))
    inner = round(float(np.interp(ipc, known, inners)))
    origin = "published" if ipc in published else "interpolated"
    return outer, inner, origin if ipc <= last else f"as for {last}, the largest published"


@dataclass(frozen=True)
class DC:
    """Match the gradients of real and synthetic images, class by class, along the training of a network."""

    name: ClassVar[str] = "dc"
    summary: ClassVar[str] = (
        "gradient matching (Zhao, Mopuri & Bilen, 2021): best at 1 image per class on digits"
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
    init: str = "noise"
    """start from "noise" or from "real" images"""
    distance: str = "rowwise"
    """gradient distance: "rowwise" cosine (the paper's), "euclidean" or "cosine" """
    norm_images: int = 16
    """real images per class that set batch norm statistics before each step, which are then frozen"""
    augmentation: str = "none"
    """Siamese augmentation, which makes this DSA: groups joined by "_", "none" or "auto" """
    scheme: str = "siamese"
    """which images are transformed: "siamese" (both alike, the paper's), "independent", "real" or "synthetic" """

    def steps(self, ipc: int) -> int:
        return self.iterations * self.loops(ipc)[0]

    def loops(self, ipc: int) -> tuple[int, int]:
        """(outer, inner): the fields, or the published values; linear between them, the last one beyond."""
        outer, inner, _ = loops_at(ipc, PUBLISHED_LOOPS)
        return self.outer_loop or outer, self.inner_loop or inner

    def check(self, task: Task) -> list[str]:
        given = self.outer_loop or self.inner_loop
        return self.notes(task, "given" if given else loops_at(task.ipc, PUBLISHED_LOOPS)[2])

    def notes(self, task: Task, origin: str) -> list[str]:
        """The lines of `check`; `origin` says where the loops come from."""
        get_distance(self.distance)
        require_scheme(self.scheme)
        if min(self.outer_loop, self.inner_loop) < 0:
            raise BadInput(f"outer_loop {self.outer_loop} and inner_loop {self.inner_loop} must be 0 or more")
        outer, inner = self.loops(task.ipc)
        notes = [
            f"loops ({origin}): {count(outer, 'image update')} per network, "
            f"{count(inner, 'epoch')} of training between them"
        ]
        if task.network.kind == "mlp" and self.image_lr > 0.01:
            notes.append(f"the paper uses --image-lr 0.01 with an MLP, this run {self.image_lr:g}")
        augmentation = self.siamese(task)
        kind = "Siamese augmentation" if self.scheme == "siamese" else f"augmentation ({self.scheme})"
        return notes + ([f"{kind} {augmentation.strategy}"] if augmentation.groups else [])

    def start(self, task: Task, rng: Rng) -> State:
        synthetic = Pixels.start(task.pool, task.ipc, self.init, rng.fork("images"))
        optimizer = torch.optim.SGD(synthetic.learnable(), self.image_lr, self.image_momentum)
        return State(synthetic, optimizer, task.new_network(rng.fork("network")))

    def terms(self, task: Task, state: State, rng: Rng) -> Iterator[Tensor]:
        distance = get_distance(self.distance)
        augmentation = self.siamese(task)
        network = state.network.train()
        self.freeze_batch_norm(task, network, rng)
        for c in task.classes:
            real, synthetic = task.pair(state.synthetic, c, self.real_batch, augmentation, rng, self.scheme)
            yield distance(
                differentiable_gradient(network, synthetic, task.labels(c, len(synthetic))),
                gradient(network, real, task.labels(c, len(real)), task.chunk),
            )

    def advance(self, task: Task, state: State, rng: Rng) -> State:
        outer, inner = self.loops(task.ipc)
        if (state.step + 1) % outer == 0:
            return state.next(task.new_network(rng.fork("network")))
        optimizer = torch.optim.SGD(state.network.parameters(), self.network_lr)
        images = TensorImages(state.synthetic.images.detach(), state.synthetic.labels)
        augmentation = self.siamese(task)
        transformed = augmentation.groups and self.scheme != "real"  # as in matching: synthetic images too
        for epoch in range(inner):
            train_epoch(
                state.network,
                optimizer,
                images,
                self.train_batch,
                rng.fork("inner", epoch),
                augment=augmentation if transformed else None,
                chunk=task.chunk,
            )
        return state.next(state.network)

    def freeze_batch_norm(self, task: Task, network: nn.Module, rng: Rng) -> None:
        """Update running statistics with real images of every class, then use them as they are.

        A synthetic batch of one class is too small, and too alike, to give statistics of its own.
        """
        layers = batch_norms(network)
        if not layers:
            return
        real = [task.pool.sample(c, self.norm_images, rng.fork("norm images", c)) for c in task.classes]
        with torch.no_grad():
            network(torch.cat(real))
        for layer in layers:
            layer.eval()

    def siamese(self, task: Task) -> SiameseAugmentation:
        """The augmentation that real and synthetic images share; without groups for plain DC."""
        return SiameseAugmentation(resolve_strategy(self.augmentation, task.spec.flip))
