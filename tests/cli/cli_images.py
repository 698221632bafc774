"""What the tests of the command line work on."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

TINY = ("--network", "convnet+width=8+depth=2", "--real-batch", "8")
"""Flags that make a step take milliseconds."""


def make_photos(root: Path, classes: tuple[str, ...] = ("cat", "dog"), count: int = 6, side: int = 8) -> Path:
    """A folder of classes with `count` colour images each."""
    generator = np.random.default_rng(0)
    for c, name in enumerate(classes):
        folder = root / name
        folder.mkdir(parents=True, exist_ok=True)
        for i in range(count):
            pixels = generator.integers(0, 256, (side, side, 3), dtype=np.uint8)
            pixels[..., c % 3] //= 2
            Image.fromarray(pixels).save(folder / f"{i}.png")
    return root
