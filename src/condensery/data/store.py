"""Writing decoded images to disk as .npy files, and measuring them, without holding the set in memory."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from condensery.errors import BadInput

HEADER_BYTES = 128
BLOCK_BYTES = 1 << 20


class PixelFile:
    """A .npy file of uint8 (N, H, W, C) that grows image by image.

    Plain writes, not a writable memory map: a full disk then is an OSError and not a killed process.
    The shape is written last, when it is known.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.count = 0
        self._file = path.open("w+b")
        self._file.write(b"\0" * HEADER_BYTES)

    def add(self, pixels: np.ndarray) -> None:
        """Append one image (H, W, C)."""
        self._file.write(pixels.tobytes())
        self.count += 1

    def make_colour(self) -> None:
        """Rewrite what was added so far from one channel to three equal ones."""
        self._file.seek(HEADER_BYTES)
        with self.path.with_suffix(".colour").open("w+b") as wide:
            wide.write(b"\0" * HEADER_BYTES)
            while block := self._file.read(BLOCK_BYTES):
                wide.write(np.repeat(np.frombuffer(block, np.uint8), 3).tobytes())
        self._file.close()
        self.path.with_suffix(".colour").replace(self.path)
        self._file = self.path.open("r+b")
        self._file.seek(0, 2)

    def finish(self, shape: tuple[int, int, int]) -> None:
        """Write the header for images of `shape` (H, W, C) and close."""
        fields = f"{{'descr': '|u1', 'fortran_order': False, 'shape': {(self.count, *shape)}, }}"
        text = fields.encode("latin1").ljust(HEADER_BYTES - 11) + b"\n"
        self._file.seek(0)
        self._file.write(b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text)
        self._file.close()

    def close(self) -> None:
        """Close without a header, when the work is given up."""
        self._file.close()


class PixelStore:
    """The two pixel files of a set: one shape, one number of channels.

    Grey until the first colour image arrives, which turns both files to colour.
    """

    def __init__(self, folder: Path) -> None:
        self.files = {False: PixelFile(folder / "train.npy"), True: PixelFile(folder / "test.npy")}
        self.shape: tuple[int, int, int] | None = None
        self._first = ""

    def add(self, where: str, pixels: np.ndarray, is_test: bool) -> None:
        """Append an image uint8 (H, W, C) to its part. BadInput if its size differs from the first one's."""
        if self.shape is None:
            self.shape, self._first = (*pixels.shape[:2], pixels.shape[2]), where
        if pixels.shape[:2] != self.shape[:2]:
            (h0, w0), (h1, w1) = self.shape[:2], pixels.shape[:2]
            raise BadInput(
                f"images differ in size: {self._first} is {w0}x{h0}, {where} is {w1}x{h1}; "
                f"bring them to one size with --size, for example --size 32"
            )
        if pixels.shape[2] > self.shape[2]:
            for file in self.files.values():
                file.make_colour()
            self.shape = (*self.shape[:2], 3)
        elif pixels.shape[2] < self.shape[2]:
            pixels = np.repeat(pixels, 3, axis=2)
        self.files[is_test].add(pixels)

    def finish(self) -> tuple[int, int, int]:
        """Complete both files; returns (H, W, C)."""
        if self.shape is None:
            raise BadInput("there is no image")
        for file in self.files.values():
            file.finish(self.shape)
        return self.shape

    def close(self) -> None:
        """Close both files, complete or not."""
        for file in self.files.values():
            file.close()


def save_labels(folder: Path, labels: dict[str, np.ndarray]) -> list[tuple[np.ndarray, np.ndarray]]:
    """Write the labels int64 (N,) of the parts "train" and "test" beside their finished pixel files.

    Returns:
        (pixels uint8 (N, H, W, C) as a memory map, labels) of each part.
    """
    for part, values in labels.items():
        np.save(folder / f"{part}_labels.npy", values)
    return [(np.load(folder / f"{part}.npy", mmap_mode="r"), values) for part, values in labels.items()]


def blocks(pixels: np.ndarray) -> Iterator[np.ndarray]:
    """Slices of (N, H, W, C) of about a megabyte each."""
    step = max(1, BLOCK_BYTES // max(1, pixels[0].size))
    for start in range(0, len(pixels), step):
        yield np.asarray(pixels[start : start + step])


def value_counts(pixels: np.ndarray) -> np.ndarray:
    """How often each of the 256 values occurs in each channel of uint8 (N, H, W, C): int64 (C, 256)."""
    counts = np.zeros((pixels.shape[3], 256), dtype=np.int64)
    for block in blocks(pixels):
        for channel in range(pixels.shape[3]):
            counts[channel] += np.bincount(block[..., channel].ravel(), minlength=256)
    return counts


def mean_and_std(counts: np.ndarray) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Per-channel mean and standard deviation on the [0, 1] scale, from `value_counts`.

    The sums are exact whatever the size of the set.
    """
    values = np.arange(256, dtype=np.float64) / 255
    share = counts / counts.sum(axis=1, keepdims=True)
    mean = share @ values
    variance = (share * (values - mean[:, None]) ** 2).sum(axis=1)
    return tuple(mean.tolist()), tuple(np.sqrt(variance).tolist())


def duplicates(train: np.ndarray, test: np.ndarray) -> int:
    """How many images of `test` have the pixels of one of `train`; both uint8 (N, H, W, C)."""
    known = {_image_digest(image) for image in train}
    return sum(_image_digest(image) in known for image in test)


def _image_digest(image: np.ndarray) -> bytes:
    return hashlib.blake2b(image.tobytes(), digest_size=16).digest()


def fingerprint(class_names: tuple[str, ...], parts: list[tuple[np.ndarray, np.ndarray]]) -> str:
    """SHA-256 (hex) over the class names and, part by part, shape, labels and pixels.

    Args:
        parts: (pixels uint8 (N, H, W, C), labels int64 (N,)) of training and test.
    """
    digest = hashlib.sha256(json.dumps(class_names).encode())
    for pixels, labels in parts:
        digest.update(json.dumps(pixels.shape).encode())
        digest.update(labels.astype("<i8").tobytes())
        for block in blocks(pixels):
            digest.update(block.tobytes())
    return digest.hexdigest()
