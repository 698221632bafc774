"""Decoding a listing into an entry of the cache, and what is seen on the way."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from condensery.data.cache import Cache, Entry
from condensery.data.decode import WideImage, Wish, decode_all, wide_extent
from condensery.data.listing import Listing
from condensery.data.options import Options
from condensery.data.store import PixelStore, mean_and_std, measure, save_labels
from condensery.data.values import PLAIN, choose_range
from condensery.errors import BadFile, BadInput


def build(
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
        if skipped:
            _require_images_left(labels, listing.class_names, source)
        parts = save_labels(folder, labels)
        measured = measure(listing.class_names, parts)
        mean, std = mean_and_std(measured.counts)
        _require_contrast(std, source)
        values = np.flatnonzero(measured.counts.sum(axis=0))
        return {
            "class_names": list(listing.class_names),
            "mean": mean,
            "std": std,
            "fingerprint": measured.fingerprint,
            "prints": list(measured.prints),
            "reach": [int(values[0]), int(values[-1])],
            "range": "" if wish.wide is None else str(wish.wide),
            "duplicates": measured.duplicates,
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


def _require_images_left(labels: dict[str, np.ndarray], names: Sequence[str], source: str) -> None:
    """BadInput if all test images, or all training images of a class, were damaged."""
    if not len(labels["test"]):
        raise BadInput(f"all test images of {source} are damaged")
    counts = np.bincount(labels["train"], minlength=len(names))
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
