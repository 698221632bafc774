"""Writing decoded images to disk as .npy files, and measuring them, without holding the set in memory."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from condensery.errors import BadInput
from condensery.memory import release

HEADER_BYTES = 128
BLOCK_BYTES = 1 << 20
HELD_BLOCKS = 64
"""Blocks of a memory map that stay in memory at most while it is read from end to end."""


class PixelFile:
    """A .npy file of uint8 (N, H, W, C) that grows image by image.

    Plain writes, not a writable memory map: a full disk then is an OSError and not a killed process.
    The shape is written last, when it is known.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.count = 0
        self._file = path.open("w+b", BLOCK_BYTES)
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
        self._file = self.path.open("r+b", BLOCK_BYTES)
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
    """Slices of (N, H, W, C) of about a megabyte each; pages of a memory map are let go once they were read."""
    step = max(1, BLOCK_BYTES // max(1, pixels[0].size)) if len(pixels) else 1
    for number, start in enumerate(range(0, len(pixels), step), 1):
        yield np.ascontiguousarray(pixels[start : start + step])
        if number % HELD_BLOCKS == 0:
            release(pixels)
    release(pixels)


@dataclass(frozen=True)
class Measured:
    """What is known of the two parts of a set from its pixels.

    Attributes:
        counts: int64 (C, 256), how often each value occurs in each channel of the training images.
        fingerprint: of both parts, see `fingerprint`.
        prints: of each part by itself.
        duplicates: how many test images have the pixels of a training image.
    """

    counts: np.ndarray
    fingerprint: str
    prints: tuple[str, str]
    duplicates: int


def measure(class_names: tuple[str, ...], parts: list[tuple[np.ndarray, np.ndarray]]) -> Measured:
    """All that is measured on the training and the test part, each of which is read once.

    Args:
        parts: (pixels uint8 (N, H, W, C), labels int64 (N,)) of training and test.
    """
    (train, train_labels), (test, test_labels) = parts
    channels = train.shape[3]
    counts = np.zeros((channels, 256), dtype=np.int64)
    keys = np.empty(len(train), dtype=np.uint64)
    both, done = _started(class_names, train, train_labels), 0
    for block in blocks(train):
        both.update(block.data)
        keys[done : done + len(block)] = _keys(block)
        counts += _value_counts(block)
        done += len(block)
    train_print = both.hexdigest()
    alone, test_keys = _started(class_names, test, test_labels), []
    both.update(_shape_and_labels(test, test_labels))
    for block in blocks(test):
        both.update(block.data)
        alone.update(block.data)
        test_keys.append(_keys(block))
    together = np.concatenate(test_keys) if test_keys else np.empty(0, np.uint64)
    twice = _duplicates(train, keys, test, together)
    return Measured(counts, both.hexdigest(), (train_print, alone.hexdigest()), twice)


def _value_counts(block: np.ndarray) -> np.ndarray:
    """int64 (C, 256) of uint8 (n, H, W, C), C = 1 or 3."""
    channels = block.shape[3]
    size = (block.shape[1] * block.shape[2], len(block))  # (width, height) of one picture of them all
    picture = Image.frombuffer("L" if channels == 1 else "RGB", size, block, "raw")
    return np.array(picture.histogram(), dtype=np.int64).reshape(channels, 256)


def mean_and_std(counts: np.ndarray) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Per-channel mean and standard deviation on the [0, 1] scale, from `Measured.counts`.

    The sums are exact whatever the size of the set.
    """
    values = np.arange(256, dtype=np.float64) / 255
    share = counts / counts.sum(axis=1, keepdims=True)
    mean = share @ values
    variance = (share * (values - mean[:, None]) ** 2).sum(axis=1)
    return tuple(mean.tolist()), tuple(np.sqrt(variance).tolist())


def duplicates(train: np.ndarray, test: np.ndarray) -> int:
    """How many images of `test` have the pixels of one of `train`; both uint8 (N, H, W, C)."""
    keys = [np.concatenate([_keys(block) for block in blocks(part)]) for part in (train, test)]
    return _duplicates(train, keys[0], test, keys[1])


def _duplicates(train: np.ndarray, train_keys: np.ndarray, test: np.ndarray, test_keys: np.ndarray) -> int:
    """The same, of images whose keys are known: only those that share one are compared."""
    known = {_image_digest(train[i]) for i in np.flatnonzero(np.isin(train_keys, test_keys))}
    return sum(_image_digest(test[i]) in known for i in np.flatnonzero(np.isin(test_keys, train_keys)))


def _keys(block: np.ndarray) -> np.ndarray:
    """A number for each image of uint8 (n, H, W, C): uint64 (n,), equal for equal images and seldom otherwise."""
    rows = block.reshape(len(block), -1)
    words = np.ascontiguousarray(rows[:, : rows.shape[1] // 8 * 8]).view(np.uint64)  # (n, words)
    odd = np.arange(1, 2 * words.shape[1], 2, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15)
    return (words * odd).sum(1)  # modulo 2^64


def _image_digest(image: np.ndarray) -> bytes:
    return hashlib.blake2b(image.tobytes(), digest_size=16).digest()


def fingerprint(class_names: tuple[str, ...], parts: list[tuple[np.ndarray, np.ndarray]]) -> str:
    """SHA-256 (hex) over the class names and, part by part, shape, labels and pixels.

    Args:
        parts: (pixels uint8 (N, H, W, C), labels int64 (N,)) of training and test.
    """
    digest = hashlib.sha256(json.dumps(class_names).encode())
    for pixels, labels in parts:
        digest.update(_shape_and_labels(pixels, labels))
        for block in blocks(pixels):
            digest.update(block.data)
    return digest.hexdigest()


def _started(class_names: tuple[str, ...], pixels: np.ndarray, labels: np.ndarray) -> hashlib._Hash:
    """The fingerprint of a part before its pixels."""
    digest = hashlib.sha256(json.dumps(class_names).encode())
    digest.update(_shape_and_labels(pixels, labels))
    return digest


def _shape_and_labels(pixels: np.ndarray, labels: np.ndarray) -> bytes:
    return json.dumps(pixels.shape).encode() + labels.astype("<i8").tobytes()
