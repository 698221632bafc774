"""CIFAR-10 and CIFAR-100 as archives of Python: https://www.cs.toronto.edu/~kriz/cifar.html"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np

from condensery.data.files import File, Tree, summary
from condensery.data.formats.candidate import Candidate, by_folder, in_files, label_column, missing_numbers
from condensery.data.listing import Item, Reading
from condensery.data.literal_pickle import read_literals
from condensery.data.options import Options
from condensery.errors import BadFile

_SIDE = 32
_BATCH = re.compile(r"data_batch_\d+")


def find(tree: Tree) -> list[Candidate]:
    """Folders with data_batch_1 ... and test_batch (CIFAR-10), or with train, test and meta (CIFAR-100)."""
    found = []
    for folder, files in by_folder(tree.files).items():
        batches = sorted((name for name in files if _BATCH.fullmatch(name)), key=lambda name: int(name[11:]))
        if batches and {"test_batch", "batches.meta"} & set(files):
            parts = {"train": batches, "test": ["test_batch"] if "test_batch" in files else []}
            read = partial(
                _read, files, parts, "batches.meta", {"labels": "label_names"}, "CIFAR-10 archive of Python"
            )
            found.append(Candidate("CIFAR-10 archive of Python", folder, tuple(files.values()), read))
        elif {"train", "test", "meta"} <= set(files):
            columns = {"fine_labels": "fine_label_names", "coarse_labels": "coarse_label_names"}
            parts = {"train": ["train"], "test": ["test"]}
            read = partial(_read, files, parts, "meta", columns, "CIFAR-100 archive of Python")
            found.append(Candidate("CIFAR-100 archive of Python", folder, tuple(files.values()), read))
    return found


def _read(
    files: dict[str, File],
    parts: Mapping[str, Sequence[str]],
    meta: str,
    columns: dict[str, str],
    kind: str,
    options: Options,
) -> Reading:
    column, notes = label_column(options.label_column, list(columns), kind)
    names = _names(files[meta], columns[column]) if meta in files else None
    made = tuple(
        in_files(
            title, [files[name] for name in batches], partial(_labels, column), partial(_items, column), names
        )
        for title, batches in parts.items()
        if batches
    )
    taken = [files[name] for batches in parts.values() for name in batches]
    rest = summary(file for file in files.values() if file not in taken and file.base != meta)
    notes = missing_numbers(parts["train"]) if len(columns) == 1 else notes
    return Reading(kind, made, tuple(taken), notes=notes, unused=(rest,) if rest else ())


def _names(file: File, key: str) -> tuple[str, ...]:
    names = _get(_dict(file), key, file)
    if not isinstance(names, list) or not all(isinstance(name, str | bytes) for name in names):
        raise BadFile(f"{file.path} is damaged: {key} is no list of names; fetch it again")
    return tuple(name.decode("utf-8", "replace") if isinstance(name, bytes) else name for name in names)


def _batch(file: File, column: str) -> tuple[np.ndarray, np.ndarray]:
    """Images uint8 (N, 3072), channel by channel, and labels int64 (N,)."""
    values = _dict(file)
    data, labels = _get(values, "data", file), _get(values, column, file)
    if not isinstance(data, np.ndarray) or data.dtype != np.uint8 or data.shape[1:] != (3 * _SIDE * _SIDE,):
        raise BadFile(
            f"{file.path} is damaged: its data are no rows of {3 * _SIDE * _SIDE} bytes; fetch it again"
        )
    if not isinstance(labels, list | np.ndarray) or not all(isinstance(v, int | np.integer) for v in labels):
        raise BadFile(f"{file.path} is damaged: {column} is no list of whole numbers; fetch it again")
    if len(labels) != len(data):
        raise BadFile(f"{file.path} has {len(data)} images but {len(labels)} labels; fetch it again")
    return data, np.array(labels, dtype=np.int64)


def _labels(column: str, file: File) -> np.ndarray:
    return _batch(file, column)[1]


def _items(column: str, files: Sequence[File]) -> Iterator[Item]:
    for file in files:
        for i, row in enumerate(_batch(file, column)[0]):
            yield Item(f"image {i} of {file.path}", row.reshape(3, _SIDE, _SIDE).transpose(1, 2, 0))


def _dict(file: File) -> dict[Any, Any]:
    values = read_literals(file.path)
    if not isinstance(values, dict):
        raise BadFile(f"{file.path} is damaged: it holds no dictionary; fetch it again")
    return values


def _get(values: dict[Any, Any], key: str, file: File) -> Any:
    """Python 3 writes the keys of Python 2 as bytes."""
    for name in (key, key.encode()):
        if name in values:
            return values[name]
    raise BadFile(f"{file.path} has no {key!r}; fetch it again")
