"""Small pictures for the tests of sources."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
from PIL import Image


def noise(seed: int, height: int = 8, width: int = 8, channels: int = 3) -> np.ndarray:
    """uint8 (H, W, C), or (H, W) for one channel."""
    shape = (height, width) if channels == 1 else (height, width, channels)
    return np.random.default_rng(seed).integers(0, 256, shape).astype(np.uint8)


def png(pixels: np.ndarray) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, "PNG")
    return stream.getvalue()


def write_images(folder: Path, count: int, seed: int = 0, **shape: int) -> list[np.ndarray]:
    """Write count PNG files 000.png ... and return their pixels."""
    folder.mkdir(parents=True, exist_ok=True)
    images = [noise(seed + i, **shape) for i in range(count)]
    for i, image in enumerate(images):
        (folder / f"{i:03d}.png").write_bytes(png(image))
    return images
