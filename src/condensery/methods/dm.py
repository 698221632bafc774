"""DM: dataset condensation with distribution matching.

Bo Zhao and Hakan Bilen, WACV 2023, arXiv 2110.04181; thesis chapter 5, Algorithm 3, equations 5.5 and 5.6. Constants
that the paper leaves out are those of the authors' `main_DM.py` (VICO-UoE/DatasetCondensation, 53f63a6).

Fields: thesis section 5.3.1 gives iterations (for TinyImageNet 10,000, with convnet+depth=4), real_batch, image_lr,
init and augmentation; section 5.3.4 weights and trained_networks; the authors' code image_momentum. Ours:
trained_epochs, factor (the tiles of IDC), classes_per_step, other_networks, coarse, coarse_steps, teacher_weight and
teacher_epochs.

Differences from the paper and from the authors' code:

1. Number of updates. Theirs 20,001, ours 20,000 as in the paper.
2. What the file holds. They evaluate at iteration 20,000, update once more and save. We save what is evaluated.
3. Momentum of the images. The paper has none (Algorithm 3, line 6); their code and ours 0.5.
4. Grid of `scale` and `rotate`. They leave `align_corners` unset: true in torch 1.2, their reference, false from 1.3
   on. Ours is true.
5. Class by class. They backpropagate the sum of all classes, we each class before one step: the same gradient in the
   memory of one class.
6. Batch norm. All real images go through the network in one pass, all synthetic ones in another. They choose this by
   `BN` in the model's name and fail for a class of fewer than 256 images, we by the layers, for any number.
7. Learning rate for large sets. The paper has 10 from 100 images per class on, their commands 1 for CIFAR-100 up to
   125. Our default stays 1 with a hint; the preset `paper` takes 10 on CIFAR-10.
8. Trained networks. The paper has no code for Table 5.4. Ours: SGD of 0.01, momentum 0.9, weight decay 5e-4, batches of
   256, no augmentation, 20 epochs; a tenth of each class validates. States are kept untrained, after 1, 2, 4, 8, ...
   updates of the first epoch, and after every epoch.
9. Teacher. The paper has none. With teacher_weight, a network trained on the real images classifies random crops of the
   synthetic ones, and its cross entropy is added to each class's gap (see `condensery.teaching.guide`).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import islice
from typing import ClassVar, NamedTuple, cast

import torch
from torch import Tensor, nn

from condensery.augment import SiameseAugmentation, resolve_strategy
from condensery.errors import BadInput
from condensery.matching.moments import Embedding, mean_embedding, segment_means, squared_gap
from condensery.method import Preparation, State, Task
from condensery.models.batch_norm import mixes_samples
from condensery.models.registry import NetworkFactory
from condensery.optimizers import SGD
from condensery.pretraining import (
    NetworkPool,
    accuracy_range,
    joined,
    pool_preparation,
    require_keepable,
    trained_networks,
)
from condensery.rng import Rng
from condensery.teaching import Guide
from condensery.text import count

_AT_ONCE = 1 << 14  # real images


class Prepared(NamedTuple):
    """What is trained first; None where it is not asked for."""

    pool: NetworkPool | None
    teacher: nn.Module | None


@dataclass(frozen=True)
class DM:
    """Match the class means of embeddings of real and synthetic images under many random networks."""

    name: ClassVar[str] = "dm"
    summary: ClassVar[str] = "distribution matching (Zhao & Bilen, 2023): fast, one level, any budget"
    later_fields: ClassVar[tuple[str, ...]] = (
        "factor",
        "classes_per_step",
        "coarse",
        "coarse_steps",
        "other_networks",
        "teacher_weight",
        "teacher_epochs",
    )
    splits: ClassVar[str] = "terms"

    iterations: int = 20_000
    """updates of the images, each with a new random network"""
    real_batch: int = 256
    """real images per class and step"""
    image_lr: float = 1.0
    """learning rate of the images; the paper uses 10 for CIFAR-10 from 100 images per class on"""
    image_momentum: float = 0.5
    """momentum of the images' SGD"""
    init: str = "real"
    """start from "real" images, those nearest to means of "clusters", "noise", or another set, by its file"""
    factor: int = 1
    """tiles along each side of a stored image, enlarged before use: 2 trains on four images for the bytes of one"""
    classes_per_step: int = 0
    """classes that a step matches, drawn at random; 0 for all"""
    coarse: int = 1
    """images are matched this many times smaller along each side in the first coarse_steps updates"""
    coarse_steps: int = 0
    """updates at the coarse size, before those at the full size"""
    augmentation: str = "auto"
    """Siamese augmentation: groups joined by "_", "none", or "auto" (all six; no flip for digits)"""
    weights: str = "random"
    """of the networks: "random", or trained to a validation accuracy in %, such as "30-40"; "all" takes any"""
    trained_networks: int = 1000
    """networks to train on the real images first, unless their weights are random; kept in the cache"""
    trained_epochs: int = 20
    """epochs that each of them is trained for"""
    other_networks: str = ""
    """architectures that take turns with --network, an update each: names joined by commas"""
    teacher_weight: float = 0.0
    """of a teacher's cross entropy on random crops of the images, beside the gap of each class; 0 needs no teacher"""
    teacher_epochs: int = 0
    """epochs that it is trained for on the real images; 0 for as many as make 500 steps"""

    def steps(self, ipc: int) -> int:
        return self.iterations

    def check(self, task: Task) -> list[str]:
        notes = task.start_notes(self.init, self.factor)
        for network in self._networks(task):
            if not network.has_embedding(task.spec):
                raise BadInput(
                    f"dm matches embeddings and {network.name} has none: "
                    "choose a network with embed(), such as convnet"
                )
        notes.append(f"Siamese augmentation {self._augmentation(task).strategy or 'none'}")
        if self.other_networks:
            notes.append(f"updates take turns at {', '.join(n.name for n in self._networks(task))}")
        if task.ipc >= 100 and self.image_lr < 10:
            notes.append(
                f"the paper uses --image-lr 10 for CIFAR-10 from 100 images per class on, this run {self.image_lr:g}"
            )
        return notes + self._coarse_notes(task) + self._weights_notes(task) + self._guide(task).notes()

    def preparation(self, task: Task, rng: Rng) -> Preparation | None:
        without = replace(self, weights="random")
        if self.teacher_weight:
            without = _WithStandIn(**asdict(without))
        teacher = self._guide(task).preparation(without)
        if self.weights == "random":
            return teacher
        pool = self.trained_networks, self.trained_epochs, rng.fork("trained networks")
        return joined(teacher, pool_preparation(task, *pool, without=without))

    def start(self, task: Task, rng: Rng) -> State:
        synthetic = task.start_images(self.init, self.factor, rng.fork("images"))
        optimizer = SGD(synthetic.leaves().values(), self.image_lr, self.image_momentum)
        prepared = Prepared(self._pool(task, rng.fork("trained networks")), self._teacher(task))
        state = State.of(synthetic, optimizer, self._network(task, prepared.pool, rng), prepared=prepared)
        for turn in range(1, len(self._networks(task))):  # a checkpoint may hold any of them
            state = self._drawn(task, state, turn, rng)
        return state

    def terms(self, task: Task, state: State, rng: Rng) -> Iterator[Tensor]:
        network = state.networks[_place(state.step % len(self._networks(task)))].requires_grad_(False)
        embed = cast(Embedding, network.embed)
        augmentation, classes = self._augmentation(task), task.team.share(self._classes(task, rng))
        yield from self._taught(task, state, classes, rng.fork("teacher"))
        smaller = self.coarse if state.step < self.coarse_steps else 1
        pairs = (
            task.pair(state.synthetic, c, self.real_batch, augmentation, rng, smaller=smaller)
            for c in classes
        )
        if mixes_samples(network):
            yield self._joint_gap(embed, *zip(*pairs, strict=True))
            return
        if task.chunk is None:
            yield from self._gaps_of_many(task, embed, classes, pairs, rng)
            return
        for c, (real, synthetic) in zip(classes, pairs, strict=True):
            with rng.fork("layers", c).seeded(task.device):  # dropout must not depend on the classes before
                with torch.no_grad():
                    target = mean_embedding(embed, task.forward_only(real), task.chunk)  # (D,)
                gap = squared_gap(target, mean_embedding(embed, synthetic, task.chunk))
            yield gap

    def advance(self, task: Task, state: State, rng: Rng) -> State:
        turn = (state.step + 1) % len(self._networks(task))
        if turn == 0:
            return state.next(self._network(task, state.prepared.pool, rng))
        return self._drawn(task, state.next(), turn, rng)

    def _drawn(self, task: Task, state: State, turn: int, rng: Rng) -> State:
        """The state with a random network of the architecture that has this turn, counted from 0."""
        network = task.new_network(rng.fork("network"), self._networks(task)[turn])
        return replace(state, networks={**state.networks, _place(turn): network})

    def _taught(self, task: Task, state: State, classes: Sequence[int], rng: Rng) -> Iterator[Tensor]:
        """What the teacher says of each class."""
        for c in classes if self.teacher_weight else ():
            images, teacher = state.synthetic.of_class(c), state.prepared.teacher
            labels = task.labels(c, len(images))
            yield self._guide(task).loss(teacher, images, labels, rng.fork(c))

    def _networks(self, task: Task) -> list[NetworkFactory]:
        """Those that take turns."""
        return task.networks(self.other_networks)

    def _classes(self, task: Task, rng: Rng) -> Sequence[int]:
        """Those that this step matches."""
        if not 0 < self.classes_per_step < len(task.classes):
            return task.classes
        drawn = rng.fork("classes").numpy().permutation(len(task.classes))[: self.classes_per_step]
        return sorted(drawn.tolist())

    def _coarse_notes(self, task: Task) -> list[str]:
        """What is matched at a coarse size. Raises BadInput where the network takes images of one size only."""
        if self.coarse < 2 or not self.coarse_steps:
            return []
        height, width = (side // self.coarse for side in task.spec.shape[1:])
        for network in self._networks(task):
            try:
                embed = cast(Embedding, task.new_network(Rng(0), network).embed)
                with torch.no_grad():
                    embed(torch.zeros(2, task.spec.channels, height, width, device=task.device))
            except RuntimeError as error:
                raise BadInput(
                    f"coarse {self.coarse} leaves images of {width}x{height} pixels, which {network.name} made for "
                    "the full size cannot embed: choose a smaller one, or leave it out"
                ) from error
        return [f"{count(self.coarse_steps, 'step')} at {width}x{height} pixels, the others at full size"]

    def _network(self, task: Task, pool: NetworkPool | None, rng: Rng) -> nn.Module:
        """The next network: a random one, or one of the pool."""
        rng = rng.fork("network")
        return pool.draw(task, rng) if pool else task.new_network(rng)

    def _pool(self, task: Task, rng: Rng) -> NetworkPool | None:
        """The trained networks to draw from (thesis section 5.3.4); None if they are random."""
        if self.weights == "random":
            return None
        pool = trained_networks(task, self.trained_networks, self.trained_epochs, rng)
        return pool if self.weights == "all" else pool.between(*accuracy_range(self.weights))

    def _weights_notes(self, task: Task) -> list[str]:
        """The line on trained networks. Raises BadInput if there is no such distribution."""
        if self.weights == "random":
            return []
        if self.other_networks:
            raise BadInput(
                f"networks that take turns ({self.other_networks}) have random weights: leave out --weights "
                f"{self.weights}, or --other-networks"
            )
        require_keepable(task.network)
        wanted = "any" if self.weights == "all" else "{:.0%} to {:.0%}".format(*accuracy_range(self.weights))
        return [
            f"networks of {wanted} validation accuracy, from {self.trained_networks} that are first trained on the "
            f"real images for {count(self.trained_epochs, 'epoch')} each, unless the cache has them"
        ]

    def _guide(self, task: Task) -> Guide:
        return Guide(task.pool, task.device, self.teacher_weight, self.teacher_epochs)

    def _teacher(self, task: Task) -> nn.Module | None:
        return self._guide(task).teacher()

    def _gaps_of_many(
        self,
        task: Task,
        embed: Embedding,
        classes: Sequence[int],
        pairs: Iterator[tuple[Tensor, Tensor]],
        rng: Rng,
    ) -> Iterator[Tensor]:
        """The same terms, added up for as many classes as a GPU embeds at once: there each call costs time."""
        many = max(1, _AT_ONCE // self.real_batch)
        for first in range(0, len(classes), many):
            with rng.fork("layers", classes[first]).seeded(task.device):
                yield self._joint_gap(embed, *zip(*islice(pairs, many), strict=True))

    @staticmethod
    def _joint_gap(embed: Embedding, real: tuple[Tensor, ...], synthetic: tuple[Tensor, ...]) -> Tensor:
        """The whole objective with one pass for all real and one for all synthetic images.

        Batch norm in training mode needs every class in the batch, or it would whiten the class means away.
        """
        with torch.no_grad():
            target = segment_means(embed(torch.cat(real)), [len(r) for r in real])  # (classes, D)
        return squared_gap(target, segment_means(embed(torch.cat(synthetic)), [len(s) for s in synthetic]))

    def _augmentation(self, task: Task) -> SiameseAugmentation:
        return SiameseAugmentation(resolve_strategy(self.augmentation, task.spec.flip))


@dataclass(frozen=True)
class _WithStandIn(DM):
    """For estimates: steps that cost the same, without a trained teacher."""

    def _teacher(self, task: Task) -> nn.Module:
        return self._guide(task).stand_in()


def _place(turn: int) -> str:
    """The name in the state of the network that has this turn."""
    return f"network {turn}" if turn else "network"
