"""What every source of images hands over before anything is decoded, and the checks all of them share."""

from __future__ import annotations

import hashlib
import json
import unicodedata
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np

from condensery.data.files import File, content
from condensery.data.options import Options
from condensery.data.parts import choose, role
from condensery.errors import BadInput, did_you_mean
from condensery.rng import Rng
from condensery.text import first_few


class Item(NamedTuple):
    """One image before decoding.

    Attributes:
        where: how messages name it: a file, or a row of a table.
        payload: an image file, its encoded bytes, decoded uint8 pixels (H, W) or (H, W, C), or None where a
            table has no image.
    """

    where: str
    payload: Path | bytes | np.ndarray | None


@dataclass(frozen=True, eq=False)
class Part:
    """A part of a source: training, test, fold, whatever the source calls it.

    Attributes:
        name: what the source calls it.
        labels: (N,) whole numbers or text; None where the part has no labels.
        count: N.
        items: starts an iteration over the N images.
        names: class names if labels are indices into them; None if labels speak for themselves.
    """

    name: str
    labels: np.ndarray | None
    count: int
    items: Callable[[], Iterator[Item]]
    names: tuple[str, ...] | None = None

    @property
    def is_labelled(self) -> bool:
        return self.labels is not None


@dataclass(frozen=True)
class Reading:
    """A source as its reader understands it.

    Attributes:
        kind: what lies there, for people.
        parts: all parts, whichever of them will be used.
        files: those whose bytes are the images.
        stamp: what stands for the images where they are no files.
        values: how pixel values were read, where the reader did that.
        notes: what the reader chose where it had a choice.
        unused: what lies there and is no part.
    """

    kind: str
    parts: tuple[Part, ...]
    files: tuple[File, ...] = ()
    stamp: str = ""
    values: str = ""
    notes: tuple[str, ...] = ()
    unused: tuple[str, ...] = ()


@dataclass(frozen=True)
class Origin:
    """A source that was found but not read.

    Attributes:
        identity: what can be known of it at once (paths, sizes, times): equal identity, equal content.
        read: reads its labels. Raises BadInput or BadFile for anything wrong with it.
    """

    identity: tuple[str, ...]
    read: Callable[[], Reading]


@dataclass(frozen=True)
class Listing:
    """The labels of a source, and a way to its images.

    Attributes:
        class_names: label c means class_names[c].
        labels: int64 (N,), in the order of `items`.
        is_test: bool (N,).
        items: starts an iteration over N items, training and test mixed as `is_test` says.
        kind, values, notes, unused: of the reading, and what was chosen here.
        train, test: what the source calls the parts; test is "" if it was split off.
        key: stands for all of this and the bytes of the images, wherever they lie.
    """

    class_names: tuple[str, ...]
    labels: np.ndarray
    is_test: np.ndarray
    items: Callable[[], Iterator[Item]]
    kind: str
    train: str
    test: str
    values: str
    notes: tuple[str, ...]
    unused: tuple[str, ...]
    key: Callable[[], str]


def arrange(reading: Reading, options: Options, source: str) -> Listing:
    """Choose the parts, bring their labels to 0..C-1 by the names of classes, and split off a test part otherwise.

    Args:
        source: for messages.
    """
    train, test = choose(reading.parts, options.train_split, options.test_split, source)
    notes, unused = list(reading.notes), list(reading.unused)
    for part in reading.parts:
        if part not in train and part not in test:
            unused.append(
                f"{part.name} ({part.count:,} images{'' if part.is_labelled else ' without labels'})"
            )
            if not part.is_labelled and role(part.name) == "test" and test:
                notes.append(f"the part {part.name} has no labels, so {test[0].name} is tested on")
    for title, chosen in (("training", train), ("test", test)):
        if chosen and not sum(part.count for part in chosen):
            raise BadInput(f"{source} holds no {title} image")
    class_names, labels, empty = _labels(train, test, source)
    if empty:
        unused.append(f"classes without images ({first_few(empty, 10)})")
    if len(class_names) == 1:
        raise BadInput(f"{source} holds a single class {class_names[0]!r}; a classifier needs at least 2")
    count = sum(part.count for part in train)
    if test:
        is_test = np.arange(len(labels)) >= count
    else:
        is_test = stratified_split(labels, options.test_fraction, source)

    def items() -> Iterator[Item]:
        for part in (*train, *test):
            yield from part.items()

    def key() -> str:
        digest = hashlib.blake2b(json.dumps([class_names, reading.stamp]).encode(), digest_size=20)
        digest.update(labels.tobytes() + is_test.tobytes())
        return digest.hexdigest() + content(reading.files)

    names = [" + ".join(part.name for part in chosen) for chosen in (train, test)]
    return Listing(
        class_names, labels, is_test, items, reading.kind, names[0], names[1],
        reading.values, tuple(notes), tuple(unused), key,
    )  # fmt: skip


def _labels(
    train: Sequence[Part], test: Sequence[Part], source: str
) -> tuple[tuple[str, ...], np.ndarray, list[str]]:
    """Class names, labels int64 (N,) of all images, and names of classes that have none."""
    names, values = _classes(train, source)
    found = [_indices(part, names, values, source, "training") for part in train]
    counts = np.bincount(np.concatenate(found), minlength=len(names))
    found += [_indices(part, names, values, source, "test") for part in test]
    labels = np.concatenate(found)
    if (counts > 0).all():
        return names, labels, []
    for c in np.flatnonzero(counts == 0):
        if tested := int((labels == c).sum()):
            raise BadInput(f"class {names[c]!r} of {source} has {tested} test images but no training image")
    kept = np.flatnonzero(counts)
    new = np.full(len(names), -1)
    new[kept] = np.arange(len(kept))
    return tuple(names[c] for c in kept), new[labels], [names[c] for c in np.flatnonzero(counts == 0)]


def _classes(train: Sequence[Part], source: str) -> tuple[tuple[str, ...], np.ndarray | None]:
    """Class names, and the sorted label values they stand for where these are numbers without names."""
    named = [part for part in train if part.names is not None]
    if named:
        names = named[0].names or ()
        more = [
            name for part in named[1:] for name in part.names or () if _plain(name) not in map(_plain, names)
        ]
        names = (*names, *dict.fromkeys(more))
        if len({_plain(name) for name in names}) < len(names):
            twice = next(name for i, name in enumerate(names) if _plain(name) in map(_plain, names[:i]))
            raise BadInput(f"{source} names two classes {twice!r}; rename one")
        return names, None
    kinds = {_is_text(part.labels) for part in train}
    if len(kinds) > 1:
        raise BadInput(f"some training labels of {source} are text, others numbers; make them alike")
    values = np.unique(np.concatenate([part.labels for part in train if part.labels is not None]))
    return tuple(str(value) for value in values), None if kinds == {True} else values


def _indices(
    part: Part, names: tuple[str, ...], values: np.ndarray | None, source: str, title: str
) -> np.ndarray:
    """Positions int64 (N,) of a part's classes in `names`; BadInput names the first that is not there."""
    labels = part.labels
    assert labels is not None
    own, place = np.unique(labels, return_inverse=True)
    if part.names is not None:
        words = [part.names[v] if 0 <= v < len(part.names) else None for v in own]
    elif _is_text(labels):
        words = [str(word) for word in own]
    else:
        words = [str(v) for v in own]
    if part.names is None and _is_text(labels) == (values is not None):
        theirs = "text" if values is None else str(values.dtype)
        if not (values is None and all(name.lstrip("-").isdigit() for name in names)):
            raise BadInput(f"{title} labels of {source} are {labels.dtype}, the training labels {theirs}")
    known = {_plain(name): c for c, name in enumerate(names)}
    if all(name.isdigit() for name in names):  # "7" is "00007"
        known = {str(int(name)): c for name, c in known.items()} | known
    found = np.array(
        [known.get(_plain(word), -1) if word is not None else -1 for word in words], dtype=np.int64
    )
    wrong = np.flatnonzero(found[place] < 0)
    if len(wrong):
        first = int(wrong[0])
        shown = first_few(names, 10)
        label = labels[first].item()
        word = words[place[first]]
        if part.names is not None and word is not None:
            near = did_you_mean(word, names)
            raise BadInput(
                f"class {word!r} of the {title} part of {source} does not occur in training ({shown}){near}"
            )
        near = did_you_mean(str(label), names) if _is_text(labels) else ""
        raise BadInput(
            f"{title} image {first} of {source} has label {label!r}, "
            f"which is none of the {len(names)} training classes ({shown}){near}"
        )
    return found[place].reshape(-1)


def _is_text(labels: np.ndarray | None) -> bool:
    return labels is not None and labels.dtype.kind == "U"


def _plain(name: str) -> str:
    """One form for names that look the same but are written with other code points."""
    return unicodedata.normalize("NFC", name)


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
