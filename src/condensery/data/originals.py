"""The files that resized training images came from, for crops with the detail that resizing drops."""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property
from pathlib import Path

import numpy as np
from PIL import Image

from condensery.data.decode import Wish, decode
from condensery.data.listing import Item, Listing
from condensery.errors import BadInput


class Originals:
    """Training images as they lie on disk, before they were resized.

    Args:
        find: their files, in the order of the training images; None where they are no files of their own. Called once,
            when it is first asked for: it lists the source again.
    """

    def __init__(self, find: Callable[[], tuple[Path, ...] | None]) -> None:
        self._find = find

    @cached_property
    def files(self) -> tuple[Path, ...] | None:
        """The file of each training image, or None."""
        return self._find()

    def crops(self, indices: np.ndarray, boxes: np.ndarray, shape: tuple[int, int, int]) -> np.ndarray:
        """Crops of the central squares of some images, each read once and resized once (bicubic, antialiased).

        Args:
            indices: (n,) of training images.
            boxes: (n, k, 4), k crops of each: top, left, height, width as shares of the square's side.
            shape: (channels, height, width) of a crop.

        Returns:
            uint8 (n, k, C, H, W).

        Raises:
            BadInput: the images are no files of their own.
            BadFile: a file is gone or damaged.
        """
        files = self.files
        if files is None:
            raise BadInput("these images are no files of their own")
        with ThreadPoolExecutor(min(8, os.cpu_count() or 1)) as threads:
            work = [(files[i], box, shape) for i, box in zip(indices, boxes, strict=True)]
            return np.stack(list(threads.map(lambda one: _crops(*one), work)))


def _crops(file: Path, boxes: np.ndarray, shape: tuple[int, int, int]) -> np.ndarray:
    channels, height, width = shape
    pixels = decode(Item(str(file), file), Wish(channels=channels))  # (H, W, C)
    image = Image.fromarray(pixels[:, :, 0] if channels == 1 else pixels)
    side = min(image.size)
    left, top = ((whole - side) / 2 for whole in image.size)
    found = []
    for y, x, h, w in boxes:
        box = (left + x * side, top + y * side, left + (x + w) * side, top + (y + h) * side)
        crop = np.asarray(image.resize((width, height), Image.Resampling.BICUBIC, box=box))
        found.append(crop.reshape(height, width, channels).transpose(2, 0, 1))
    return np.stack(found)


def training_files(
    listing: Listing, skipped: tuple[str, ...], classes: tuple[str, ...] | None
) -> tuple[Path, ...] | None:
    """The files of the training images of a listing, in the order in which they are decoded; None if there is none.

    Args:
        skipped: names of damaged images, which were left out.
        classes: those that are kept; None for all.
    """
    wanted = None if classes is None else [listing.class_names.index(name) for name in classes]
    left_out, found = set(skipped), []
    for item, label, is_test in zip(listing.items(), listing.labels, listing.is_test, strict=True):
        if not isinstance(item.payload, Path):
            return None
        if not is_test and item.where not in left_out and (wanted is None or label in wanted):
            found.append(item.payload)
    return tuple(found)
