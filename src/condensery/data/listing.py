"""What every source of images hands over before anything is decoded, and the checks all of them share."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np

from condensery.errors import BadInput
from condensery.rng import Rng


class Item(NamedTuple):
    """One image before decoding.

    Attributes:
        where: how messages name it: a file, or a row of a table.
        payload: an image file, its encoded bytes, or decoded uint8 pixels (H, W) or (H, W, C).
    """

    where: str
    payload: Path | bytes | np.ndarray


@dataclass(frozen=True)
class Listing:
    """The labels of a source, and a way to its images.

    Attributes:
        class_names: label c means class_names[c].
        labels: int64 (N,), in the order of `items`.
        is_test: bool (N,).
        items: starts an iteration over N items, training and test mixed as `is_test` says.
    """

    class_names: tuple[str, ...]
    labels: np.ndarray
    is_test: np.ndarray
    items: Callable[[], Iterator[Item]]


@dataclass(frozen=True)
class Origin:
    """A source that was found but not read.

    Attributes:
        identity: what can be known of it at once (paths, sizes, times): equal identity, equal content.
        content: reads it and returns a digest of names and bytes; independent of where it lies.
        listing: reads its labels. Raises BadInput or BadFile for anything wrong with it.
    """

    identity: tuple[str, ...]
    content: Callable[[], str]
    listing: Callable[[], Listing]


def make_listing(
    train_labels: np.ndarray,
    test_labels: np.ndarray | None,
    names: tuple[str, ...] | None,
    items: Callable[[], Iterator[Item]],
    test_fraction: float,
    source: str,
) -> Listing:
    """Map labels to 0..C-1, check them, and split off a test part where there is none.

    Args:
        train_labels, test_labels: (N,) whole numbers or strings; items must yield training first.
        names: class names when labels already are indices into them; None to take the sorted labels.
        test_fraction: share of each class that becomes the test part if `test_labels` is None.
        source: for messages.
    """
    if len(train_labels) == 0 or (test_labels is not None and len(test_labels) == 0):
        part = "training" if len(train_labels) == 0 else "test"
        raise BadInput(f"{source} holds no {part} image")
    values = np.arange(len(names)) if names else np.unique(train_labels)
    class_names = names or tuple(str(value) for value in values)
    train = _indices(train_labels, values, class_names, source, "training")
    counts = np.bincount(train, minlength=len(class_names))
    if len(class_names) == 1:
        raise BadInput(f"{source} holds a single class {class_names[0]!r}; a classifier needs at least 2")
    if (counts == 0).any():
        empty = class_names[int(np.argmin(counts))]
        raise BadInput(f"class {empty!r} of {source} has no training image; add some or remove the class")
    if test_labels is None:
        return Listing(class_names, train, stratified_split(train, test_fraction, source), items)
    test = _indices(test_labels, values, class_names, source, "test")
    is_test = np.repeat([False, True], [len(train), len(test)])
    return Listing(class_names, np.concatenate([train, test]), is_test, items)


def _indices(
    labels: np.ndarray, values: np.ndarray, names: tuple[str, ...], source: str, part: str
) -> np.ndarray:
    """Positions int64 (N,) of `labels` in the sorted `values`; BadInput names the first that is not there."""
    if (labels.dtype.kind == "U") != (values.dtype.kind == "U"):
        raise BadInput(f"{part} labels of {source} are {labels.dtype}, the training labels {values.dtype}")
    found = np.searchsorted(values, labels).clip(0, len(values) - 1)
    wrong = np.flatnonzero(values[found] != labels)
    if len(wrong):
        first = int(wrong[0])
        shown = ", ".join(names[:10]) + (", ..." if len(names) > 10 else "")
        raise BadInput(
            f"{part} image {first} of {source} has label {labels[first].item()!r}, "
            f"which is none of the {len(names)} training classes ({shown})"
        )
    return found.astype(np.int64)


def stratified_split(labels: np.ndarray, test_fraction: float, source: str) -> np.ndarray:
    """Choose the test images: the same share of every class, always the same ones.

    A class keeps at least one image in each part; a class with a single image goes to training only.

    Args:
        labels: int64 (N,).
        test_fraction: in (0, 1).

    Returns:
        bool (N,), true for test images.
    """
    is_test = np.zeros(len(labels), dtype=bool)
    for c in range(int(labels.max()) + 1):
        members = np.flatnonzero(labels == c)
        if len(members) < 2:
            continue
        count = min(max(round(len(members) * test_fraction), 1), len(members) - 1)
        is_test[Rng(0).fork("test split", c).numpy().permutation(members)[:count]] = True
    if not is_test.any():
        raise BadInput(
            f"{source} has a single image in every class, so none is left to test on; add a test part"
        )
    return is_test
