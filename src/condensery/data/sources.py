"""`load`: labelled images from anywhere, decoded once."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from condensery.data.cache import Cache, Entry, digest
from condensery.data.decode import WideImage, Wish, decode_all, wide_extent
from condensery.data.files import Tree, identity, single, walk
from condensery.data.formats import candidates, read_candidate, read_tree
from condensery.data.formats.arrays import read_npz
from condensery.data.formats.digits import digits_origin
from condensery.data.formats.tables import SUFFIXES, read_tables, tables_in
from condensery.data.found import Found
from condensery.data.hub import hub_origin
from condensery.data.listing import Listing, Origin, Reading, arrange
from condensery.data.options import Options
from condensery.data.specs import KNOWN_SETS, KnownSet, recognise
from condensery.data.store import PixelStore, duplicates, fingerprint, mean_and_std, save_labels, value_counts
from condensery.data.subset import class_names, subset
from condensery.data.values import PLAIN, choose_range
from condensery.errors import BadFile, BadInput
from condensery.records import ImageData, ImageSpec, LabeledImages

ACCEPTED = (
    f"a source is a known name ({', '.join(KNOWN_SETS)}), a folder with one sub-folder per class, "
    "a folder of Parquet files, a .parquet or .npz file, or a Hugging Face Hub id"
)


def silent(line: str) -> None:
    """Announce nothing."""


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
            "owner/name:config". A folder goes before a known set of its name. An ImageData is returned as it is.
        size: resize so that the short side has this many pixels, then crop the central square.
        channels: 1 or 3 converts; None keeps grey sets grey and makes mixed ones colour.
        test_fraction: share of every class that becomes the test part where the source has none.
        image_column, label_column: columns of a table; found by their type if None.
        train_split, test_split: parts for training and testing by the names that the source has for them, several
            separated by commas; "." is the folder itself, with its sub-folders as classes. None knows them by
            their names.
        value_range: the two pixel values that become black and white; chosen by rule if None.
        skip_damaged: leave out images that cannot be read, and say which, instead of refusing the set.
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
    )
    names = class_names(classes)
    if isinstance(source, ImageData):
        if options.given or names is not None:
            raise BadInput(
                "size, channels and classes apply to files; this source is an ImageData, already decoded"
            )
        return source
    known, origin = _find(source, options, announce)
    cache = Cache(cache_dir)
    place = digest(*origin.identity, *options.words)
    remembered = _recall(cache, place)
    if remembered is None:
        listing = arrange(origin.read(), str(source), test_fraction, train_split, test_split)
        key = digest(listing.key(), *options.words)
        entry = cache.open(key) or _decode(listing, options, cache, key, announce, str(source), progress)
        found = _found(listing, entry)
        cache.remember(place, key, found.to_json())
    else:
        entry, found = remembered
    data = replace(_image_data(entry, known, str(source)), options=options.given, found=found)
    if names is not None:
        data = replace(subset(data, names, cache), options={**data.options, "classes": list(names)})
    _announce(data.found, announce)
    return data


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
    _, origin = _find(name, options, silent)
    fetched = name != "digits" and origin.identity[:1] == ("hub",)
    return not fetched or Cache().recall(digest(*origin.identity, *options.words)) is not None


def path_of(source: str | Path) -> Path | None:
    """The file or folder that a source names; None for a known name or a Hub id.

    A folder here goes before a known set of its name if it holds anything that can be read.
    """
    path = Path(source).expanduser().absolute()
    if source not in KNOWN_SETS:
        return path if path.exists() else None
    if not path.is_dir():
        return None
    tree = walk(path)
    return path if any(f.is_image for f in tree.files) or tables_in(tree) or candidates(tree) else None


def local_folder(known: KnownSet) -> Path | None:
    """Where a known set lies below the folder that `CONDENSERY_DATA` names, if it does."""
    root = os.environ.get("CONDENSERY_DATA")
    places = (
        [Path(root).expanduser().absolute() / name for name in (known.name, *known.folders)] if root else []
    )
    return next((place for place in places if place.is_dir()), None)


def found_under(folder: str | Path) -> list[tuple[str, str, Path]]:
    """Sets that lie in a folder of sets, such as the one that `CONDENSERY_DATA` names.

    Returns:
        (name for `--data`, what lies there, its folder), sorted; the name is that of a known set where one lies under
        a name of its own, otherwise the path. Nothing is read; folders that cannot be are left out.
    """
    root = Path(folder).expanduser().absolute()
    names = {name: known.name for known in KNOWN_SETS.values() for name in (known.name, *known.folders)}
    found = []
    for place in sorted(root.iterdir()) if root.is_dir() else ():
        if place.name.startswith(".") or not place.is_dir():
            continue
        try:
            tree = walk(place)
        except BadInput:
            continue
        kinds = [candidate.kind for candidate in candidates(tree)]
        kinds = kinds or (["table"] if tables_in(tree) else [])
        kinds = kinds or (["images"] if any(file.is_image for file in tree.files) else [])
        found += [(names.get(place.name, str(place)), kind, place) for kind in kinds]
    return found


def _find(
    source: str | Path, options: Options, announce: Callable[[str], None]
) -> tuple[KnownSet | None, Origin]:
    """Decide what kind of source this is. BadInput if there is no such thing."""
    text = str(source)
    if not text.strip() or "\0" in text:
        raise BadInput(f"the source {text!r} is empty; {ACCEPTED}")
    known = KNOWN_SETS.get(source) if isinstance(source, str) else None
    path = path_of(source)
    if known is not None and path is not None:
        if path != local_folder(known):
            announce(f"{text} is the folder {path}, not the known set of that name")
            known = None
        return known, _local(path, options)
    if known is not None:
        return known, _known_origin(known, options, announce)
    if path is not None:
        return None, _local(path, options)
    hub = re.fullmatch(r"([\w-][\w.-]*(?:/[\w-][\w.-]*)?)(?::([\w.-]+))?", text, re.ASCII)
    if (
        isinstance(source, Path)
        or hub is None
        or Path(text).suffix.lower() in (".npz", ".npy", ".parquet", ".zip")
    ):
        raise BadInput(f"there is no file or folder {text!r}; {ACCEPTED}")
    return None, hub_origin(hub[1], hub[2], options, None, announce)


def _known_origin(known: KnownSet, options: Options, announce: Callable[[str], None]) -> Origin:
    if not known.hub_id:
        options.require_no_columns(known.name)
        options.require_no_splits(known.name)
        if options.value_range is not None:
            raise BadInput(f"the values of {known.name} are known, so leave --value-range out")
        return digits_origin()
    local = local_folder(known)
    if local is not None:
        return _local(local, options)
    return hub_origin(known.hub_id, known.config, options, known.label_column, announce)


def _local(path: Path, options: Options) -> Origin:
    """An existing file or folder."""
    if path.is_dir():
        tree = walk(path)
        return Origin((str(path), identity(tree.files)), lambda: read_tree(tree, options))
    read: Callable[[], Reading]
    file = single(path)
    tree = walk(path.parent) if path.suffix.lower() not in (".npz", *SUFFIXES) else Tree(path.parent, (file,))
    mine = [found for found in candidates(tree) if any(one.path == path for one in found.files)]
    if mine:
        return Origin(
            (str(path), identity(tree.files)),
            lambda: read_candidate(mine[0], Tree(tree.root, mine[0].files), options),
        )
    if path.suffix.lower() == ".npz":
        options.require_no_columns(path)
        read = lambda: read_npz(file, options)  # noqa: E731
    elif path.suffix.lower() in SUFFIXES:
        read = lambda: read_tables(path, [file], options)  # noqa: E731
    else:
        raise BadInput(
            f"cannot read {path}: unknown kind of file {path.suffix or '(no ending)'!r}; {ACCEPTED}"
        )
    return Origin((str(path), identity([file])), read)


def _decode(
    listing: Listing,
    options: Options,
    cache: Cache,
    key: str,
    announce: Callable[[str], None],
    source: str,
    progress: bool | None,
) -> Entry:
    """Decode all images into a new cache entry."""
    count = len(listing.labels)
    announce(f"Decoding {count:,} images of {source} into {cache.folder} (once)")

    def write(folder: Path) -> dict[str, Any]:
        given = None if listing.values else options.range  # arrays are scaled where they are read
        wish = Wish(options.size, options.channels, wide=given, narrow=given or PLAIN)
        try:
            kept, skipped = _write_pixels(folder, listing, wish, options.skip_damaged, progress)
        except WideImage:
            wish = replace(wish, wide=choose_range(wide_extent(listing.items()), None, f"images of {source}"))
            kept, skipped = _write_pixels(folder, listing, wish, options.skip_damaged, progress)
        labels = {
            "train": listing.labels[~listing.is_test & kept],
            "test": listing.labels[listing.is_test & kept],
        }
        _require_all_classes(labels["train"], listing.class_names, source)
        parts = save_labels(folder, labels)
        counts = value_counts(parts[0][0])
        mean, std = mean_and_std(counts)
        _require_contrast(std, source)
        values = np.flatnonzero(counts.sum(axis=0))
        return {
            "class_names": list(listing.class_names),
            "mean": mean,
            "std": std,
            "fingerprint": fingerprint(listing.class_names, parts),
            "prints": [fingerprint(listing.class_names, [part]) for part in parts],
            "reach": [int(values[0]), int(values[-1])],
            "range": "" if wish.wide is None else str(wish.wide),
            "duplicates": duplicates(parts[0][0], parts[1][0]),
            "skipped": skipped,
        }

    return cache.build(key, write)


def _write_pixels(
    folder: Path, listing: Listing, wish: Wish, skip_damaged: bool, progress: bool | None
) -> tuple[np.ndarray, list[str]]:
    """Decode into `folder`; returns which images were kept, bool (N,), and the names of those that were skipped."""
    kept = np.ones(len(listing.labels), dtype=bool)
    skipped = []
    with closing(PixelStore(folder)) as store, _bar(len(kept), progress) as advance:
        decoded = decode_all(listing.items(), wish)
        for i, ((where, pixels), is_test) in enumerate(zip(decoded, listing.is_test, strict=True)):
            if isinstance(pixels, np.ndarray):
                store.add(where, pixels, bool(is_test))
            elif skip_damaged:
                kept[i] = False
                skipped.append(where)
            else:
                raise BadFile(f"{pixels}, or leave out all such images with --skip-damaged") from pixels
            advance()
        store.finish()
    return kept, skipped


def _require_all_classes(labels: np.ndarray, names: Sequence[str], source: str) -> None:
    """BadInput if all training images of a class were damaged."""
    counts = np.bincount(labels, minlength=len(names))
    if (counts == 0).any():
        raise BadInput(
            f"all training images of the class {names[int(np.argmin(counts))]!r} of {source} are damaged"
        )


def _require_contrast(std: tuple[float, ...], source: str) -> None:
    """BadInput if there is a channel that has one value everywhere, and so cannot be normalised."""
    if max(std) == 0:
        raise BadInput(f"all training images of {source} are the same plain area; nothing can be learned")
    if min(std) == 0:
        channel = ("red", "green", "blue")[std.index(0)]
        raise BadInput(
            f"the {channel} channel of {source} has the same value in all training images; "
            "convert them to grey with --channels 1"
        )


@contextmanager
def _bar(total: int, wanted: bool | None) -> Iterator[Callable[[], None]]:
    """A progress bar on stderr; gives a function to call after each image."""
    if not (sys.stderr.isatty() if wanted is None else wanted):
        yield lambda: None
        return
    from rich.console import Console
    from rich.progress import Progress

    with Progress(console=Console(stderr=True, force_terminal=wanted or None), transient=True) as bar:
        task = bar.add_task("Decoding", total=total)
        yield lambda: bar.advance(task)


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
