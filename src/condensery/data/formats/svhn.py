"""SVHN's cropped digits as MATLAB files: http://ufldl.stanford.edu/housenumbers. Label 10 is the digit 0."""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import numpy as np

from condensery.data.bounded import require_memory, require_plausible
from condensery.data.files import File, Tree
from condensery.data.formats.candidate import Candidate, by_folder
from condensery.data.listing import Item, Part, Reading
from condensery.data.options import Options
from condensery.errors import BadFile, BadInput, one_line

_FILE = re.compile(r"(train|test|extra)_32x32\.mat")
_READER = """
import sys, numpy, scipy.io
path, name, target = sys.argv[1:]
numpy.save(target, scipy.io.loadmat(path, variable_names=[name])[name], allow_pickle=False)
"""


def find(tree: Tree) -> list[Candidate]:
    """Folders with train_32x32.mat."""
    found = []
    for folder, files in by_folder(tree.files).items():
        mine = {match[1]: file for name, file in files.items() if (match := _FILE.fullmatch(name))}
        if "train" in mine:
            found.append(Candidate("SVHN's MATLAB files", folder, tuple(mine.values()), partial(_read, mine)))
    return found


def _read(files: dict[str, File], options: Options) -> Reading:
    parts, tens = [], False
    for title in ("train", "test", "extra"):
        if title in files:
            raw = _raw(files[title], "y")
            labels, tens = _labels(files[title], raw), tens or 10 in raw
            parts.append(Part(title, labels, len(labels), partial(_items, files[title])))
    return Reading(
        "SVHN's MATLAB files",
        tuple(parts),
        tuple(files[part.name] for part in parts),
        notes=("label 10 is the digit 0",) if tens else (),
    )


def _labels(file: File, raw: np.ndarray) -> np.ndarray:
    """The digits, int64 (N,)."""
    labels = raw.reshape(-1).astype(np.int64)
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
    """One array of the file, once its size has been checked.

    Another process reads it: a damaged file can kill scipy's reader (segmentation fault, scipy 1.17).
    """
    declared = int(np.prod(_shapes(file)[name], dtype=object)) if name in _shapes(file) else 0
    require_plausible(declared, file.size, f"arrays of {file.path}")
    require_memory(declared, f"arrays of {file.path}")
    with tempfile.TemporaryDirectory() as place:
        target = Path(place) / "array.npy"
        command = [sys.executable, "-c", _READER, str(file.path), name, str(target)]
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode:
            said = done.stderr.strip().splitlines()
            reason = (
                said[-1] if said and done.returncode > 0 else f"reading ended with signal {-done.returncode}"
            )
            raise BadFile(f"cannot read {file.path}: {reason[:200]}; fetch it again")
        array = np.load(target, allow_pickle=False)
    if array.dtype.kind not in "iuf":
        raise BadFile(f"{name} of {file.path} holds no numbers; fetch it again")
    return array
