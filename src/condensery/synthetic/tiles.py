"""Low-resolution storage: each stored image holds factor x factor tiles, which are enlarged before use.

Kim et al., "Dataset Condensation via Efficient Synthetic-Data Parameterization" (IDC), ICML 2022, arXiv 2205.14959,
section 4: a factor of 2 gives four training images for the bytes of one.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from condensery.data.pool import ClassPool
from condensery.errors import BadInput
from condensery.rng import Rng
from condensery.synthetic.learned import Content
from condensery.synthetic.pixels import Pixels, kept, labels_as_leaves, require_init
from condensery.synthetic.stored import enlarged_tiles, require_factor


@dataclass(frozen=True)
class Tiles:
    """Images made of low-resolution tiles.

    Attributes:
        stored: float32 (num_classes * ipc, C, H, W) in normalised space, requires grad: factor x factor tiles each.
        ipc: stored images per class.
        factor: tiles along each side.
        targets: float32 (num_classes * ipc * factor^2, num_classes), learned labels of the images, requires grad; None
            if the labels are the classes.
        training: how the set wants to be trained, see `Content`.
    """

    stored: Tensor
    ipc: int
    factor: int
    targets: Tensor | None = None
    training: dict[str, Any] = field(default_factory=dict)

    @property
    def images(self) -> Tensor:
        """float32 (num_classes * ipc * factor^2, C, H, W), class-major."""
        return enlarged_tiles(self.stored, self.factor)

    @property
    def labels(self) -> Tensor:
        """int64 (num_classes * ipc * factor^2,): 0, 0, ..., 1, 1, ..."""
        num_classes = len(self.stored) // self.ipc
        classes = torch.arange(num_classes, device=self.stored.device)
        return classes.repeat_interleave(self.ipc * self.factor**2)

    def of_class(self, c: int) -> Tensor:
        return enlarged_tiles(self.stored[c * self.ipc : (c + 1) * self.ipc], self.factor)

    def leaves(self) -> dict[str, Tensor]:
        return {"tiles": self.stored} | labels_as_leaves(self.targets)

    def content(self) -> Content:
        stored = {
            "tiles.images": self.stored.detach().cpu().clone(),
            "tiles.factor": torch.tensor(self.factor),
        }
        images, labels = self.images.detach().cpu(), self.labels.cpu()
        return Content(images, labels, kept(self.targets), stored, self.training)


def start_images(pool: ClassPool, ipc: int, init: str, factor: int, rng: Rng) -> Pixels | Tiles:
    """What a method learns, as it begins: `ipc` stored images per class.

    Args:
        init: "noise", standard normal values, or "real", random real images of each class.
        factor: 1 for images as they are; beyond, each stored image is made of factor x factor real ones, made smaller
            by averaging.

    Raises:
        BadInput: an unknown `init`, a factor that does not divide the sides, or too few real images in a class.
    """
    require_start(pool, ipc, init, factor)
    if factor == 1:
        return Pixels.start(pool, ipc, init, rng)
    count = ipc if init == "noise" else ipc * factor**2
    images = Pixels.start(pool, count, init, rng).images.detach()
    if init == "real":
        images = joined_tiles(F.avg_pool2d(images, factor), factor)
    return Tiles(images.contiguous().requires_grad_(), ipc, factor)


def require_start(pool: ClassPool, ipc: int, init: str, factor: int) -> None:
    """Raise BadInput where `start_images` cannot begin; for the `check` of methods, which comes before any work."""
    require_init(init)
    if factor == 1:
        return
    require_factor(factor, *pool.spec.shape[1:])
    per_class = ipc * factor**2
    if init == "real" and per_class > min(pool.counts):
        c = min(range(len(pool.counts)), key=lambda c: pool.counts[c])
        raise BadInput(
            f"--ipc {ipc} with --factor {factor} starts from {per_class} real images per class, and class "
            f"{pool.spec.class_names[c]!r} has {pool.counts[c]}: ask for fewer, or --init noise"
        )


def joined_tiles(tiles: Tensor, factor: int) -> Tensor:
    """(S * factor^2, C, h, w) -> (S, C, factor * h, factor * w): the inverse of cutting, row by row."""
    count, channels, rows, columns = tiles.shape
    grid = tiles.reshape(count // factor**2, factor, factor, channels, rows, columns)
    return grid.permute(0, 3, 1, 4, 2, 5).reshape(-1, channels, factor * rows, factor * columns)
