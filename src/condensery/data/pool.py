"""Per-class sampling of real images: uint8 until they are drawn, normalised once on the way out."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor

from condensery.data.rows import PixelRows, as_tensor
from condensery.data.store import fingerprint
from condensery.errors import BadInput
from condensery.memory import HELD_BYTES, release
from condensery.records import ImageSpec, LabeledImages
from condensery.rng import Rng


class ClassPool:
    """Real images, sorted by class, ready to be drawn from.

    Pixels stay uint8, and in their memory map where they do not fit on a GPU, see `condensery.data.rows`.

    Attributes:
        counts: images of each class.
        labels: int64 (N,), the class of each image.
        spec: what is known of the set.
        device: where drawn images are.
        originals: the files that resized images came from, see `LabeledImages`.
    """

    def __init__(self, images: LabeledImages, spec: ImageSpec, device: torch.device) -> None:
        shape = (spec.height, spec.width, spec.channels)
        if images.pixels.shape[1:] != shape:
            raise BadInput(f"pixels have shape {images.pixels.shape}, but the spec says (N, {shape})")
        self.spec = spec
        self.labels = images.labels
        self.originals = images.originals
        self.device = torch.device(device)
        order = np.argsort(images.labels, kind="stable")
        counts = np.bincount(images.labels, minlength=spec.num_classes)
        self.counts: list[int] = counts.tolist()
        self._members = np.split(order, np.cumsum(counts)[:-1])  # indices of each class, ascending
        self._rows = PixelRows(images.pixels, self.device)
        self._fingerprint: str | None = None

    def require_real(self) -> None:
        """Raises BadInput if a class has no image."""
        if 0 in self.counts:
            name = self.spec.class_names[self.counts.index(0)]
            raise BadInput(f"class {name!r} has no training images: leave it out with --classes")

    def fingerprint(self) -> str:
        """SHA-256 (hex) over class names, labels, pixels and normalisation; reads every pixel, once."""
        if self._fingerprint is None:
            self._fingerprint = self._measured_fingerprint()
        return self._fingerprint

    def _measured_fingerprint(self) -> str:
        labels = np.empty(sum(self.counts), dtype=np.int64)
        for c, members in enumerate(self._members):
            labels[members] = c
        normalised = (*self.spec.class_names, str((self.spec.mean, self.spec.std)))
        if self.spec.whitening is not None:
            normalised += (self.spec.whitening.digest,)
        return fingerprint(normalised, [(self._rows.pixels, labels)])

    def members(self, c: int) -> np.ndarray:
        """Indices int64 (counts[c],) of all images of class `c`, ascending."""
        return self._members[c]

    def sample_indices(self, c: int, n: int, rng: Rng) -> np.ndarray:
        """Indices int64 (min(n, counts[c]),) into the set: a random permutation of class `c`, its first `n`.

        Raises:
            BadInput: there is no image of class `c`, or `n` is not positive.
        """
        if not 0 <= c < len(self.counts) or not self.counts[c]:
            raise BadInput(f"there is no image of class {c}")
        if n < 1:
            raise BadInput(f"at least one image must be drawn, not {n}")
        return rng.numpy().permutation(self._members[c])[:n]

    def sample(self, c: int, n: int, rng: Rng) -> Tensor:
        """Images of class `c`, drawn without replacement: float32 normalised (min(n, counts[c]), C, H, W)."""
        return self.images_at(self.sample_indices(c, n, rng))

    def images_at(self, indices: np.ndarray) -> Tensor:
        """Images at `indices` (M,) of the set: float32 normalised (M, C, H, W), contiguous, on the device."""
        return _out(self._rows.at(indices), self.spec)


class PoolImages:
    """Some images of a pool in the form that training takes, normalised batch by batch.

    Attributes:
        indices: int64 (M,), where each of them is in the pool.
    """

    def __init__(self, pool: ClassPool, indices: np.ndarray | None = None) -> None:
        """`indices` (M,) are those of the images; None for all."""
        self.pool = pool
        self.indices = np.arange(len(pool.labels)) if indices is None else indices
        self.labels = torch.tensor(pool.labels[self.indices])

    def __len__(self) -> int:
        return len(self.indices)

    @property
    def bytes(self) -> int:
        """Bytes of their uint8 pixels and their labels."""
        return len(self) * (math.prod(self.pool.spec.shape) + self.labels.element_size())

    def batch(self, indices: Tensor) -> tuple[Tensor, Tensor]:
        """Images (n, C, H, W) and labels (n,) at `indices` (n,) into these images, on the pool's device."""
        images = self.pool.images_at(self.indices[indices.numpy()])
        return images, self.labels[indices].to(self.pool.device, non_blocking=True)


def batches(
    images: LabeledImages, spec: ImageSpec, device: torch.device, batch_size: int
) -> Iterator[tuple[Tensor, Tensor]]:
    """All images in order, for measuring accuracy.

    Yields:
        (float32 normalised (B, C, H, W), int64 labels (B,)), both on `device`; the last batch may be smaller.
    """
    for start in range(0, len(images), batch_size):
        part = slice(start, start + batch_size)
        pixels = as_tensor(images.pixels[part]).to(device)
        yield _out(pixels, spec), torch.from_numpy(np.array(images.labels[part])).to(device)
        if images.pixels.nbytes > HELD_BYTES:
            release(images.pixels)


def _out(pixels: Tensor, spec: ImageSpec) -> Tensor:
    """uint8 (B, H, W, C) -> float32 normalised (B, C, H, W), contiguous."""
    return spec.normalise(pixels.permute(0, 3, 1, 2).contiguous())
