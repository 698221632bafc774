"""Rows of pixels that are taken at random from far more than fit into memory."""

from __future__ import annotations

import mmap
import os
import weakref

import numpy as np
import torch
from torch import Tensor

from condensery.data.store import blocks
from condensery.memory import HELD_BYTES


class PixelRows:
    """Pixels uint8 (N, H, W, C) from which rows are taken.

    On a GPU they move there once where they take less than half of what is free; otherwise, and on a CPU, they stay
    where they are, and only the rows that are taken move. Rows of a large memory map are read from its file: pages that
    were mapped would count as memory of this process, and the system maps up to 2 MB for one image.
    """

    def __init__(self, pixels: np.ndarray, device: torch.device) -> None:
        self.pixels, self.device = pixels, device
        self.resident = _moved(pixels, device) if _fits(pixels, device) else None
        self.file = _opened(pixels) if self.resident is None and pixels.nbytes > HELD_BYTES else None
        if self.file is not None:
            weakref.finalize(self, os.close, self.file)

    def at(self, indices: np.ndarray) -> Tensor:
        """uint8 (M, H, W, C), contiguous, on the device."""
        if self.resident is not None:
            return self.resident[torch.from_numpy(indices).to(self.device, non_blocking=True)]
        rows = as_tensor(self.pixels[indices]) if self.file is None else self._read(self.file, indices)
        return rows if self.device.type == "cpu" else rows.pin_memory().to(self.device, non_blocking=True)

    def _read(self, file: int, indices: np.ndarray) -> Tensor:
        start, size = self.pixels.offset, self.pixels[0].nbytes  # type: ignore[attr-defined]  # a memory map
        rows = np.empty((len(indices), *self.pixels.shape[1:]), dtype=np.uint8)
        for row, index in zip(rows, indices.tolist(), strict=True):
            if os.preadv(file, [row.data], start + index * size) != size:
                raise IndexError(f"there is no image {index} in {self.pixels.filename}")  # type: ignore[attr-defined]
        return torch.from_numpy(rows)


def _opened(pixels: np.ndarray) -> int | None:
    """The file of a memory map of all its pixels, open for reading; None for any other array."""
    whole = isinstance(pixels, np.memmap) and isinstance(pixels.base, mmap.mmap) and pixels.flags.c_contiguous
    return os.open(pixels.filename, os.O_RDONLY) if whole else None  # type: ignore[union-attr]


def as_tensor(pixels: np.ndarray) -> Tensor:
    """A copy of part of the memory map as a tensor; torch refuses read-only memory.

    Its layout is always the same: convolutions round differently on others.
    """
    return torch.from_numpy(np.array(pixels, copy=True, order="C", subok=False))


def _moved(pixels: np.ndarray, device: torch.device) -> Tensor:
    """All of them on the device, block by block."""
    whole, done = torch.empty(pixels.shape, dtype=torch.uint8, device=device), 0
    for block in blocks(pixels):
        whole[done : done + len(block)] = as_tensor(block)
        done += len(block)
    return whole


def _fits(pixels: np.ndarray, device: torch.device) -> bool:
    """Whether all of them should lie on the device."""
    return device.type != "cpu" and 2 * pixels.nbytes < torch.cuda.mem_get_info(device)[0]
