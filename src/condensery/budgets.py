"""Budgets: how many images each class gets, as people ask for it, in records, and in words."""

from __future__ import annotations

import csv
import io
import json
import re
import tomllib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from condensery.errors import BadInput, did_you_mean, one_line
from condensery.records import ImageData, ImageSpec
from condensery.text import bytes_in, count, first_few, readable_bytes

Counts = tuple[int, ...]
"""Images of each class, in the order of the classes."""
_ABSURD = 10  # times as many images as there are real ones
Ipc = int | str | Path | Mapping[str, int] | Sequence[int]
"""Images per class as they are asked for, see `counts_of`."""

OTHERS = "*"  # in place of a name: all classes that are not named
PROPORTIONAL = "proportional:"
_FORMS = (
    "a number, NAME=N,NAME=N with *=N for the others, proportional:N, or a .json, .csv or .toml file of these"
)
_LABEL_BYTES = 8  # int64, as sets are stored
_RANGE_BYTES = 8  # what 0 and 255 stand for, see `synthetic.stored`
_SHOWN = 6  # classes that a line names
_LARGEST_FILE = 10**7  # bytes


def uniform(ipc: int, num_classes: int) -> Counts:
    """`ipc` images of each class."""
    return (ipc,) * num_classes


def average(counts: Sequence[int]) -> int:
    """The mean, rounded: what published settings go by, which are for equally many images of each class."""
    return max(1, round(sum(counts) / len(counts)))


def recorded(counts: Sequence[int]) -> int | list[int]:
    """As records have it: one number where all classes have it, or else a number for each."""
    return counts[0] if len(set(counts)) == 1 else list(counts)


def in_record(ipc: int | Sequence[int], num_classes: int) -> Counts:
    """Inverse of `recorded`."""
    return uniform(ipc, num_classes) if isinstance(ipc, int) else tuple(ipc)


def frozen(ipc: int | Sequence[int] | None) -> int | Counts | None:
    """What a record has, in a form that can be a key."""
    return ipc if ipc is None or isinstance(ipc, int) else tuple(ipc)


def mean(ipc: int | Sequence[int] | None) -> float:
    """Images per class on average, to sort and to draw by; 0 for none."""
    return float(ipc or 0) if ipc is None or isinstance(ipc, int) else sum(ipc) / len(ipc)


def per_class(ipc: int | Sequence[int]) -> str:
    """ "10 per class" or "5 to 20 per class", of what a record has"""
    return f"{spanned(ipc)} per class"


def spanned(ipc: int | Sequence[int]) -> str:
    """ "10" or "5 to 20" """
    if isinstance(ipc, int):
        return f"{ipc:,}"
    low, high = min(ipc), max(ipc)
    return f"{low:,}" if low == high else f"{low:,} to {high:,}"


def described(counts: Sequence[int], spec: ImageSpec) -> str:
    """A line for people: "2 to 5 images per class, 7 in all: cat 5, dog 2"."""
    each = [f"{name} {n:,}" for name, n in zip(spec.class_names, counts, strict=True)]
    said = f"{spanned(counts)} images per class, {sum(counts):,} in all"
    return f"{said}: {first_few(each, _SHOWN)}"


def parsed(asked: Ipc) -> int | str | Mapping[str, int] | Sequence[int]:
    """What was asked for, as far as it can be understood without the classes; a file is read.

    Returns:
        A number, "proportional:N", numbers by name or numbers in the order of the classes.

    Raises:
        BadInput: it is none of these.
    """
    if isinstance(asked, str | Path):
        text = str(asked).strip()
        asked = _of_text(text)
    for number in [asked] if isinstance(asked, int) else _numbers(asked):
        if type(number) is not int:
            raise BadInput(f"--ipc takes whole numbers, not {number!r:.40}")
        if number < 1:
            raise BadInput(f"--ipc must be at least 1, not {number}; --classes leaves a class out")
    return asked


def _numbers(asked: str | Mapping[str, Any] | Sequence[Any]) -> list[Any]:
    if isinstance(asked, str):
        return [int(asked.removeprefix(PROPORTIONAL))]
    return list(asked.values() if isinstance(asked, Mapping) else asked)


def _of_text(text: str) -> int | str | dict[str, int] | list[int]:
    if re.fullmatch(r"[+-]?\d{1,18}", text):
        return int(text)
    if re.fullmatch(rf"{PROPORTIONAL}\d{{1,18}}", text):
        return text
    if Path(text).suffix.lower() in _READERS and "=" not in text:
        return _of_file(Path(text))
    if "=" in text:
        return _by_name(_cells(text))
    if re.fullmatch(r"\d{1,18}(\s*,\s*\d{1,18})+", text):
        return [int(number) for number in text.split(",")]
    raise BadInput(f"--ipc takes {_FORMS}, not {text!r:.80}")


def _cells(text: str) -> list[tuple[str, str]]:
    """ "cat=5,dog=2" -> pairs; a name that holds a comma stands in double quotes with its number."""
    try:
        (line,) = csv.reader([text], skipinitialspace=True, strict=True)
    except (csv.Error, ValueError) as error:
        raise BadInput(f"--ipc takes {_FORMS}, not {text!r:.80}") from error
    pairs = [cell.rpartition("=") for cell in line if cell.strip()]
    return [(name.strip(), number.strip()) for name, _, number in pairs]


def _by_name(pairs: Sequence[tuple[str, Any]]) -> dict[str, int]:
    found: dict[str, int] = {}
    for name, number in pairs:
        if name in found:
            raise BadInput(f"--ipc names {name!r:.40} twice")
        if isinstance(number, str) and re.fullmatch(r"[+-]?\d{1,18}", number):
            number = int(number)
        if not name or type(number) is not int:
            raise BadInput(f"--ipc takes a whole number for each name, not {name!r:.40} = {number!r:.40}")
        found[name] = number
    return found


def _of_file(path: Path) -> dict[str, int] | list[int]:
    """Counts by name, or in the order of the classes, from a file."""
    try:
        if not path.is_file() or path.stat().st_size > _LARGEST_FILE:
            raise BadInput(f"--ipc {path}: there is no such file, or it is no list of classes")
        return _READERS[path.suffix.lower()](path.read_text(encoding="utf-8-sig"))
    except (OSError, ValueError, RecursionError, csv.Error) as error:
        raise BadInput(f"--ipc {path} cannot be read: {one_line(error):.100}") from error
    except BadInput as error:
        raise BadInput(f"{error} (in {path})" if str(path) not in str(error) else str(error)) from error


def _json(text: str) -> dict[str, int] | list[int]:
    found = json.loads(text, object_pairs_hook=_by_name)
    if not isinstance(found, dict | list):
        raise ValueError("it holds no counts by name of class")
    return found


def _csv(text: str) -> dict[str, int]:
    rows = [row for row in csv.reader(io.StringIO(text), skipinitialspace=True, strict=True) if any(row)]
    if any(len(row) != 2 for row in rows):
        raise ValueError("each line has to hold a class and its number")
    pairs = [(name.strip(), number.strip()) for name, number in rows]
    if pairs and not re.fullmatch(r"[+-]?\d+", pairs[0][1]):
        pairs = pairs[1:]  # titles of the columns
    return _by_name(pairs)


def _toml(text: str) -> dict[str, int]:
    return _by_name(list(tomllib.loads(text).items()))


_READERS = {".json": _json, ".csv": _csv, ".toml": _toml}


def counts_of(asked: Ipc, spec: ImageSpec, real: Sequence[int]) -> Counts:
    """Images of each class.

    Args:
        asked: a number, for every class; numbers by name of class, where "*" stands for all that are not named; a
            number for each class, in their order; "proportional:N", N on average, each class by its share of the real
            images; these as text ("cat=5,dog=2"), or the name of a JSON, CSV or TOML file of numbers by name.
        spec: of the real images, for the names of the classes.
        real: training images of each class.

    Raises:
        BadInput: a class without a number, a name that is no class, or what is no number.
    """
    asked = parsed(asked)
    if isinstance(asked, int):
        return uniform(asked, spec.num_classes)
    if isinstance(asked, str):
        return proportional(int(asked.removeprefix(PROPORTIONAL)), real)
    if isinstance(asked, Mapping):
        return _named(asked, spec)
    if len(asked) != spec.num_classes:
        raise BadInput(
            f"--ipc has {len(asked)} numbers, but there are {spec.num_classes} classes: give one for each, or NAME=N"
        )
    return tuple(asked)


def _named(asked: Mapping[str, int], spec: ImageSpec) -> Counts:
    unknown = [name for name in asked if name != OTHERS and name not in spec.class_names]
    if unknown:
        raise BadInput(
            f"--ipc names {unknown[0]!r:.60}, which is no class of the images: {first_few(spec.class_names, _SHOWN)}"
            f"{did_you_mean(unknown[0], spec.class_names)}"
        )
    missing = [name for name in spec.class_names if name not in asked]
    if missing and OTHERS not in asked:
        few = first_few(missing, _SHOWN)
        raise BadInput(f"--ipc says nothing of {few}: name each class, or add *=N for the others")
    return tuple(asked.get(name, asked.get(OTHERS, 0)) for name in spec.class_names)


def proportional(mean: int, real: Sequence[int]) -> Counts:
    """`mean` images per class on average, shared out by the number of real ones, at least one each.

    By the greatest remainder (Hamilton's method); equals go to the first class.
    """
    share = mean * len(real) * np.asarray(real, dtype=np.float64) / max(1, sum(real))
    counts = np.maximum(np.floor(share), 1)
    while counts.sum() < mean * len(real):
        counts[np.argmax(share - counts)] += 1
    while counts.sum() > mean * len(real):
        counts[np.argmax(np.where(counts > 1, counts - share, -np.inf))] -= 1
    return tuple(int(n) for n in counts)


def bytes_of(budget: int | str) -> int:
    """Bytes from a number or from text such as "100kB", "1.5 MB" or "64KiB".

    Raises:
        BadInput: it is no size.
    """
    if type(budget) is int and budget > 0:
        return budget
    size = bytes_in(str(budget))
    if size is None:
        raise BadInput(f"--budget takes a size such as 100kB, 2MB or 64KiB, not {budget!r:.40}")
    return size


def stored_bytes(images: int, spec: ImageSpec) -> int:
    """Bytes of so many images as 8-bit pixels, with their classes: `SyntheticSet.bytes` of learned ones."""
    return images * (spec.channels * spec.height * spec.width + _LABEL_BYTES) + _RANGE_BYTES


def ipc_within(budget: int | str, spec: ImageSpec) -> int:
    """The most images per class, equally many of each, that a budget has room for, as `stored_bytes` counts.

    Raises:
        BadInput: it has room for less than one of each class.
    """
    room = bytes_of(budget)
    each = stored_bytes(spec.num_classes, spec) - _RANGE_BYTES
    ipc = (room - _RANGE_BYTES) // each
    if ipc < 1:
        raise BadInput(
            f"--budget {budget} has no room for one image of each class: that takes "
            f"{stored_bytes(spec.num_classes, spec):,} bytes as 8-bit pixels; choose more, or a smaller --size"
        )
    return ipc


def budget_line(budget: int | str, ipc: int, spec: ImageSpec) -> str:
    """What a budget was taken for."""
    images = ipc * spec.num_classes
    taken = readable_bytes(stored_bytes(images, spec))
    return (
        f"--budget {budget}: {count(ipc, 'image')} per class, {images:,} in all, {taken} as 8-bit pixels with labels"
        "; learned images are kept as 32-bit floats, and condense export --format safetensors writes them in 8 bits"
    )


def require_budget(ipc: Ipc | None, budget: int | str | None) -> None:
    """What can be refused before images are loaded. Raises BadInput."""
    if ipc is not None and budget is not None:
        raise BadInput("--budget chooses the images per class: leave out --ipc, or --budget")
    if budget is not None:
        bytes_of(budget)
    if ipc is not None:
        parsed(ipc)


def counts_for(
    ipc: Ipc | None,
    budget: int | str | None,
    images: ImageData,
    announce: Callable[[str], None],
    default: Counts | None = None,
) -> Counts:
    """Images of each class; what was chosen is said in a line.

    Args:
        ipc, budget: at most one of them.
        images: the real ones.
        default: for neither; None for one image per class.

    Raises:
        BadInput: as `counts_of` and `ipc_within`; more than ten times as many images as there are real ones.
    """
    spec = images.spec
    if budget is not None:
        chosen = ipc_within(budget, spec)
        announce(budget_line(budget, chosen, spec))
        return uniform(chosen, spec.num_classes)
    if ipc is None:
        return default or uniform(1, spec.num_classes)
    real = np.bincount(images.train.labels, minlength=spec.num_classes).tolist()
    counts = counts_of(ipc, spec, real)
    if sum(counts) > _ABSURD * sum(real):
        raise BadInput(
            f"--ipc {ipc} asks for {count(sum(counts), 'image')}, more than {_ABSURD} times the {sum(real):,} real "
            "ones: ask for fewer"
        )
    if not isinstance(parsed(ipc), int):
        announce(described(counts, spec))
    return counts
