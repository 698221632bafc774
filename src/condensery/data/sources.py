"""`load`: labelled images from anywhere, decoded once."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from condensery.data.building import build
from condensery.data.cache import Cache, Entry, digest
from condensery.data.found import Found
from condensery.data.listing import Listing, arrange
from condensery.data.options import Options
from condensery.data.originals import Originals, training_files
from condensery.data.places import find, path_of
from condensery.data.specs import KnownSet, recognise
from condensery.data.subset import class_names, subset
from condensery.data.whitened import NONE, whitened
from condensery.errors import BadInput
from condensery.records import ImageData, ImageSpec, LabeledImages


def silent(line: str) -> None:
    """Announce nothing."""


def given_options(size: int | None, channels: int | None, others: Mapping[str, Any] | None) -> dict[str, Any]:
    """The options of `condensery.load_images` that were given, which are those that are not None."""
    options = {"size": size, "channels": channels, **(others or {})}
    return {name: value for name, value in options.items() if value is not None}


def absolute_source(source: str) -> str:
    """A data source as a run records it: known sets and Hub ids by name, files and folders by absolute path.

    A folder here goes before a known set of its name, as for `load`.
    """
    path = path_of(source)
    return source if path is None else str(path.resolve())


def load(
    source: str | Path | ImageData,
    *,
    size: int | None = None,
    channels: int | None = None,
    test_fraction: float = 0.2,
    image_column: str | None = None,
    label_column: str | None = None,
    train_split: str | None = None,
    test_split: str | None = None,
    value_range: Sequence[float] | None = None,
    skip_damaged: bool = False,
    whitening: str | None = None,
    classes: Sequence[str | int] | None = None,
    cache_dir: Path | None = None,
    announce: Callable[[str], None] = silent,
    progress: bool | None = None,
) -> ImageData:
    """Labelled images with a training and a test part, from any source.

    The first time, images are decoded into a cache of memory-mapped pixels; from then on the same content
    is there at once, wherever it lies.

    Args:
        source: "digits" (bundled); a known name such as "mnist" (from the folder `CONDENSERY_DATA` names,
            otherwise from the Hub); a folder with one sub-folder per class, with or without parts; a folder of
            tables or of a download as it unpacks; a .parquet or .npz file; a Hub id "owner/name" or
            "owner/name:config". A folder goes before a known set of its name. An ImageData is returned as it is, but
            for its whitening.
        size: resize so that the short side has this many pixels, then crop the central square.
        channels: 1 or 3 converts; None keeps grey sets grey and makes mixed ones colour.
        test_fraction: share of every class that becomes the test part where the source has none.
        image_column, label_column: columns of a table; found by their type if None.
        train_split, test_split: parts for training and testing by the names that the source has for them, several
            separated by commas; "." is the folder itself, with its sub-folders as classes. None knows them by
            their names.
        value_range: the two pixel values that become black and white; chosen by rule if None.
        skip_damaged: leave out images that cannot be read, and say which, instead of refusing the set.
        whitening: "zca" or "zca-kornia" whitens normalised images, fitted on the training images of the whole set, see
            `condensery.whitening`; "none", or None, does not.
        classes: names of at least two classes to keep, None for all; labels follow their order. Normalisation
            and split stay those of the whole set.
        cache_dir: instead of `$CONDENSERY_CACHE` or `~/.cache/condensery`.
        announce: gets lines worth showing to a person, the last of them what was found.
        progress: show a bar on stderr while decoding; None for only if stderr is a terminal.

    Raises:
        BadInput: the source is missing, unclear or does not fit together, or the cache cannot be written.
        BadFile: an image or a file is damaged; names it.
    """
    options = Options(
        size,
        channels,
        test_fraction,
        image_column,
        label_column,
        train_split,
        test_split,
        value_range,
        skip_damaged,
        whitening,
    )
    names = class_names(classes)
    if isinstance(source, ImageData):
        if options.given.keys() - {"whitening"} or names is not None:
            raise BadInput(
                "size, channels and classes apply to files; this source is an ImageData, already decoded"
            )
        if whitening is None:
            return source
        data = replace(source, options={**source.options, "whitening": whitening})
        return whitened(data, whitening, announce, Cache(cache_dir))
    known, origin = find(source, options, announce)
    cache = Cache(cache_dir)
    place = digest(*origin.identity, *options.words)
    remembered = _recall(cache, place)
    if remembered is None:
        listing = arrange(origin.read(), options, str(source))
        key = digest(listing.key(), *options.words)
        entry = cache.open(key) or build(listing, options, cache, key, announce, str(source), progress)
        found = _found(listing, entry)
        cache.remember(place, key, found.to_json())
    else:
        entry, found = remembered
    data = replace(_image_data(entry, known, str(source)), options=options.given, found=found)
    data = whitened(data, whitening or NONE, announce, cache)
    if names is not None:
        data = replace(subset(data, names, cache), options={**data.options, "classes": list(names)})
    _announce(data.found, announce)
    if size is not None and not entry.info["range"] and value_range is None:
        originals = Originals(lambda: _files(source, options, found, names))
        data = replace(data, train=replace(data.train, originals=originals))
    return data


def _files(
    source: str | Path, options: Options, found: Found, classes: tuple[str, ...] | None
) -> tuple[Path, ...] | None:
    """The files of the training images of a source, which is listed again; None if its images are no files."""
    _, origin = find(source, options, silent)
    listing = arrange(origin.read(), options, str(source))
    return training_files(listing, found.skipped, classes)


def _announce(found: Found | None, announce: Callable[[str], None]) -> None:
    for line in found.lines() if found is not None else ():
        announce(line)


def _recall(cache: Cache, place: str) -> tuple[Entry, Found] | None:
    remembered = cache.recall(place)
    if remembered is None:
        return None
    try:
        return remembered[0], Found.from_json(remembered[1])
    except TypeError:
        return None  # written by another version: read the source again


def _found(listing: Listing, entry: Entry) -> Found:
    """What is said of a set: its listing, and what was seen while it was decoded."""
    classes, (_, height, width, channels) = len(listing.class_names), entry.train.shape
    counts = [
        np.bincount(labels, minlength=classes).tolist() for labels in (entry.train_labels, entry.test_labels)
    ]
    low, high = entry.info["reach"]
    if read_as := entry.info["range"] or listing.values:
        values = f"values read as {read_as} (--value-range reads them otherwise)"
    else:
        values = f"values {low} to {high} of 255"
    return Found(
        listing.kind, listing.train, listing.test, listing.class_names, tuple(counts[0]), tuple(counts[1]),
        (channels, height, width), values, entry.info["duplicates"], listing.notes, listing.unused,
        tuple(entry.info["skipped"]), tuple(entry.info["prints"]),
    )  # fmt: skip


def at_hand(name: str) -> bool:
    """Whether the known set `name` can be loaded, with default options, without fetching it."""
    options = Options()
    _, origin = find(name, options, silent)
    fetched = name != "digits" and origin.identity[:1] == ("hub",)
    return not fetched or Cache().recall(digest(*origin.identity, *options.words)) is not None


def _image_data(entry: Entry, known: KnownSet | None, source: str) -> ImageData:
    """A cache entry as ImageData; a recognised set is normalised with its published mean and std.

    A known set that was resized or converted is measured like any other, but keeps its rule on mirroring.
    """
    names = tuple(entry.info["class_names"])
    recognised = recognise(entry.train.shape, len(names), entry.info["mean"])
    _, height, width, channels = entry.train.shape
    rule = recognised or known
    spec = ImageSpec(
        channels=channels,
        height=height,
        width=width,
        class_names=names,
        mean=recognised.mean if recognised else tuple(entry.info["mean"]),
        std=recognised.std if recognised else tuple(entry.info["std"]),
        name=recognised.name if recognised else "custom",
        flip=rule.flip if rule else True,
    )
    train = LabeledImages(entry.train, entry.train_labels)
    test = LabeledImages(entry.test, entry.test_labels)
    return ImageData(spec, train, test, source, entry.info["fingerprint"])
