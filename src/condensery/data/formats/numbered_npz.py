"""The downsampled ImageNet as numbered .npz files: rows of pixels channel by channel, labels from 1.

https://www.image-net.org/download-images.php (ImageNet8x8 to ImageNet64x64)
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Sequence
from functools import partial

import numpy as np

from condensery.data.files import File, Tree
from condensery.data.formats.candidate import Candidate, by_folder, in_files, missing_numbers
from condensery.data.formats.npz import members
from condensery.data.listing import Item, Reading
from condensery.data.options import Options
from condensery.errors import BadFile

_TRAIN = re.compile(r"train_data_batch_(\d+)\.npz")
_KIND = "numbered .npz files of ImageNet"


def find(tree: Tree) -> list[Candidate]:
    """Folders with train_data_batch_1.npz ..."""
    found = []
    for folder, files in by_folder(tree.files).items():
        numbers = {int(match[1]): name for name in files if (match := _TRAIN.fullmatch(name))}
        if numbers:
            parts = {"train": [files[numbers[n]] for n in sorted(numbers)]}
            parts |= {"val": [files["val_data.npz"]]} if "val_data.npz" in files else {}
            used = tuple(file for of_part in parts.values() for file in of_part)
            found.append(Candidate(_KIND, folder, used, partial(_read, parts)))
    return found


def _read(parts: dict[str, list[File]], options: Options) -> Reading:
    made, others = [], set()
    for title, files in parts.items():
        made.append(in_files(title, files, _labels, _items))
        others |= {name for file in files for name in members(file.path)} - {"data", "labels"}
    return Reading(
        _KIND,
        tuple(made),
        tuple(file for files in parts.values() for file in files),
        notes=missing_numbers(file.base[:-4] for file in parts["train"]),
        unused=tuple(f"the array {name!r}" for name in sorted(others)),
    )


def _labels(file: File) -> np.ndarray:
    """Labels int64 (N,) of a file, once its images were found to fit them."""
    arrays = members(file.path)
    if not {"data", "labels"} <= set(arrays):
        raise BadFile(f"{file.path} has no arrays data and labels, but: {', '.join(arrays) or 'nothing'}")
    data, labels = arrays["data"], arrays["labels"].array().reshape(-1)
    side = math.isqrt(data.shape[1] // 3) if len(data.shape) == 2 else 0
    if data.dtype != np.uint8 or data.shape[1:] != (3 * side * side,):
        raise BadFile(
            f"data of {file.path} are {data.dtype} {data.shape}; expected uint8 rows of 3 x side x side values"
        )
    if len(labels) != data.shape[0] or labels.dtype.kind not in "iu":
        raise BadFile(
            f"{file.path} has {data.shape[0]} images but {len(labels)} labels of {labels.dtype}; fetch it again"
        )
    return labels.astype(np.int64)


def _items(files: Sequence[File]) -> Iterator[Item]:
    for file in files:
        data = members(file.path)["data"]
        side = math.isqrt(data.shape[1] // 3)
        for start, block in data.blocks():
            images = block.reshape(-1, 3, side, side).transpose(0, 2, 3, 1).copy()
            for i, image in enumerate(images, start):
                yield Item(f"image {i} of {file.path}", image)
