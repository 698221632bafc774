"""Memory of this process: what the C library keeps of it, and pages of files that were read."""

from __future__ import annotations

import ctypes
import mmap
import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np

OFF = "CONDENSERY_RETURN_MEMORY"
_TRIM_THRESHOLD, _TOP_PAD, _MMAP_MAX = -1, -2, -4  # M_... of glibc's malloc.h
_NEVER, _STEP = -1, 64 << 20  # bytes


def keep_freed_memory() -> bool:
    """Keep memory that is freed, for the next allocation, instead of giving it back to the system each time.

    glibc maps every large tensor anew, and the kernel then clears it page by page: with torch on a CPU up to half of
    the time of a training step (benchmarks/README.md). Holds for the whole process, until its end; its peak stays about
    the same, and what it holds between peaks grows to the peak.

    Returns:
        Whether it is done: only with glibc, and not where the environment has CONDENSERY_RETURN_MEMORY=1.
    """
    if os.environ.get(OFF):
        return False
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError, TypeError):  # macOS, Windows, musl
        return False
    return all([mallopt(_MMAP_MAX, 0), mallopt(_TRIM_THRESHOLD, _NEVER), mallopt(_TOP_PAD, _STEP)])


def release(array: np.ndarray) -> None:
    """Let go of the pages that were read of a memory map (`numpy.load(mmap_mode="r")`); nothing for other arrays.

    They count as memory of this process until then. The system keeps them as long as it has room, so that reading them
    again costs little.
    """
    mapped = getattr(array, "_mmap", None)
    if mapped is not None and getattr(array, "mode", "") == "r" and hasattr(mmap, "MADV_DONTNEED"):
        mapped.madvise(mmap.MADV_DONTNEED)
