"""What a reader of a format says of a folder: that a set of its kind lies there, and how to read it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np

from condensery.data.files import File
from condensery.data.listing import Item, Part, Reading
from condensery.data.options import Options
from condensery.errors import BadInput


@dataclass(frozen=True)
class Candidate:
    """A set that was found by the names of its files.

    Attributes:
        kind: the format, for people.
        folder: where it lies below the source, "" or "a/b/".
        files: its files.
        read: reads it with the options that were given.
        name: of a set among several in one folder, otherwise "".
    """

    kind: str
    folder: str
    files: tuple[File, ...]
    read: Callable[[Options], Reading]
    name: str = ""

    @property
    def title(self) -> str:
        """How messages name it."""
        return f"{self.name or self.folder.rstrip('/') or '.'} ({self.kind})"


def by_folder(files: Iterable[File]) -> dict[str, dict[str, File]]:
    """Folder -> base name -> file."""
    found: dict[str, dict[str, File]] = {}
    for file in files:
        if not file.name.endswith("/"):
            found.setdefault(file.folder, {})[file.base or file.path.name] = file
    return found


def in_files(
    title: str,
    files: Sequence[File],
    labels: Callable[[File], np.ndarray],
    items: Callable[[Sequence[File]], Iterator[Item]],
    names: tuple[str, ...] | None = None,
) -> Part:
    """A part in several files: the labels of each, and a way to the images of all."""
    found = np.concatenate([labels(file) for file in files])
    return Part(title, found, len(found), partial(items, files), names)


def label_column(asked: str | None, known: Sequence[str], kind: str) -> tuple[str, tuple[str, ...]]:
    """The labels that were asked for, or the first ones; and a note if there are others and nobody asked."""
    if asked is None:
        others = (f"labels are {known[0]}; --label-column {name} takes the others" for name in known[1:])
        return known[0], tuple(others)
    if asked not in known:
        raise BadInput(f"the {kind} has no column {asked!r} for --label-column; it has: {', '.join(known)}")
    return asked, ()


def missing_numbers(names: Iterable[str]) -> tuple[str, ...]:
    """A note for numbered files of which one between the first and the last is not there."""
    numbered = {int("".join(filter(str.isdigit, name.rpartition("_")[2]))): name for name in names}
    gaps = sorted(set(range(1, max(numbered, default=0) + 1)) - set(numbered))
    if not gaps:
        return ()
    example = numbered[max(numbered)]
    return (f"numbered files are missing: {', '.join(map(str, gaps))} of {example}",)
