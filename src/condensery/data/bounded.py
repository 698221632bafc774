"""What a file declares is checked against the file, and against memory, before anything is allocated for it."""

from __future__ import annotations

import os
from pathlib import Path
from typing import IO

from condensery.errors import BadFile, BadInput
from condensery.text import readable_bytes

RATIO = 200
"""Real images are compressed less than this; the archives that harm are compressed more."""
SMALL_BYTES = 256 << 20
"""Up to here nothing is refused for its ratio."""


def require_plausible(declared: int, stored: int, what: str) -> None:
    """BadFile if `stored` bytes cannot be an image set of `declared` bytes.

    Args:
        what: for messages, such as "images of set.npz".
    """
    if declared > SMALL_BYTES and declared > RATIO * max(1, stored):
        raise BadFile(
            f"{what} declare {readable_bytes(declared)} in a file of {readable_bytes(stored)}; that is no image set, "
            "and nothing was read; fetch it from its home page"
        )


_SMALLER_FILES = "store them in several smaller files, or one by one as PNG"


def require_memory(declared: int, what: str, fix: str = _SMALLER_FILES) -> None:
    """BadInput if `declared` bytes are more than half of this machine's memory."""
    memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    if declared > memory // 2:
        raise BadInput(
            f"{what} take {readable_bytes(declared)} at once, more than half of the {readable_bytes(memory)} "
            f"of memory here; {fix}"
        )


def read_exactly(stream: IO[bytes], count: int, path: Path) -> bytes:
    """`count` bytes of `stream`. BadFile if there are fewer."""
    block = stream.read(count)
    if len(block) != count:
        raise BadFile(f"{path} is cut off: {count - len(block):,} bytes are missing; fetch it again")
    return block
