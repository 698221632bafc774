"""What DC, DSA, DCC and DSAC share: their fields, their two nested loops, the training of the network.

Each of them adds its objective in a file of its own. Constants that the papers leave out are those of the authors'
`main.py`.
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
from condensery.matching.gradients import differentiable_gradient, gradient, sum_of_distances
from condensery.method import State, Task
from condensery.models.batch_norm import batch_norms
from condensery.models.custom import trainable
from condensery.optimizers import SGD
from condensery.rng import Rng
from condensery.text import count
from condensery.training import TensorImages, train_epoch

_AT_ONCE = 1 << 18  # synthetic pixels, whose second derivatives take 3 GiB with 128 filters


@dataclass(frozen=True)
class GradientMatching:
    """Match gradients of real and synthetic images along the training of a network on the synthetic ones.

    Thesis Algorithm 1: for each of `iterations` random networks, `outer_loop` times: update the images, then train the
    network on them for `inner_loop` epochs. Abstract: a method adds `terms` and `check`, and overrides nothing.
    """

    published_loops: ClassVar[Mapping[int, tuple[int, int]]]
    """images per class, ascending -> (outer_loop, inner_loop)"""

    later_fields: ClassVar[tuple[str, ...]] = ("factor",)

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
    """start from "real" images, those nearest to means of "clusters", "noise", or another set, by its file"""
    factor: int = 1
    """tiles along each side of a stored image, enlarged before use: 2 trains on four images for the bytes of one"""
    distance: str = "rowwise"
    """gradient distance: "rowwise" cosine (the paper's), "euclidean" or "cosine" """
    norm_images: int = 16
    """real images per class that set batch norm statistics before each step, which are then frozen"""
    augmentation: str = "none"
    """Siamese augmentation: groups joined by "_", "none", or "auto" (all six; no flip for digits)"""
    scheme: str = "siamese"
    """which images are transformed: "siamese" (both alike, the paper's), "independent", "real" or "synthetic" """

    def steps(self, ipc: int) -> int:
        return self.iterations * self.loops(ipc)[0]

    def loops(self, ipc: int) -> tuple[int, int]:
        """(outer, inner): the fields, or the published values; linear between them, the last one beyond."""
        known = list(self.published_loops)
        outers, inners = zip(*self.published_loops.values(), strict=True)
        outer, inner = (round(float(np.interp(ipc, known, values))) for values in (outers, inners))
        return self.outer_loop or outer, self.inner_loop or inner

    def notes(self, task: Task) -> list[str]:
        """The lines of `check` that the methods share. Raises BadInput for a field that no method takes."""
        notes = task.start_notes(self.init, self.factor)
        get_distance(self.distance)
        require_scheme(self.scheme)
        if min(self.outer_loop, self.inner_loop) < 0:
            raise BadInput(f"outer_loop {self.outer_loop} and inner_loop {self.inner_loop} must be 0 or more")
        outer, inner = self.loops(task.ipc)
        notes.append(
            f"loops ({self._origin_of_loops(task)}): {count(outer, 'image update')} per network, "
            f"{count(inner, 'epoch')} of training between them"
        )
        if task.network.kind == "mlp" and self.image_lr > 0.01:
            notes.append(f"the paper uses --image-lr 0.01 with an MLP, this run {self.image_lr:g}")
        augmentation = self.siamese(task)
        kind = "Siamese augmentation" if self.scheme == "siamese" else f"augmentation ({self.scheme})"
        return notes + ([f"{kind} {augmentation.strategy}"] if augmentation.groups else [])

    def _origin_of_loops(self, task: Task) -> str:
        last, ipc = max(self.published_loops), task.ipc
        if self.outer_loop or self.inner_loop:
            return "given"
        if len(set(task.counts)) > 1:
            return f"as for {ipc} per class, the average"
        if ipc > last:
            return f"as for {last}, the largest published"
        return "published" if ipc in self.published_loops else "interpolated"

    def start(self, task: Task, rng: Rng) -> State:
        synthetic = task.start_images(self.init, self.factor, rng.fork("images"))
        optimizer = SGD(synthetic.leaves().values(), self.image_lr, self.image_momentum)
        network = task.new_network(rng.fork("network"))
        trainable(network)  # refused now, before anything is written
        return State.of(synthetic, optimizer, network)

    def advance(self, task: Task, state: State, rng: Rng) -> State:
        outer, inner = self.loops(task.ipc)
        if (state.step + 1) % outer == 0:
            return state.next(task.new_network(rng.fork("network")))
        optimizer = SGD(trainable(state.network), self.network_lr)
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
        return state.next()

    def distance_of_each_class(self, task: Task, state: State, rng: Rng) -> Iterator[Tensor]:
        """The objective of DC and DSA: thesis equations 3.9 and 4.3. A term for each class, or for several on a GPU."""
        distance = get_distance(self.distance)
        network = state.network.train()
        self.freeze_batch_norm(task, network, rng)
        if (many := self._classes_at_once(task, network)) > 1:
            yield from self._sums_of_distances(task, state, many, rng)
            return
        for c in task.classes:
            real, synthetic = self.pair(task, state, c, rng)
            yield distance(
                differentiable_gradient(network, synthetic, task.labels(c, len(synthetic))),
                gradient(network, real, task.labels(c, len(real)), task.chunk),
            )

    def _classes_at_once(self, task: Task, network: nn.Module) -> int:
        """How many classes share a pass on a GPU; 1 on a CPU, and where layers may mix images or draw numbers."""
        if task.chunk is not None or task.network.kind != "convnet" or batch_norms(network):
            return 1
        images = max(task.counts) * self.factor**2
        return _AT_ONCE // (images * task.spec.height * task.spec.width)

    def _sums_of_distances(self, task: Task, state: State, many: int, rng: Rng) -> Iterator[Tensor]:
        """The same terms, added up for `many` classes each."""
        for first in range(0, len(task.classes), many):
            synthetic, targets = [], []
            for c in task.classes[first : first + many]:
                real, own = self.pair(task, state, c, rng)
                synthetic.append(own)
                # Real batches keep a GPU busy, and one pass over all would move twice the memory.
                targets.append(gradient(state.network, real, task.labels(c, len(real))))
            yield sum_of_distances(state.network, get_distance(self.distance), synthetic, targets, first)

    def pair(self, task: Task, state: State, c: int, rng: Rng) -> tuple[Tensor, Tensor]:
        """Real (B, C, H, W) and synthetic images (n, C, H, W) of class `c`, transformed."""
        return task.pair(state.synthetic, c, self.real_batch, self.siamese(task), rng, self.scheme)

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
