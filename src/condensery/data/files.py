"""What lies below a path: files with their sizes and times, and digests of them."""

from __future__ import annotations

import hashlib
import os
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cache
from itertools import islice
from pathlib import Path

from PIL import Image

from condensery.errors import BadFile, BadInput

LITTER = {"thumbs.db", "desktop.ini", "__macosx"}
"""What operating systems leave in folders, besides hidden files."""
DEEPEST = 64
"""Folders inside folders that are followed."""


@dataclass(frozen=True, slots=True)
class File:
    """A file below a source: its name relative to the source ("/" between parts), its size and its time."""

    name: str
    path: Path
    size: int
    mtime_ns: int

    @property
    def suffix(self) -> str:
        """The ending in lower case, with the dot."""
        return self.path.suffix.lower()

    @property
    def base(self) -> str:
        """The name without folders."""
        return self.name.rpartition("/")[2]

    @property
    def folder(self) -> str:
        """The folder as a prefix of names: "" or "a/b/"."""
        return self.name[: len(self.name) - len(self.base)]

    @property
    def is_image(self) -> bool:
        """Whether PIL opens files of this ending."""
        return self.suffix in image_suffixes()


@dataclass(frozen=True)
class Tree:
    """All files below a folder, sorted; hidden ones and litter left out.

    Attributes:
        root: the folder.
        files: a folder without files is an entry whose name ends in "/", so that it is not overlooked.
        circles: links that lead back to a folder they lie in; they are not followed.
    """

    root: Path
    files: tuple[File, ...]
    circles: tuple[str, ...] = ()


def walk(root: Path, most: int | None = None) -> Tree:
    """Everything below `root`, or the first `most` files.

    Raises:
        BadInput: a folder cannot be read, or folders lie too deep.
        BadFile: a link leads nowhere.
    """
    circles: list[str] = []
    return Tree(root, tuple(islice(_walk(root, "", {}, circles), most)), tuple(circles))


def _walk(folder: Path, prefix: str, above: dict[tuple[int, int], str], circles: list[str]) -> Iterator[File]:
    empty = True
    try:
        facts = os.stat(folder)
        with os.scandir(folder) as listing:
            entries = sorted(listing, key=lambda entry: entry.name)
    except OSError as error:
        raise BadInput(
            f"cannot read the folder {folder}: {(error.strerror or str(error)).lower()}"
        ) from error
    me = (facts.st_dev, facts.st_ino)
    if me in above:
        circles.append(prefix)
        return
    if len(above) > DEEPEST:
        raise BadInput(f"folders below {folder} lie more than {DEEPEST} deep; name one further down")
    for entry in entries:
        if entry.name.startswith(".") or entry.name.lower() in LITTER:
            continue
        empty = False
        if entry.is_dir():
            yield from _walk(Path(entry.path), f"{prefix}{entry.name}/", {**above, me: prefix}, circles)
            continue
        try:
            facts = entry.stat()
        except OSError as error:
            raise BadFile(
                f"cannot read {entry.path}: {(error.strerror or str(error)).lower()}; remove it"
            ) from error
        yield File(prefix + entry.name, Path(entry.path), facts.st_size, facts.st_mtime_ns)
    if empty and prefix:
        yield File(prefix, folder, 0, 0)


def single(path: Path) -> File:
    """A file that is a source by itself. It has no name: a renamed file is the same set."""
    facts = path.stat()
    return File("", path, facts.st_size, facts.st_mtime_ns)


def identity(files: Iterable[File]) -> str:
    """Names, sizes and times of files as one digest: cheap, nothing is opened."""
    digest = hashlib.blake2b(digest_size=20)
    for file in files:
        digest.update(f"{file.name}\0{file.size}\0{file.mtime_ns}\0".encode("utf-8", "surrogateescape"))
    return digest.hexdigest()


def content(files: Iterable[File]) -> str:
    """The bytes of files, in this order, as one digest (BLAKE2b)."""
    digest = hashlib.blake2b(digest_size=20)
    for file in files:
        digest.update(f"{file.size}\0".encode())
        try:
            with file.path.open("rb") as stream:
                while block := stream.read(1 << 20):
                    digest.update(block)
        except OSError as error:
            raise BadFile(f"cannot read {file.path}: {(error.strerror or str(error)).lower()}") from error
    return digest.hexdigest()


def summary(files: Iterable[File]) -> str:
    """Files that are not used, in a few words: by name up to two, otherwise counted by their ending."""
    files = [file for file in files if not file.name.endswith("/")]
    kinds = Counter(file.suffix or "no ending" for file in files)
    groups = {kind: [file.name for file in files if (file.suffix or "no ending") == kind] for kind in kinds}
    said = [
        ", ".join(names) if len(names) <= 2 else f"{len(names):,} files {kind} ({names[0]}, ...)"
        for kind, names in groups.items()
    ]
    return ", ".join(said[:6]) + (f", and {len(said) - 6} more kinds of files" if len(said) > 6 else "")


@cache
def image_suffixes() -> frozenset[str]:
    """Endings of the files that PIL can open, in lower case, with the dot."""
    return frozenset(suffix for suffix, kind in Image.registered_extensions().items() if kind in Image.OPEN)
