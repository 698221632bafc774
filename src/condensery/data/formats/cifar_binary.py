"""CIFAR-10 and CIFAR-100 as binary records: label bytes, then 3,072 pixels, https://www.cs.toronto.edu/~kriz/cifar.html"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path

import numpy as np

from condensery.data.bounded import read_exactly
from condensery.data.files import File, Tree, summary
from condensery.data.formats.candidate import Candidate, by_folder, in_files, label_column, missing_numbers
from condensery.data.listing import Item, Reading
from condensery.data.options import Options
from condensery.errors import BadFile, one_line

_SIDE = 32
_PIXELS = 3 * _SIDE * _SIDE
_BATCH = re.compile(r"data_batch_\d+\.bin")


def find(tree: Tree) -> list[Candidate]:
    """Folders with data_batch_1.bin ... (CIFAR-10), or with train.bin and test.bin (CIFAR-100)."""
    found = []
    for folder, files in by_folder(tree.files).items():
        batches = sorted(
            (name for name in files if _BATCH.fullmatch(name)), key=lambda name: int(name[11:-4])
        )
        if batches:
            lists = {"labels": (0, "batches.meta.txt")}
            parts = {"train": batches, "test": [name for name in ("test_batch.bin",) if name in files]}
            kind = "CIFAR-10 binary archive"
        elif {"train.bin", "test.bin", "fine_label_names.txt"} <= set(files):
            lists = {
                "fine_labels": (1, "fine_label_names.txt"),
                "coarse_labels": (0, "coarse_label_names.txt"),
            }
            parts = {"train": ["train.bin"], "test": ["test.bin"]}
            kind = "CIFAR-100 binary archive"
        else:
            continue
        read = partial(_read, files, parts, lists, kind)
        found.append(Candidate(kind, folder, tuple(files.values()), read))
    return found


def _read(
    files: dict[str, File],
    parts: Mapping[str, Sequence[str]],
    lists: dict[str, tuple[int, str]],
    kind: str,
    options: Options,
) -> Reading:
    column, notes = label_column(options.label_column, list(lists), kind)
    place, meta = lists[column]
    names = _names(files[meta].path) if meta in files else None
    labels, items = partial(_labels, len(lists), place), partial(_items, len(lists))
    made = tuple(
        in_files(title, [files[name] for name in batches], labels, items, names)
        for title, batches in parts.items()
        if batches
    )
    taken = [files[name] for batches in parts.values() for name in batches]
    text = [name for _, name in lists.values()]
    rest = summary(file for file in files.values() if file not in taken and file.base not in text)
    notes = missing_numbers(name[:-4] for name in parts["train"]) if len(lists) == 1 else notes
    return Reading(kind, made, tuple(taken), notes=notes, unused=(rest,) if rest else ())


def _names(path: Path) -> tuple[str, ...]:
    try:
        return tuple(line.strip() for line in path.read_text("utf-8", "replace").splitlines() if line.strip())
    except OSError as error:
        raise BadFile(f"cannot read {path}: {one_line(error)}") from error


def _labels(labels: int, place: int, file: File) -> np.ndarray:
    """Label bytes at `place` of all records, int64 (N,). BadFile unless the file holds whole records."""
    size = labels + _PIXELS
    if file.size % size or not file.size:
        raise BadFile(
            f"{file.path} is cut off: {file.size:,} bytes are no whole number of records of {size:,}; fetch it again"
        )
    records = np.memmap(file.path, np.uint8, "r", shape=(file.size // size, size))
    return np.array(records[:, place], dtype=np.int64)


def _items(labels: int, files: Sequence[File]) -> Iterator[Item]:
    for file in files:
        with file.path.open("rb") as stream:
            for i in range(file.size // (labels + _PIXELS)):
                record = np.frombuffer(read_exactly(stream, labels + _PIXELS, file.path), np.uint8)
                image = record[labels:].reshape(3, _SIDE, _SIDE).transpose(1, 2, 0)
                yield Item(f"image {i} of {file.path}", image)
