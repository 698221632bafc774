"""Image sets from the Hugging Face Hub."""

from __future__ import annotations

import os
import socket
import urllib.request
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from condensery.data.columns import columns_of, find_columns, image_item, label_array
from condensery.data.listing import Item, Origin, Part, Reading
from condensery.data.options import Options
from condensery.data.parts import TRAIN, role
from condensery.errors import BadInput, one_line

PATIENCE_SECONDS = 3.0


def hub_origin(
    hub_id: str,
    config: str | None,
    options: Options,
    label_column: str | None,
    announce: Callable[[str], None],
) -> Origin:
    """A data set on the Hub.

    What was fetched once is found again without the network: the id stands for the content. A newer revision
    is taken once the cache entry is removed.

    Args:
        label_column: of a known set, where the user names none.
    """
    words = ("hub", hub_id, config or "")

    def read() -> Reading:
        announce(f"Fetching {hub_id} from the Hugging Face Hub")
        return _read(_fetch(hub_id, config), hub_id, options, label_column, " ".join(words))

    return Origin(words, read)


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


def _read(sets: Any, hub_id: str, options: Options, label_column: str | None, stamp: str) -> Reading:
    first = next((name for name in sets if role(name) == TRAIN), next(iter(sets)))
    columns = columns_of(sets[first].features.arrow_schema)
    label = options.label_column or label_column
    image, label = find_columns(columns, options.image_column, label, hub_id)
    parts = []
    for name, rows in sets.items():
        own = columns_of(rows.features.arrow_schema)
        labels = label_array(list(rows[label]), hub_id, name) if label in own else None
        names = own[label].names if labels is not None and label is not None else None
        parts.append(Part(name, labels, len(rows), partial(_items, rows, name, image, hub_id), names))
    return Reading("data set of the Hugging Face Hub", tuple(parts), stamp=stamp)


def _items(rows: Any, part: str, image: str, hub_id: str) -> Iterator[Item]:
    import datasets

    if isinstance(rows.features[image], datasets.Image):
        rows = rows.cast_column(image, datasets.Image(decode=False))
    for row, record in enumerate(rows.select_columns([image])):
        yield image_item(f"row {row} of the {part} part of {hub_id}", record[image], Path)
