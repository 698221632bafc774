"""Some classes of a set: fewer images with new labels, and everything else as it was for the whole set."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from condensery.data.cache import Cache, digest
from condensery.data.store import PixelStore, duplicates, fingerprint, save_labels
from condensery.errors import BadInput
from condensery.records import ImageData, LabeledImages
from condensery.text import first_few


def class_names(classes: Sequence[str | int] | None) -> tuple[str, ...] | None:
    """The wanted classes by name, None for all: 3 is the class named "3".

    Raises:
        BadInput: fewer than two are named, or one twice, or they are one text instead of several.
    """
    if classes is None:
        return None
    if isinstance(classes, str):
        raise BadInput(f"classes are a list of names such as ['3', '8'], not the text {classes!r}")
    names = tuple(str(name) for name in classes)
    if len(names) < 2:
        raise BadInput(f"a classifier needs at least 2 classes; name more with --classes than {list(names)}")
    for i, name in enumerate(names):
        if name in names[:i]:
            raise BadInput(f"--classes names {name!r} twice; leave one out")
    return names


def subset(data: ImageData, classes: tuple[str, ...], cache: Cache) -> ImageData:
    """The images of `classes` in both parts; label c means classes[c], in the order given.

    Name, mean, std, mirroring and the split into training and test are those of the whole set. The pixels
    get a cache entry of their own, so they are a memory map like any other.

    Args:
        data: a whole set, with a fingerprint that no other content has.
        classes: at least two different names.

    Raises:
        BadInput: there is no class of such a name, or none of them has a test image.
    """
    wanted = np.array([_label(data, name) for name in classes])
    if not np.isin(data.test.labels, wanted).any():
        raise BadInput(
            f"{data.source} has no test image of the classes {', '.join(classes)}; choose others with --classes"
        )
    key = digest(data.fingerprint, "classes", *classes)
    entry = cache.open(key) or cache.build(key, lambda folder: _write(data, classes, wanted, folder))
    counts = [
        np.bincount(labels, minlength=len(classes)).tolist()
        for labels in (entry.train_labels, entry.test_labels)
    ]
    found = data.found
    if found:
        twice = duplicates(entry.train, entry.test) if found.duplicates else 0
        found = found.of_classes(wanted.tolist(), *counts, twice)
    return replace(
        data,
        found=found,
        spec=replace(data.spec, class_names=classes),
        train=LabeledImages(entry.train, entry.train_labels),
        test=LabeledImages(entry.test, entry.test_labels),
        fingerprint=entry.info["fingerprint"],
    )


def _label(data: ImageData, name: str) -> int:
    names = data.spec.class_names
    if name not in names:
        shown = first_few(list(map(_quoted, names)), 10)
        raise BadInput(f"{data.source} has no class {name!r}; its {len(names)} classes are {shown}")
    return names.index(name)


def _quoted(name: str) -> str:
    """A name as --classes takes it."""
    return '"' + name.replace('"', '""') + '"' if {",", '"'} & set(name) else name


def _write(data: ImageData, classes: tuple[str, ...], wanted: np.ndarray, folder: Path) -> dict[str, Any]:
    """Copy the images of the labels `wanted` (K,) into `folder`, labelled 0..K-1; returns the entry's info."""
    new_label = np.full(data.spec.num_classes, -1)
    new_label[wanted] = np.arange(len(wanted))
    labels: dict[str, np.ndarray] = {}
    with closing(PixelStore(folder)) as store:
        for part, images in (("train", data.train), ("test", data.test)):
            chosen = np.flatnonzero(np.isin(images.labels, wanted))
            for i in chosen:
                store.add(f"{part} image {i}", images.pixels[i], part == "test")
            labels[part] = new_label[images.labels[chosen]]
        store.finish()
    return {
        "class_names": list(classes),
        "fingerprint": fingerprint(classes, save_labels(folder, labels)),
    }
