"""Image sets from the Hugging Face Hub."""

from __future__ import annotations

import os
import socket
import urllib.request
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import urlsplit

from condensery.data.columns import find_columns, image_item, label_array
from condensery.data.listing import Item, Listing, Origin, make_listing
from condensery.data.parquet import TEST_SPLITS
from condensery.errors import BadInput, one_line

PATIENCE_SECONDS = 3.0


def hub_origin(
    hub_id: str,
    config: str | None,
    test_fraction: float,
    image_column: str | None,
    label_column: str | None,
    announce: Callable[[str], None],
) -> Origin:
    """A data set on the Hub.

    What was fetched once is found again without the network: the id stands for the content. A newer revision
    is taken once the cache entry is removed.
    """
    words = ("hub", hub_id, config or "")

    def listing() -> Listing:
        announce(f"Fetching {hub_id} from the Hugging Face Hub")
        return _listing(_fetch(hub_id, config), hub_id, test_fraction, image_column, label_column)

    return Origin(identity=words, content=lambda: " ".join(words), listing=listing)


def _fetch(hub_id: str, config: str | None) -> Any:
    """The `datasets.DatasetDict`. BadInput if it cannot be had; a missing network is noticed at once."""
    _need_network(hub_id)
    import datasets

    try:
        return datasets.load_dataset(hub_id, config)
    except Exception as error:  # the library raises many types, from its own to those of the HTTP client
        raise BadInput(
            f"cannot get {hub_id!r} from the Hugging Face Hub: {one_line(error)}; "
            "a source is 'digits', a known name, an existing folder, .parquet or .npz file, or a Hub id"
        ) from error


def _need_network(hub_id: str) -> None:
    """Fail within seconds if the Hub cannot be reached; the client itself would retry for minutes."""
    if (
        os.environ.get("HF_HUB_OFFLINE", "").upper() in ("1", "ON", "YES", "TRUE")
        or urllib.request.getproxies()
    ):
        return  # the client looks into its own cache, or goes through the proxy
    url = urlsplit(os.environ.get("HF_ENDPOINT", "https://huggingface.co"))
    address = (url.hostname or "huggingface.co", url.port or (80 if url.scheme == "http" else 443))
    try:
        socket.create_connection(address, PATIENCE_SECONDS).close()
    except OSError as error:
        raise BadInput(
            f"{hub_id!r} is no file or folder here, and there is no network to fetch it from the Hugging "
            "Face Hub; name a local folder, .parquet or .npz file, or set CONDENSERY_DATA to a folder "
            "that holds known sets by name (mnist/, cifar10/, ...)"
        ) from error


def _listing(sets: Any, hub_id: str, test_fraction: float, image: str | None, label: str | None) -> Listing:
    import datasets

    if "train" not in sets:
        raise BadInput(f"{hub_id} has no training part; it has: {', '.join(sets)}")
    test = next((name for name in TEST_SPLITS if name in sets), None)
    parts = {"train": sets["train"]} | ({"test": sets[test]} if test else {})
    features = parts["train"].features
    image, label = find_columns(dict(features), image, label, hub_id)
    names = tuple(features[label].names) if hasattr(features[label], "names") else None
    labels = {part: label_array(list(rows[label]), hub_id, part) for part, rows in parts.items()}

    def items() -> Iterator[Item]:
        for part, rows in parts.items():
            if isinstance(features[image], datasets.Image):
                rows = rows.cast_column(image, datasets.Image(decode=False))
            for row, record in enumerate(rows.select_columns([image])):
                yield image_item(f"row {row} of the {part} part of {hub_id}", record[image])

    return make_listing(labels["train"], labels.get("test"), names, items, test_fraction, hub_id)
