"""Members of .npz files: their shapes from the headers, their images one by one, and nothing allocated unseen."""

from __future__ import annotations

import math
import tokenize
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np

from condensery.data.bounded import read_exactly, require_memory, require_plausible
from condensery.errors import BadFile, one_line

BLOCK_BYTES = 1 << 20
_DAMAGE = (
    *(OSError, ValueError, EOFError, KeyError, RuntimeError, TypeError, OverflowError, SyntaxError),
    *(zipfile.BadZipFile, zlib.error, tokenize.TokenError),
)
"""What numpy and zipfile raise for a damaged file."""


@dataclass(frozen=True)
class Member:
    """An array in a .npz file, of which only the header was read.

    Attributes:
        path: the file.
        name: of the array.
        shape, dtype: of the array.
        fortran: whether the first axis runs fastest, so that images do not lie one after the other.
    """

    path: Path
    name: str
    shape: tuple[int, ...]
    dtype: np.dtype
    fortran: bool

    @property
    def bytes(self) -> int:
        return math.prod(self.shape) * self.dtype.itemsize

    def array(self) -> np.ndarray:
        """All of it, in memory."""
        require_memory(self.bytes, f"the array {self.name!r} of {self.path}")
        with _stream(self) as stream:
            flat = np.frombuffer(read_exactly(stream, self.bytes, self.path), self.dtype)
        return flat.reshape(self.shape, order="F" if self.fortran else "C")

    def blocks(self) -> Iterator[tuple[int, np.ndarray]]:
        """Rows (n, ...) from number `start` on, about a megabyte at a time."""
        row = math.prod(self.shape[1:]) * self.dtype.itemsize
        step = max(1, BLOCK_BYTES // max(1, row))
        if self.fortran:
            whole = self.array()
            yield from ((start, whole[start : start + step]) for start in range(0, self.shape[0], step))
            return
        with _stream(self) as stream:
            for start in range(0, self.shape[0], step):
                count = min(step, self.shape[0] - start)
                block = np.frombuffer(read_exactly(stream, count * row, self.path), self.dtype)
                yield start, block.reshape(count, *self.shape[1:])


def members(path: Path) -> dict[str, Member]:
    """All arrays of a .npz file by name, none of them read.

    Raises:
        BadFile: it is no .npz file, is damaged, holds Python objects, or declares more than it can hold.
    """
    with _reading(path), path.open("rb") as file:
        _require_zip(file, path)
        with zipfile.ZipFile(file) as archive:
            found = {}
            for info in archive.infolist():
                if not info.filename.endswith(".npy"):
                    continue
                name = info.filename.removesuffix(".npy")
                with archive.open(info) as stream:
                    member = Member(path, name, *_header(stream))
                if member.dtype.hasobject:
                    raise BadFile(
                        f"cannot read {path}: object arrays are not read, save numbers or text ({name})"
                    )
                if not 0 <= info.file_size - member.bytes <= 1 << 16:  # the rest is the header
                    raise BadFile(
                        f"{path} is damaged: the array {name!r} declares {member.bytes:,} bytes, not {info.file_size:,}"
                    )
                require_plausible(member.bytes, path.stat().st_size, f"the arrays of {path}")
                found[name] = member
    return found


def _header(stream: IO[bytes]) -> tuple[tuple[int, ...], np.dtype, bool]:
    version = np.lib.format.read_magic(stream)
    read: Any = (
        np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    )
    shape, fortran, dtype = read(stream)
    return shape, dtype, fortran and len(shape) > 1


@contextmanager
def _stream(member: Member) -> Iterator[IO[bytes]]:
    """The values of an array, as they lie in the file."""
    with _reading(member.path), zipfile.ZipFile(member.path) as archive:
        with archive.open(f"{member.name}.npy") as stream:
            _header(stream)
            yield stream


@contextmanager
def _reading(path: Path) -> Iterator[None]:
    try:
        yield
    except _DAMAGE as error:
        raise BadFile(f"cannot read {path}: {one_line(error)}") from error


def _require_zip(file: IO[bytes], path: Path) -> None:
    """BadFile unless `file`, at its start, is a zip archive, as every .npz is."""
    is_zip = zipfile.is_zipfile(file)
    file.seek(0)
    if is_zip:
        return
    magic = np.lib.format.MAGIC_PREFIX
    what = "holds a single array" if file.read(len(magic)) == magic else "is no .npz file, or was cut off"
    raise BadFile(f"{path} {what}; save images and labels with numpy.savez")
