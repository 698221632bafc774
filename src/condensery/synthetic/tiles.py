"""Low-resolution storage: each stored image holds factor x factor tiles, which are enlarged before use.

Kim et al., "Dataset Condensation via Efficient Synthetic-Data Parameterization" (IDC), ICML 2022, arXiv 2205.14959,
section 4: a factor of 2 gives four training images for the bytes of one.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from condensery.budgets import Counts, per_class
from condensery.data.pool import ClassPool
from condensery.errors import BadInput
from condensery.rng import Rng
from condensery.synthetic.learned import Content
from condensery.synthetic.low_resolution import enlarged, enlarged_tiles, require_factor, tiled
from condensery.synthetic.pixels import Pixels, class_labels, kept, labels_as_leaves, of_class, require_init
from condensery.synthetic.starts import GIVEN, Start, joined_tiles, repeats_line

_LOOKED_AT = 1000


@dataclass(frozen=True)
class Tiles:
    """Images made of low-resolution tiles.

    Attributes:
        stored: float32 (S, C, H, W) in normalised space, requires grad: factor x factor tiles each.
        counts: stored images of each class, S in all.
        factor: tiles along each side.
        targets: float32 (S * factor^2, num_classes), learned labels of the images, requires grad; None if the labels
            are the classes.
        training: how the set wants to be trained, see `Content`.
    """

    stored: Tensor
    counts: Counts
    factor: int
    targets: Tensor | None = None
    training: dict[str, Any] = field(default_factory=dict)

    @property
    def images(self) -> Tensor:
        """float32 (S * factor^2, C, H, W), class-major."""
        return enlarged_tiles(self.stored, self.factor)

    @property
    def labels(self) -> Tensor:
        """int64 (S * factor^2,): 0, 0, ..., 1, 1, ..."""
        return class_labels(tiled(self.counts, self.factor), self.stored.device)

    def of_class(self, c: int) -> Tensor:
        return enlarged_tiles(of_class(self.stored, self.counts, c), self.factor)

    def leaves(self) -> dict[str, Tensor]:
        return {"tiles": self.stored} | labels_as_leaves(self.targets)

    def content(self) -> Content:
        tiles = self.stored.detach().cpu().clone()
        stored = {"tiles.images": tiles, "tiles.factor": torch.tensor(self.factor)}
        # As whoever loads the file makes them: a GPU, where self.images may be, rounds otherwise.
        images = enlarged_tiles(tiles, self.factor)
        return Content(images, self.labels.cpu(), kept(self.targets), stored, self.training)


def kept_detail(pixels: np.ndarray, factor: int) -> float:
    """Share of the variance within images that is left in tiles of `factor` x `factor` to an image, enlarged again.

    Args:
        pixels: uint8 (N, H, W, C), of which at most 1,000 images are looked at, spread over all.
        factor: of sides that it does not divide, the last few pixels are left out.
    """
    height, width = (side - side % factor for side in pixels.shape[1:3])
    some = pixels[:: -(-len(pixels) // _LOOKED_AT), :height, :width]
    images = torch.from_numpy(np.array(some)).movedim(-1, 1).float()  # (M, C, H, W)
    left = enlarged(F.avg_pool2d(images, factor), (images.shape[2], images.shape[3]))
    lost = (images - left).square().mean() / images.var((2, 3), unbiased=False).mean().clamp_min(1e-12)
    return 1 - float(lost)


def start_images(
    pool: ClassPool, counts: Counts, init: str, factor: int, rng: Rng, start: Start | None = None
) -> Pixels | Tiles:
    """What a method learns, as it begins: `counts` stored images of each class.

    Args:
        init: "noise", standard normal values; "real", random real images of each class; or "clusters", the real images
            nearest to the means of clusters of it.
        factor: 1 for images as they are; beyond, each stored image is made of factor x factor real ones, made smaller
            by averaging.
        start: another set to start from, in place of `init`.

    Raises:
        BadInput: an unknown `init`, a factor that does not divide the sides, or a set with other counts.
    """
    start_notes(pool, counts, init, factor, start)
    if start is not None:
        images = start.stored.to(pool.device).contiguous()
    else:
        wanted = counts if init == "noise" else tiled(counts, factor)
        images = Pixels.start(pool, wanted, init, rng, factor).images.detach()
        if init != "noise" and factor > 1:
            images = joined_tiles(F.avg_pool2d(images, factor), factor)
    leaf = images.clone().requires_grad_()  # with its strides, which decide the last bits for grey images
    return Pixels(leaf, counts) if factor == 1 else Tiles(leaf, counts, factor)


def start_notes(
    pool: ClassPool,
    counts: Counts,
    init: str,
    factor: int,
    start: Start | None = None,
    learns_labels: bool = False,
) -> list[str]:
    """Lines on how `start_images` begins, for the `check` of methods, which comes before any work.

    Raises:
        BadInput: it cannot begin.
    """
    if factor > 1:
        require_factor(factor, *pool.spec.shape[1:])
    if start is not None:
        if start.counts != counts:
            raise BadInput(
                f"--ipc asks for {per_class(counts)} and the set to start from has {per_class(start.counts)}: leave "
                "out --ipc to make as many"
            )
        kept_labels = start.labels == "hard" or (start.targets is not None and learns_labels)
        return [] if kept_labels else [f"labels of the set to start from ({start.labels}) are not used"]
    if init == GIVEN:
        raise BadInput("the set to start from is missing: name it with --init")
    require_init(init)
    if init == "noise":
        return []
    typical = ["starts from the real images nearest to the means of clusters of each class"]
    return [*(typical if init == "clusters" else []), *repeats_line(pool, tiled(counts, factor))]
