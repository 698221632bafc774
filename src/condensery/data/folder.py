"""Image sets as folders: one sub-folder per class, with or without train/ and test/."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
from PIL import Image

from condensery.data.listing import Item, Listing, Origin, make_listing
from condensery.errors import BadFile, BadInput

TEST_NAMES = ("test", "val", "valid", "validation")
LITTER = {"thumbs.db", "desktop.ini", "__macosx"}
"""What operating systems leave in folders, besides hidden files."""


@dataclass(frozen=True)
class Found:
    """A file below a source: its name relative to the source ("/" between parts), its size and its time."""

    name: str
    path: Path
    size: int
    mtime_ns: int


def walk(root: Path, prefix: str = "") -> Iterator[Found]:
    """All files below `root`, sorted by name, hidden ones and litter left out.

    A folder without files is yielded as an entry whose name ends in "/", so that it is not overlooked.

    Raises:
        BadInput: a folder cannot be read.
        BadFile: a link leads nowhere.
    """
    empty = True
    try:
        with os.scandir(root) as listing:
            entries = sorted(listing, key=lambda entry: entry.name)
    except OSError as error:
        raise BadInput(f"cannot read the folder {root}: {(error.strerror or str(error)).lower()}") from error
    for entry in entries:
        if entry.name.startswith(".") or entry.name.lower() in LITTER:
            continue
        empty = False
        if entry.is_dir():
            yield from walk(Path(entry.path), f"{prefix}{entry.name}/")
            continue
        try:
            facts = entry.stat()
        except OSError as error:
            raise BadFile(
                f"cannot read {entry.path}: {(error.strerror or str(error)).lower()}; remove it"
            ) from error
        yield Found(prefix + entry.name, Path(entry.path), facts.st_size, facts.st_mtime_ns)
    if empty and prefix:
        yield Found(prefix, root, 0, 0)


def identity(files: list[Found]) -> str:
    """Names, sizes and times of files as one digest: cheap, nothing is opened."""
    digest = hashlib.blake2b(digest_size=20)
    for file in files:
        digest.update(f"{file.name}\0{file.size}\0{file.mtime_ns}\0".encode("utf-8", "surrogateescape"))
    return digest.hexdigest()


def content(files: list[Found]) -> str:
    """Relative names and bytes of files as one digest (BLAKE2b)."""
    digest = hashlib.blake2b(digest_size=20)
    for file in files:
        digest.update(f"{file.name}\0{file.size}\0".encode("utf-8", "surrogateescape"))
        if file.name.endswith("/"):
            continue
        try:
            with file.path.open("rb") as stream:
                while block := stream.read(1 << 20):
                    digest.update(block)
        except OSError as error:
            raise BadFile(f"cannot read {file.path}: {(error.strerror or str(error)).lower()}") from error
    return digest.hexdigest()


def folder_origin(root: Path, files: list[Found], test_fraction: float) -> Origin:
    """A folder of class folders, `files` being all that `walk` found in it."""
    inside = [file for file in files if "/" in file.name]  # a README beside the classes changes nothing
    return Origin(
        identity=(str(root), identity(inside)),
        content=lambda: content(inside),
        listing=lambda: _listing(root, files, test_fraction),
    )


def _listing(root: Path, files: list[Found], test_fraction: float) -> Listing:
    """Sort files into parts and classes. BadInput for anything that does not fit."""
    tops = {file.name.split("/")[0] for file in files if "/" in file.name}
    if "train" not in tops:
        train, test = _classes(root, files, ""), None
    else:
        train = _classes(root, files, "train/")
        part = next((name for name in TEST_NAMES if name in tops), None)
        test = _classes(root, files, f"{part}/") if part else None
    names = tuple(sorted(train))
    if test is not None and (strange := sorted(set(test) - set(names))):
        raise BadInput(f"class {strange[0]!r} of the test part of {root} does not occur in {root / 'train'}")
    for parts in (train, test or {}):
        for name, members in parts.items():
            if not members and (parts is train or name not in train):
                raise BadInput(f"the class folder {name!r} of {root} holds no image; fill or remove it")
    ordered = [
        (c, file)
        for part in (train, test or {})
        for c, name in enumerate(names)
        for file in part.get(name, ())
    ]
    labels = np.array([c for c, _ in ordered], dtype=np.int64)
    count = sum(map(len, train.values()))
    return make_listing(
        labels[:count],
        labels[count:] if test is not None else None,
        names,
        lambda: (Item(str(file.path), file.path) for _, file in ordered),
        test_fraction,
        str(root),
    )


def _classes(root: Path, files: list[Found], prefix: str) -> dict[str, list[Found]]:
    """Class name -> its image files, below the part `prefix` ("" or "train/" ...)."""
    classes: dict[str, list[Found]] = {}
    part = root / prefix
    for file in files:
        if not file.name.startswith(prefix) or file.name == prefix:
            continue
        name, slash, _ = file.name[len(prefix) :].partition("/")
        is_image = file.path.suffix.lower() in image_suffixes()
        if not slash:  # a file beside the class folders
            if is_image:
                raise BadInput(
                    f"the image {file.path} lies outside a class folder; expected {part}/<class>/{name}"
                )
            continue
        members = classes.setdefault(name, [])
        if file.name.endswith("/"):
            continue
        if not is_image:
            raise BadInput(
                f"{file.path} is not an image file (by its ending); remove it from the class folder"
            )
        members.append(file)
    if not classes:
        raise BadInput(f"{part} holds no class folders; expected one sub-folder with images for each class")
    return classes


@cache
def image_suffixes() -> frozenset[str]:
    """Endings of the files that PIL can open, in lower case, with the dot."""
    return frozenset(suffix for suffix, kind in Image.registered_extensions().items() if kind in Image.OPEN)
