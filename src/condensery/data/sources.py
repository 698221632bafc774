"""`load`: labelled images from anywhere, decoded once."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import astuple, dataclass, replace
from pathlib import Path
from typing import Any

from condensery.data.arrays import digits_origin, npz_origin
from condensery.data.cache import Cache, Entry, digest
from condensery.data.decode import Wish, decode_all
from condensery.data.folder import Found, folder_origin, walk
from condensery.data.hub import hub_origin
from condensery.data.listing import Listing, Origin
from condensery.data.parquet import parquet_origin
from condensery.data.specs import KNOWN_SETS, KnownSet, recognise
from condensery.data.store import PixelStore, fingerprint, mean_and_std, save_labels
from condensery.data.subset import class_names, subset
from condensery.errors import BadInput
from condensery.records import ImageData, ImageSpec, LabeledImages

ACCEPTED = (
    f"a source is a known name ({', '.join(KNOWN_SETS)}), a folder with one sub-folder per class, "
    "a folder of Parquet files, a .parquet or .npz file, or a Hugging Face Hub id"
)


def silent(line: str) -> None:
    """Announce nothing."""


@dataclass(frozen=True)
class Options:
    """What `load` was asked for besides source and classes; part of the cache key."""

    size: int | None = None
    channels: int | None = None
    test_fraction: float = 0.2
    image_column: str | None = None
    label_column: str | None = None

    def __post_init__(self) -> None:
        if self.size is not None and not 8 <= self.size <= 4096:
            raise BadInput(f"size must be from 8 to 4096 pixels, not {self.size}")
        if self.channels not in (None, 1, 3):
            raise BadInput(f"channels must be 1 (grey) or 3 (colour), not {self.channels}")
        if not 0 < self.test_fraction < 1:
            raise BadInput(f"test_fraction must lie between 0 and 1, not {self.test_fraction}")

    def require_no_columns(self, source: str | Path) -> None:
        """BadInput if a column was named although `source` is no table."""
        for kind, name in (("image", self.image_column), ("label", self.label_column)):
            if name is not None:
                raise BadInput(
                    f"{source} has no columns, so not {name!r}: "
                    f"--{kind}-column belongs to tables (Parquet, Hugging Face Hub)"
                )

    @property
    def given(self) -> dict[str, Any]:
        """Those that differ from their defaults."""
        return {key: value for key, value in vars(self).items() if value != getattr(Options, key)}

    @property
    def words(self) -> tuple[str, ...]:
        return tuple(repr(value) for value in astuple(self))


def load(
    source: str | Path | ImageData,
    *,
    size: int | None = None,
    channels: int | None = None,
    test_fraction: float = 0.2,
    image_column: str | None = None,
    label_column: str | None = None,
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
            otherwise from the Hub); a folder with one sub-folder per class, with or without train/ and test/;
            a folder of Parquet files; a .parquet or .npz file; a Hub id "owner/name" or "owner/name:config".
            An ImageData is returned as it is.
        size: resize so that the short side has this many pixels, then crop the central square.
        channels: 1 or 3 converts; None keeps grey sets grey and makes mixed ones colour.
        test_fraction: share of every class that becomes the test part where the source has none.
        image_column, label_column: columns of a table; found by their type if None.
        classes: names of at least two classes to keep, None for all; labels follow their order. Normalisation
            and split stay those of the whole set.
        cache_dir: instead of `$CONDENSERY_CACHE` or `~/.cache/condensery`.
        announce: gets lines worth showing to a person.
        progress: show a bar on stderr while decoding; None for only if stderr is a terminal.

    Raises:
        BadInput: the source is missing, unclear or does not fit together, or the cache cannot be written.
        BadFile: an image or a file is damaged; names it.
    """
    options = Options(size, channels, test_fraction, image_column, label_column)
    names = class_names(classes)
    if isinstance(source, ImageData):
        if size is not None or channels is not None or names is not None:
            raise BadInput(
                "size, channels and classes apply to files; this source is an ImageData, already decoded"
            )
        return source
    known = KNOWN_SETS.get(source) if isinstance(source, str) else None
    origin = _find(source, known, options, announce)
    cache = Cache(cache_dir)
    identity = digest(*origin.identity, *options.words)
    entry = cache.recall(identity)
    if entry is None:
        key = digest(origin.content(), *options.words)
        entry = cache.open(key)
        if entry is None:
            entry = _decode(origin.listing(), options, cache, key, announce, str(source), progress)
        cache.remember(identity, key)
    data = replace(_image_data(entry, known, str(source)), options=options.given)
    if names is None:
        return data
    return replace(subset(data, names, cache), options={**data.options, "classes": list(names)})


def at_hand(name: str) -> bool:
    """Whether the known set `name` can be loaded, with default options, without fetching it."""
    known, options = KNOWN_SETS[name], Options(None, None, 0.2, None, None)
    origin = _find(name, known, options, silent)
    fetched = name != "digits" and origin.identity[:1] == ("hub",)
    return not fetched or Cache().recall(digest(*origin.identity, *options.words)) is not None


def _find(
    source: str | Path, known: KnownSet | None, options: Options, announce: Callable[[str], None]
) -> Origin:
    """Decide what kind of source this is. BadInput if there is no such thing."""
    if known is not None:
        if known.name == "digits":
            options.require_no_columns(source)
            return digits_origin(options.test_fraction)
        local = Path(os.environ.get("CONDENSERY_DATA") or "/nowhere").expanduser() / known.name
        if os.environ.get("CONDENSERY_DATA") and local.is_dir():
            return _local(local.absolute(), options, announce)
        label = options.label_column or known.label_column
        return hub_origin(
            known.hub_id, known.config, options.test_fraction, options.image_column, label, announce
        )
    text = str(source)
    if not text.strip() or "\0" in text:
        raise BadInput(f"the source {text!r} is empty; {ACCEPTED}")
    path = Path(source).expanduser().absolute()
    if path.exists():
        return _local(path, options, announce)
    hub = re.fullmatch(r"([\w-][\w.-]*(?:/[\w-][\w.-]*)?)(?::([\w.-]+))?", text, re.ASCII)
    if isinstance(source, Path) or hub is None or path.suffix.lower() in (".npz", ".npy", ".parquet", ".zip"):
        raise BadInput(f"there is no file or folder {text!r}; {ACCEPTED}")
    return hub_origin(
        hub[1], hub[2], options.test_fraction, options.image_column, options.label_column, announce
    )


def _local(path: Path, options: Options, announce: Callable[[str], None]) -> Origin:
    """An existing file or folder."""
    label = options.label_column
    if path.is_dir():
        files = list(walk(path))
        tables = [file for file in files if file.path.suffix.lower() == ".parquet"]
        if tables:
            return parquet_origin(path, tables, options.test_fraction, options.image_column, label, announce)
        options.require_no_columns(path)
        return folder_origin(path, files, options.test_fraction)
    facts = path.stat()
    file = Found("", path, facts.st_size, facts.st_mtime_ns)  # no name: a renamed file is the same set
    if path.suffix.lower() == ".npz":
        options.require_no_columns(path)
        return npz_origin(file, options.test_fraction)
    if path.suffix.lower() == ".parquet":
        return parquet_origin(path, [file], options.test_fraction, options.image_column, label, announce)
    raise BadInput(f"cannot read {path}: unknown kind of file {path.suffix or '(no ending)'!r}; {ACCEPTED}")


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
    wish = Wish(options.size, options.channels)
    count = len(listing.labels)
    announce(f"Decoding {count:,} images of {source} into {cache.folder} (once)")

    def write(folder: Path) -> dict[str, Any]:
        with closing(PixelStore(folder)) as store, _bar(count, progress) as advance:
            for (where, pixels), is_test in zip(
                decode_all(listing.items(), wish), listing.is_test, strict=True
            ):
                store.add(where, pixels, bool(is_test))
                advance()
            store.finish()
        labels = {"train": listing.labels[~listing.is_test], "test": listing.labels[listing.is_test]}
        parts = save_labels(folder, labels)
        mean, std = mean_and_std(parts[0][0])
        _require_contrast(std, source)
        return {
            "class_names": list(listing.class_names),
            "mean": mean,
            "std": std,
            "fingerprint": fingerprint(listing.class_names, parts),
        }

    return cache.build(key, write)


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
