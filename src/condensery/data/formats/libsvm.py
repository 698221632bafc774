"""Image sets in libsvm's text, one image a line: "label 1:value 2:value ...", such as USPS, plain or in bzip2.

https://www.csie.ntu.edu.tw/~cjlin/libsvmtools/datasets/multiclass.html
"""

from __future__ import annotations

import bz2
import math
from collections.abc import Iterator
from functools import partial

import numpy as np

from condensery.data.bounded import RATIO, SMALL_BYTES
from condensery.data.files import File, Tree
from condensery.data.formats.candidate import Candidate, by_folder
from condensery.data.listing import Item, Part, Reading
from condensery.data.options import Options
from condensery.data.values import Extent, Range, choose_range, scaled
from condensery.errors import BadFile, one_line

_LONGEST = 1 << 22  # bytes of a line: 3 x 224 x 224 values take 3 MB
_LARGEST = 1 << 24  # number of a value


def find(tree: Tree) -> list[Candidate]:
    """Pairs NAME and NAME.t, each perhaps with .bz2."""
    found = []
    for folder, files in by_folder(tree.files).items():
        for name, file in files.items():
            test = files.get(f"{name.removesuffix('.bz2')}.t.bz2") or files.get(
                f"{name.removesuffix('.bz2')}.t"
            )
            if test is not None and not name.removesuffix(".bz2").endswith(".t"):
                read = partial(_read, name.removesuffix(".bz2"), file, test)
                found.append(Candidate("libsvm text", folder, (file, test), read, name=file.name))
    return found


def _read(name: str, train: File, test: File, options: Options) -> Reading:
    labels: dict[str, np.ndarray] = {}
    extent, largest = None, 0
    for title, file in (("train", train), ("test", test)):
        own = []
        for label, numbers, values in _lines(file):
            own.append(label)
            largest = max(largest, int(numbers.max(initial=0)))
            one = Extent(min(0.0, float(values.min(initial=0))), max(0.0, float(values.max(initial=0))),
                         bool((values == np.round(values)).all()), False)  # fmt: skip
            extent = one if extent is None else extent | one
        labels[title] = np.array(own, dtype=np.float64)
        if not len(own) or not (labels[title] == np.round(labels[title])).all():
            raise BadFile(
                f"{file.path} has {'no line' if not own else 'labels that are not whole'}; expected label 1:value ..."
            )
    assert extent is not None
    shape = _shape(largest)
    symmetric = options.range is None and -1 <= extent.low < 0 and extent.high <= 1
    wanted = Range(-1, 1) if symmetric else choose_range(extent, options.range, f"the images of {train.path}")
    from_one = name.lower().startswith("usps") and min(values.min() for values in labels.values()) >= 1

    def items(file: File) -> Iterator[Item]:
        for i, (_, numbers, values) in enumerate(_lines(file)):
            flat = np.zeros(math.prod(shape))
            flat[numbers - 1] = values
            image = flat.reshape(shape)
            yield Item(
                f"line {i + 1} of {file.path}",
                scaled(image.transpose(1, 2, 0) if len(shape) == 3 else image, wanted),
            )

    return Reading(
        "libsvm text",
        tuple(
            Part(title, labels[title].astype(np.int64) - from_one, len(labels[title]), partial(items, file))
            for title, file in (("train", train), ("test", test))
        ),
        (train, test),
        values="" if wanted.is_plain else str(wanted),
        notes=("label 1 is the digit 0",) if from_one else (),
    )


def _shape(largest: int) -> tuple[int, ...]:
    """The smallest square, grey or colour, that holds so many values: zeros at the end are not written."""
    grey, colour = math.isqrt(largest - 1) + 1, math.isqrt(-(-largest // 3) - 1) + 1
    return (grey, grey) if grey * grey <= 3 * colour * colour else (3, colour, colour)


def _lines(file: File) -> Iterator[tuple[float, np.ndarray, np.ndarray]]:
    """(label, numbers from 1 on, values) of each line."""
    read = 0
    try:
        with bz2.open(file.path) if file.suffix == ".bz2" else file.path.open("rb") as stream:
            for row, line in enumerate(iter(lambda: stream.readline(_LONGEST), b""), 1):
                read += len(line)
                if len(line) >= _LONGEST or read > max(SMALL_BYTES, RATIO * file.size):
                    raise BadFile(f"{file.path} unpacks to more than an image set can be: line {row}")
                if line.strip():
                    yield _parsed(line, row, file)
    except (OSError, EOFError) as error:
        raise BadFile(f"cannot read {file.path}: {one_line(error)}; fetch it again") from error


def _parsed(line: bytes, row: int, file: File) -> tuple[float, np.ndarray, np.ndarray]:
    try:
        label, *pairs = line.split()
        flat = np.array([float(word) for pair in pairs for word in pair.split(b":")]).reshape(len(pairs), 2)
        numbers = flat[:, 0].astype(np.int64)
        good = bool(np.isfinite(flat).all()) and (
            not len(numbers) or 1 <= numbers.min() <= numbers.max() <= _LARGEST
        )
        if not good or not math.isfinite(float(label)):
            raise ValueError
        return float(label), numbers, flat[:, 1]
    except ValueError:
        raise BadFile(
            f"line {row} of {file.path} is no libsvm text: expected label 1:value 2:value ..."
        ) from None
