"""SVHN's cropped digits as MATLAB files: http://ufldl.stanford.edu/housenumbers. Label 10 is the digit 0."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import partial
from typing import Any

import numpy as np

from condensery.data.bounded import require_memory, require_plausible
from condensery.data.files import File, Tree
from condensery.data.formats.candidate import Candidate, by_folder
from condensery.data.listing import Item, Part, Reading
from condensery.data.options import Options
from condensery.errors import BadFile, BadInput, one_line

_FILE = re.compile(r"(train|test|extra)_32x32\.mat")


def find(tree: Tree) -> list[Candidate]:
    """Folders with train_32x32.mat."""
    found = []
    for folder, files in by_folder(tree.files).items():
        mine = {match[1]: file for name, file in files.items() if (match := _FILE.fullmatch(name))}
        if "train" in mine:
            found.append(Candidate("SVHN's MATLAB files", folder, tuple(mine.values()), partial(_read, mine)))
    return found


def _read(files: dict[str, File], options: Options) -> Reading:
    parts = []
    for title in ("train", "test", "extra"):
        if title in files:
            labels = _labels(files[title])
            parts.append(Part(title, labels, len(labels), partial(_items, files[title])))
    return Reading(
        "SVHN's MATLAB files",
        tuple(parts),
        tuple(files[part.name] for part in parts),
        notes=("label 10 is the digit 0",)
        if any(10 in _raw(files[part.name], "y") for part in parts)
        else (),
    )


def _labels(file: File) -> np.ndarray:
    """The digits, int64 (N,)."""
    labels = _raw(file, "y").reshape(-1).astype(np.int64)
    images = _shapes(file)["X"]
    if len(images) != 4 or images[:3] != (32, 32, 3):
        raise BadFile(f"the images X of {file.path} have shape {images}; expected (32, 32, 3, N)")
    if images[3] != len(labels):
        raise BadFile(f"{file.path} has {images[3]} images but {len(labels)} labels; fetch it again")
    if len(labels) and not 0 <= labels.min() <= labels.max() <= 10:
        raise BadInput(f"labels of {file.path} reach from {labels.min()} to {labels.max()}; expected 1 to 10")
    return labels % 10


def _items(file: File) -> Iterator[Item]:
    images = _raw(file, "X")
    if images.dtype != np.uint8:
        raise BadFile(f"the images X of {file.path} are {images.dtype}; expected uint8")
    for i in range(images.shape[3]):
        yield Item(f"image {i} of {file.path}", np.ascontiguousarray(images[..., i]))


def _shapes(file: File) -> dict[str, tuple[int, ...]]:
    """Shapes of the arrays X and y, from their headers."""
    import scipy.io

    try:
        found = {name: tuple(int(n) for n in shape) for name, shape, _ in scipy.io.whosmat(str(file.path))}
    except Exception as error:  # a damaged file makes scipy raise nearly any type
        raise BadFile(f"cannot read {file.path}: {one_line(error)}; fetch it again") from error
    if not {"X", "y"} <= set(found):
        raise BadFile(
            f"{file.path} has no arrays X and y, but: {', '.join(found) or 'nothing'}; fetch it again"
        )
    return found


def _raw(file: File, name: str) -> np.ndarray:
    """One array of the file, once its size has been checked."""
    import scipy.io

    declared = int(np.prod(_shapes(file)[name], dtype=object)) if name in _shapes(file) else 0
    require_plausible(declared, file.size, f"arrays of {file.path}")
    require_memory(declared, f"arrays of {file.path}")
    try:
        loaded: Any = scipy.io.loadmat(str(file.path), variable_names=[name])
        array = loaded[name]
    except Exception as error:  # a damaged file makes scipy raise nearly any type
        raise BadFile(f"cannot read {file.path}: {one_line(error)}; fetch it again") from error
    if not isinstance(array, np.ndarray) or array.dtype.kind not in "iuf":
        raise BadFile(f"{name} of {file.path} holds no numbers; fetch it again")
    return array
