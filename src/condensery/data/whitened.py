"""Images whose specification says how they are whitened: fitted on their training images once, and kept in the cache.

Layout below the cache folder: whitenings/<key>.npy holds the mean and the matrix, float32 (d + 1, d).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from condensery.data.cache import Cache, digest
from condensery.data.pool import batches
from condensery.errors import BadInput
from condensery.records import ImageData, ImageSpec
from condensery.whitening import Whitening, fit, require_whitening

NONE = "none"
_BATCH = 1000  # images at a time


def whitened(
    data: ImageData, kind: str, announce: Callable[[str], None], cache: Cache | None = None
) -> ImageData:
    """`data` whose images are whitened when they are normalised; as it is for "none".

    Args:
        kind: a name in `condensery.whitening.WHITENINGS`, or "none".
        announce: told before a whitening is fitted, which takes a while for large images.

    Raises:
        BadInput: an unknown kind, images that are too large, or a cache folder that cannot be written.
    """
    if kind == NONE:
        return data
    spec = replace(data.spec, whitening=None)
    numbers = spec.channels * spec.height * spec.width
    require_whitening(kind, numbers)
    if kind == "zca-kornia":  # pixels from 0 to 1 as they are
        spec = replace(spec, mean=(0.0,) * spec.channels, std=(1.0,) * spec.channels)
    cache = cache or Cache()
    file = cache.folder / "whitenings" / f"{_key(data, spec, kind)}.npy"
    found = _kept(file, kind, numbers)
    if found is None:
        announce(
            f"fitting a {kind} whitening of {numbers:,} numbers to {len(data.train):,} training images (once)"
        )
        found = fit(kind, _Batches(data, spec), numbers)
        cache.save_array(file, torch.cat([found.mean[None], found.matrix]).numpy())
    return replace(data, spec=replace(spec, whitening=found))


@dataclass(frozen=True)
class _Batches:
    """Normalised training images, again for each pass."""

    data: ImageData
    spec: ImageSpec

    def __iter__(self) -> Iterator[Tensor]:
        for images, _ in batches(self.data.train, self.spec, torch.device("cpu"), _BATCH):
            yield images


def _key(data: ImageData, spec: ImageSpec, kind: str) -> str:
    prints = getattr(data.found, "prints", ()) or (data.fingerprint,)
    return digest("whitening", kind, prints[0], str((spec.mean, spec.std)))


def _kept(file: Path, kind: str, numbers: int) -> Whitening | None:
    try:
        array = np.load(file, allow_pickle=False)
        if array.shape != (numbers + 1, numbers):
            return None
        both = torch.from_numpy(array)
        return Whitening(kind, both[0].clone(), both[1:].clone())
    except (OSError, ValueError, EOFError, BadInput):
        return None  # never fitted, or damaged: fit it
