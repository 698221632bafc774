"""MNIST and its relatives as idx files, plain or gzipped: http://yann.lecun.com/exdb/mnist (file formats)."""

from __future__ import annotations

import gzip
import re
import struct
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import IO

import numpy as np

from condensery.data.bounded import read_exactly, require_plausible
from condensery.data.files import File, Tree, summary
from condensery.data.formats.candidate import Candidate, by_folder
from condensery.data.listing import Item, Part, Reading
from condensery.data.options import Options
from condensery.data.values import Extent, choose_range, scaled
from condensery.errors import BadFile, one_line

_IMAGES = re.compile(r"(?P<set>.*?)(?P<part>train|t10k|test)-images[-.]idx3-ubyte(\.gz)?")
_MAGIC = {2049: 1, 2051: 3}  # of unsigned bytes: number of dimensions


def find(tree: Tree) -> list[Candidate]:
    """Sets with a training part, one for each folder and prefix ("emnist-letters-")."""
    found = []
    for folder, files in by_folder(tree.files).items():
        matches = [match for name in files if (match := _IMAGES.fullmatch(name))]
        for prefix in sorted({match["set"] for match in matches if match["part"] == "train"}):
            mine = {
                name: file
                for name, file in files.items()
                if re.match(re.escape(prefix) + "(train|t10k|test)-", name)
            }
            first = next(name for name in mine if name.startswith(f"{prefix}train-images"))
            name = f"{folder}{first}" if prefix else ""
            found.append(
                Candidate("idx files", folder, tuple(mine.values()), partial(_read, mine, prefix), name)
            )
    return found


def _read(files: dict[str, File], prefix: str, options: Options) -> Reading:
    parts, used = [], []
    for title in ("train", "t10k", "test"):
        images = _plain_or_zipped(files, f"{prefix}{title}-images", "idx3-ubyte")
        if images is None:
            continue
        labels = _plain_or_zipped(files, f"{prefix}{title}-labels", "idx1-ubyte")
        if labels is None:
            raise BadFile(
                f"{images.path} has no file of labels beside it; fetch {title}-labels-idx1-ubyte too"
            )
        parts.append((title, images, labels))
        used += [images, labels]
    read = []
    extent = None
    for title, images, labels in parts:
        shape = _shape(images, 3)
        (count,) = _shape(labels, 1)
        if count != shape[0]:
            raise BadFile(
                f"{labels.path} has {count} labels, but {images.path} has {shape[0]} images; fetch both again"
            )
        with _opened(labels) as stream:
            stream.seek(8)
            values = np.frombuffer(read_exactly(stream, count, labels.path), np.uint8).astype(np.int64)
        found = [
            Extent(float(block.min()), float(block.max()), True, True) for _, block in _blocks(images, shape)
        ]
        for one in found:
            extent = one if extent is None else extent | one
        read.append((title, values, images, shape))
    wanted = choose_range(extent or Extent(0, 255, True, True), options.range, "the images")

    def items(title: str, images: File, shape: tuple[int, ...]) -> Iterator[Item]:
        for start, block in _blocks(images, shape):
            for i, image in enumerate(scaled(block, wanted), start):
                yield Item(f"{title} image {i} of {images.path}", image)

    return Reading(
        "idx files",
        tuple(
            Part(title, values, len(values), partial(items, title, images, shape))
            for title, values, images, shape in read
        ),
        tuple(used),
        values=f"{wanted}" if not wanted.is_plain else "",
        unused=((rest,) if (rest := summary(file for file in files.values() if file not in used)) else ()),
    )


def _plain_or_zipped(files: dict[str, File], start: str, end: str) -> File | None:
    names = [f"{start}{mark}{end}{zipped}" for zipped in ("", ".gz") for mark in "-."]
    return next((files[name] for name in names if name in files), None)


@contextmanager
def _opened(file: File) -> Iterator[IO[bytes]]:
    try:
        with gzip.open(file.path) if file.suffix == ".gz" else file.path.open("rb") as stream:
            yield stream  # type: ignore[misc]  # both read bytes
    except (OSError, EOFError, zlib.error) as error:
        raise BadFile(f"cannot read {file.path}: {one_line(error)}; fetch it again") from error


def _shape(file: File, dimensions: int) -> tuple[int, ...]:
    """What the header declares. BadFile unless the file is as long as that."""
    with _opened(file) as stream:
        (magic,) = struct.unpack(">I", read_exactly(stream, 4, file.path))
        if _MAGIC.get(magic) != dimensions:
            raise BadFile(f"{file.path} is no idx file of {dimensions} dimensions: it begins with {magic}")
        shape = struct.unpack(f">{dimensions}I", read_exactly(stream, 4 * dimensions, file.path))
    declared = 4 + 4 * dimensions + int(np.prod([int(n) for n in shape], dtype=object))
    there, modulus = file.size, 1 << 62
    if file.suffix == ".gz":
        with file.path.open("rb") as raw:
            raw.seek(-4, 2)
            there, modulus = (
                int.from_bytes(raw.read(4), "little"),
                1 << 32,
            )  # gzip notes the length in 32 bits
        require_plausible(declared, file.size, f"images of {file.path}")
    if declared % modulus != there:
        holds = "ends on a note of" if file.suffix == ".gz" else "holds"
        raise BadFile(
            f"{file.path} is damaged or cut off: it declares {declared:,} bytes and {holds} {there:,}; fetch it again"
        )
    return shape


def _blocks(file: File, shape: tuple[int, ...]) -> Iterator[tuple[int, np.ndarray]]:
    """Images uint8 (n, H, W) from number `start` on, a megabyte at a time."""
    size = shape[1] * shape[2]
    step = max(1, (1 << 20) // max(1, size))
    with _opened(file) as stream:
        stream.seek(16)
        for start in range(0, shape[0], step):
            count = min(step, shape[0] - start)
            block = read_exactly(stream, count * size, file.path)
            yield start, np.frombuffer(block, np.uint8).reshape(count, *shape[1:])
