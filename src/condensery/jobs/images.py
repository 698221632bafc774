"""The images that a job's record names, wherever it is done: kept in this process, or loaded."""

from __future__ import annotations

import json
import platform
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from condensery.data import load
from condensery.errors import BadInput
from condensery.records import ImageData

_loaded: dict[str, ImageData] = {}  # images that this process was given, by fingerprint


def remember(images: ImageData) -> ImageData:
    """Jobs in this process that name these images take them instead of loading them."""
    _loaded[images.fingerprint] = images
    return images


def recalled(data: Mapping[str, Any]) -> ImageData:
    """The images of a record: its source, options and fingerprint.

    Raises:
        BadInput: this machine has other images under that name.
    """
    if data["fingerprint"] in _loaded:
        return _loaded[data["fingerprint"]]
    images = _load(data["source"], json.dumps(data["options"], sort_keys=True))
    if images.fingerprint != data["fingerprint"]:
        raise BadInput(
            f"{data['source']} on {platform.node()} holds other images than where the work was started "
            f"(fingerprint {images.fingerprint[:12]}, not {data['fingerprint'][:12]}): give every worker the same files"
        )
    return images


@lru_cache(maxsize=4)
def _load(source: str, options: str) -> ImageData:
    return load(source, progress=False, **json.loads(options))
