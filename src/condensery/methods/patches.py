"""Patches: crops of real images that a teacher is most certain of. Nothing is optimised.

Peng Sun, Bei Shi, Daiwei Yu and Tao Lin, "On the Diversity and Realism of Distilled Dataset: An Efficient Dataset
Distillation Paradigm" (RDED), CVPR 2024, arXiv 2312.03526, section 4. What the paper leaves out is the authors'
`synthesize/main.py`: 300 images per class, five crops of each, of which the one with the lowest loss is a candidate.
The shape of a crop is random, 3/4 to 4/3.

Fields: the authors' code gives candidates (`--mipc`) and crops; section 4 factor (the authors take 1 at 32 and 64
pixels, 2 at 224; both presets take 2 from 100 on). Ours: smallest, spread, teacher, teacher_epochs, teacher_size and
teacher_weights.

Differences from the paper and from the authors' code:

1. Teacher. Theirs is a ConvNet file of 82.2 % on CIFAR-10. Ours trains on the spot: a ConvNet with instance
   norm, in colour 64 filters and 10 epochs, one cycle.
2. Crops have at least half of the area and are enlarged. Theirs go down to 8 % (torchvision's default), and small ones
   are padded with zeros.
3. Tiles are enlarged to whole images before a network sees them (as in IDC). Theirs are trained on as a mosaic of
   shuffled patches.
4. Labels are stored by `condense label`. Theirs keep the teacher and ask it at training time.
5. Evaluation. They report the best test epoch of the last fifth; here the last epoch counts.
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

from condensery.data import ClassPool
from condensery.errors import BadInput
from condensery.matching.moments import Embedding
from condensery.method import Preparation, State, Task
from condensery.rng import Rng
from condensery.synthetic.low_resolution import enlarged, require_factor
from condensery.synthetic.starts import joined_tiles
from condensery.teaching import TeacherSettings, random_boxes, teacher_network, teacher_preparation
from condensery.training import default_chunk, logits_of
from condensery.views import FULL, crop_and_enlarge


@dataclass(frozen=True)
class Patches:
    """Keep, of random crops of real images, those whose class a teacher is most certain of."""

    name: ClassVar[str] = "patches"
    later_fields: ClassVar[tuple[str, ...]] = ("teacher_size", "teacher_weights")
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
    """architecture of the teacher; "auto": ConvNet, 32 filters wide for grey images, 64 for colour"""
    teacher_epochs: int = 0
    """epochs that it is trained for on the real images; 0 for 3 (grey) or 10 (colour), at least 1,000 steps"""
    teacher_size: int = 0
    """pixels on the shorter side of what it sees: less than the images have saves time; 0 for all"""
    teacher_weights: str = ""
    """a .safetensors or .pt file with the weights of the teacher, in place of training"""

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
        teacher = self.teacher_settings.factory(task.spec)
        if self.spread == "yes" and not teacher.has_embedding(task.spec):
            raise BadInput(
                f"clusters need features and {teacher.name} has none: choose a network with embed()"
            )
        seen = f" on {self.teacher_size} pixels" if self.teacher_size else ""
        how = f" with the weights {self.teacher_weights}" if self.teacher_weights else ""
        kind = f"teacher {teacher.name}{seen}{how}"
        best = f"the best of {self.crops} crops of up to {self.candidates} images per class"
        return [f"{kind}; {best}", *_origin_of_crops(task.pool)]

    def preparation(self, task: Task, rng: Rng) -> Preparation | None:
        return teacher_preparation(task.pool, self.teacher_settings, task.device)

    def start(self, task: Task, rng: Rng) -> State:
        synthetic = task.start_images("real", self.factor, rng.fork("images"))  # all are replaced
        return State(
            synthetic, {}, {}, prepared=teacher_network(task.pool, self.teacher_settings, task.device)
        )

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
        indices = task.pool.sample_indices(c, self.candidates, rng.fork("candidates"))  # (n,)
        labels = task.labels(c, len(indices))
        best, lowest = torch.empty(()), torch.full((len(indices),), torch.inf, device=task.device)
        boxes = [
            random_boxes((len(indices),), self.smallest, rng.fork("boxes", k)) for k in range(self.crops)
        ]
        for k, crops in enumerate(self._cropped(task, indices, boxes)):
            seen = enlarged(crops, task.spec.shape[1:])  # as networks will see them
            said = logits_of(teacher, seen, default_chunk(task.device))
            loss = F.cross_entropy(said, labels, reduction="none")  # (n,)
            best = crops if k == 0 else torch.where((loss < lowest)[:, None, None, None], crops, best)
            lowest = torch.minimum(loss, lowest)
        return best[lowest.argsort(stable=True)]

    def _cropped(self, task: Task, indices: np.ndarray, boxes: list[Tensor]) -> Iterator[Tensor]:
        """For each of `boxes` (n, 4), those crops of the images at `indices`: (n, C, H / factor, W / factor)."""
        channels, height, width = task.spec.shape
        if task.pool.originals is None or task.pool.originals.files is None:
            real = task.pool.images_at(indices)  # (n, C, H, W)
            for box in boxes:
                yield F.avg_pool2d(crop_and_enlarge(real, box.to(task.device)), self.factor)
            return
        shape = (channels, height // self.factor, width // self.factor)
        shares = torch.stack(boxes, 1).numpy() / FULL  # (n, crops, 4)
        pixels = task.pool.originals.crops(indices, shares, shape)  # (n, crops, C, h, w)
        for k in range(len(boxes)):
            yield task.spec.normalise(torch.from_numpy(pixels[:, k].copy()).to(task.device))

    @property
    def teacher_settings(self) -> TeacherSettings:
        """Who looks at the crops."""
        return TeacherSettings(
            None if self.teacher == "auto" else self.teacher,
            self.teacher_epochs or None,
            weights=self.teacher_weights or None,
            size=self.teacher_size or None,
        )


def _origin_of_crops(pool: ClassPool) -> list[str]:
    """Where crops are taken from, where that is not the images as they are."""
    if pool.originals is None:
        return []
    if pool.originals.files is None:
        return ["crops are taken from the resized images: these have no files of their own"]
    return ["crops are read from the original files, with the detail that resizing drops"]


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
