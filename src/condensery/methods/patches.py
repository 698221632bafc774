"""Patches: crops of real images that a teacher is most certain of. Nothing is optimised.

Peng Sun, Bei Shi, Daiwei Yu and Tao Lin, "On the Diversity and Realism of Distilled Dataset: An Efficient Dataset
Distillation Paradigm" (RDED), CVPR 2024, arXiv 2312.03526, section 4. What the paper leaves out is the authors'
`synthesize/main.py`: 300 images per class, five crops of each, of which the one with the lowest loss is a candidate.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar, cast

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from condensery.errors import BadInput
from condensery.matching.moments import Embedding
from condensery.method import Preparation, State, Task
from condensery.rng import Rng
from condensery.synthetic.starts import joined_tiles
from condensery.synthetic.stored import enlarged, require_factor
from condensery.teaching import TeacherSettings, random_boxes, teacher_network, teacher_preparation
from condensery.training import default_chunk, logits_of
from condensery.views import crop_and_enlarge


@dataclass(frozen=True)
class Patches:
    """Keep, of random crops of real images, those whose class a teacher is most certain of."""

    name: ClassVar[str] = "patches"
    summary: ClassVar[str] = (
        "crops of real images that a teacher is sure of (RDED, Sun et al., 2024): a minute"
    )

    candidates: int = 300
    """real images per class that crops are taken from"""
    crops: int = 5
    """random crops of each, of which the most certain is kept"""
    smallest: float = 0.5
    """least share of an image's area that a crop has"""
    factor: int = 1
    """tiles along each side of a stored image, enlarged before use: 2 trains on four images for the bytes of one"""
    spread: str = "no"
    """"yes" keeps the most certain crop of each of as many clusters of the teacher's features as crops are kept"""
    teacher: str = "auto"
    """architecture of the teacher; "auto": ConvNet with batch norm, 32 filters wide for grey images, 64 for colour"""
    teacher_epochs: int = 0
    """epochs that it is trained for on the real images; 0 for 3 (grey) or 10 (colour), at least 1,000 steps"""

    def steps(self, ipc: int) -> int:
        return 1

    def check(self, task: Task) -> list[str]:
        if self.spread not in ("yes", "no"):
            raise BadInput(f"spread must be yes or no, not {self.spread!r}")
        if not 0 < self.smallest <= 1:
            raise BadInput(f"smallest must be a share of the area in (0, 1], not {self.smallest}")
        require_factor(self.factor, *task.spec.shape[1:])
        for name, ipc, real in zip(task.spec.class_names, task.counts, task.pool.counts, strict=True):
            needed, there = ipc * self.factor**2, min(real, self.candidates)
            if needed > there:
                raise BadInput(
                    f"--ipc {ipc} with --factor {self.factor} takes {needed} crops of different images of class "
                    f"{name!r}, from {there}: ask for fewer, or for more --candidates"
                )
        teacher = self._teacher.factory(task.spec)
        if self.spread == "yes" and not teacher.has_embedding(task.spec):
            raise BadInput(
                f"clusters need features and {teacher.name} has none: choose a network with embed()"
            )
        return [
            f"teacher {teacher.name}; the best of {self.crops} crops of up to {self.candidates} images per class"
        ]

    def preparation(self, task: Task, rng: Rng) -> Preparation | None:
        return teacher_preparation(task.pool, self._teacher, task.device)

    def start(self, task: Task, rng: Rng) -> State:
        synthetic = task.start_images("real", self.factor, rng.fork("images"))  # all are replaced
        return State(synthetic, {}, {}, prepared=teacher_network(task.pool, self._teacher, task.device))

    def terms(self, task: Task, state: State, rng: Rng) -> Iterator[Tensor]:
        return iter(())  # nothing is minimised

    @torch.no_grad()
    def advance(self, task: Task, state: State, rng: Rng) -> State:
        if state.step == 0:
            crops = [self._of_class(task, state.prepared, c, rng.fork("patches", c)) for c in task.classes]
            (stored,) = state.leaves()
            stored.copy_(joined_tiles(torch.cat(crops), self.factor))
        return state.next()

    def _of_class(self, task: Task, teacher: nn.Module, c: int, rng: Rng) -> Tensor:
        """The crops of class `c` that are kept, (counts[c] * factor^2, C, H / factor, W / factor)."""
        crops = self._most_certain(task, teacher, c, rng)
        count = task.counts[c] * self.factor**2
        if self.spread == "no":
            return crops[:count]
        seen = enlarged(crops, task.spec.shape[1:])
        embed = cast(Embedding, teacher.embed)
        features = torch.cat([embed(part) for part in seen.split(default_chunk(task.device) or len(seen))])
        return crops[first_of_clusters(features.cpu().numpy(), count, rng.fork("clusters"))]

    def _most_certain(self, task: Task, teacher: nn.Module, c: int, rng: Rng) -> Tensor:
        """The best crop of each candidate of class `c`, (n, C, H / factor, W / factor), the lowest loss first."""
        real = task.pool.sample(c, self.candidates, rng.fork("candidates"))  # (n, C, H, W)
        labels = task.labels(c, len(real))
        best, lowest = torch.empty(()), torch.full((len(real),), torch.inf, device=task.device)
        for k in range(self.crops):
            boxes = random_boxes((len(real),), self.smallest, rng.fork("boxes", k)).to(task.device)
            crops = F.avg_pool2d(crop_and_enlarge(real, boxes), self.factor)
            seen = enlarged(crops, task.spec.shape[1:])  # as networks will see them
            said = logits_of(teacher, seen, default_chunk(task.device))
            loss = F.cross_entropy(said, labels, reduction="none")  # (n,)
            best = crops if k == 0 else torch.where((loss < lowest)[:, None, None, None], crops, best)
            lowest = torch.minimum(loss, lowest)
        return best[lowest.argsort(stable=True)]

    @property
    def _teacher(self) -> TeacherSettings:
        return TeacherSettings(None if self.teacher == "auto" else self.teacher, self.teacher_epochs or None)


def first_of_clusters(features: np.ndarray, count: int, rng: Rng) -> np.ndarray:
    """Indices (count,), ascending, of the first row in each of `count` k-means clusters of `features` (n, D).

    Where rows are equal there are fewer clusters; the first rows that are left then fill up.
    """
    from sklearn.cluster import KMeans  # a second to import, and most runs need none

    with warnings.catch_warnings(action="ignore"):  # fewer clusters are meant to be possible
        found = KMeans(count, random_state=rng.entropy % 2**32).fit_predict(features)
    first = np.unique(found, return_index=True)[1]
    others = np.setdiff1d(np.arange(len(features)), first)
    return np.sort(np.concatenate([first, others[: count - len(first)]]))
