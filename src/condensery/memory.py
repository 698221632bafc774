"""Memory of this process: what the C library keeps, pages of files that were read, and a bound on all of it."""

from __future__ import annotations

import ctypes
import mmap
import os
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from condensery.errors import BadInput
from condensery.text import bytes_in, readable_bytes

if TYPE_CHECKING:
    import numpy as np
    import torch

HELD_BYTES = 64 << 20
"""Pages of a memory map that are held at most."""
LEAST_BYTES = 1 << 30
"""Of a bound: the program with its libraries takes about a third of it."""
_FILES = HELD_BYTES + (160 << 20)
"""Pages of memory maps and of the libraries, which the system's bound leaves out."""
_REFUSED = re.compile(r"can't allocate memory|out of memory|bad_alloc|not enough memory", re.IGNORECASE)

OFF = "CONDENSERY_RETURN_MEMORY"
_TRIM_THRESHOLD, _TOP_PAD, _MMAP_THRESHOLD, _MMAP_MAX = -1, -2, -3, -4  # M_... of glibc's malloc.h
_NEVER, _STEP, _LARGE, _MANY = -1, 64 << 20, 32 << 20, 1 << 16  # bytes, and maps


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
    return _mallopt((_MMAP_MAX, 0), (_TRIM_THRESHOLD, _NEVER), (_TOP_PAD, _STEP))


def _mallopt(*settings: tuple[int, int]) -> bool:
    """Whether all settings of the C library's allocator could be made."""
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError, TypeError):  # macOS, Windows, musl
        return False
    return all([mallopt(*setting) for setting in settings])


def release(array: np.ndarray) -> None:
    """Let go of the pages that were read of a memory map (`numpy.load(mmap_mode="r")`); nothing for other arrays.

    They count as memory of this process until then. The system keeps them as long as it has room, so that reading them
    again costs little.
    """
    mapped = getattr(array, "_mmap", None)
    if mapped is not None and getattr(array, "mode", "") == "r" and hasattr(mmap, "MADV_DONTNEED"):
        mapped.madvise(mmap.MADV_DONTNEED)


def bytes_within(memory: int | str) -> int:
    """Bytes from a number or from text such as "3GiB". BadInput if it is no size, or less than the program needs."""
    size = bytes_in(str(memory))
    if size is None:
        raise BadInput(f"--memory takes a size such as 3GiB or 1500MB, not {memory!r:.40}")
    if size < LEAST_BYTES:
        raise BadInput(f"--memory {memory} is too little for the program itself: give 1GiB or more")
    return size


@contextmanager
def at_most(memory: int | str | None, device: torch.device, fix: str) -> Iterator[None]:
    """Let this process, or on a GPU its tensors there, take no more than `memory` until the block ends.

    The system refuses what goes beyond: no estimate has to be right. Without a bound (None) nothing changes.

    Args:
        fix: what needs less, for the message.

    Raises:
        BadInput: no such size; the system has no such bound; or the work in the block needs more.
    """
    if memory is None:
        yield
        return
    size = bytes_within(memory)
    undo = _bound_gpu(size, device) if device.type == "cuda" else _bound_process(size)
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        if not isinstance(error, MemoryError) and not _REFUSED.search(str(error)):
            raise
        asked = re.search(r"allocate (\d+) bytes", str(error))
        last = f" (the last request was for {readable_bytes(int(asked[1]))})" if asked else ""
        raise BadInput(f"this needs more than --memory {memory}{last}: {fix}") from error
    finally:
        undo()


def _bound_process(size: int) -> Callable[[], None]:
    import resource  # not on every system

    _mallopt(
        (_MMAP_THRESHOLD, _LARGE), (_MMAP_MAX, _MANY)
    )  # large tensors go back at once: kept ones leave gaps
    soft, hard = resource.getrlimit(resource.RLIMIT_DATA)
    wanted = size - _FILES
    if hard != resource.RLIM_INFINITY:
        wanted = min(wanted, hard)
    resource.setrlimit(resource.RLIMIT_DATA, (wanted, hard))
    return lambda: resource.setrlimit(resource.RLIMIT_DATA, (soft, hard))


def _bound_gpu(size: int, device: torch.device) -> Callable[[], None]:
    import torch

    whole = torch.cuda.get_device_properties(device).total_memory
    torch.cuda.set_per_process_memory_fraction(min(1.0, size / whole), device)
    return lambda: torch.cuda.set_per_process_memory_fraction(1.0, device)
