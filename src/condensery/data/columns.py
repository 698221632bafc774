"""Finding the image and the label column of a table, and reading their values."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from condensery.data.listing import Item
from condensery.errors import BadFile, BadInput

LABEL_NAMES = ("label", "labels", "fine_label", "class", "target", "y")


def find_columns(
    features: dict[str, Any], image: str | None, label: str | None, source: str
) -> tuple[str, str]:
    """Names of the image and the label column.

    Args:
        features: column name -> feature of the `datasets` library.
        image, label: what the user named; None to find it by its type.

    Raises:
        BadInput: no such column, none that fits, or several; lists those there are.
    """
    there = ", ".join(features)
    for name in (image, label):
        if name is not None and name not in features:
            raise BadInput(f"{source} has no column {name!r}; it has: {there}")
    if image is None:
        image = _only([n for n, f in features.items() if is_image(f)], "image", source, there)
    elif not is_image(features[image]) and not str(getattr(features[image], "dtype", "")).endswith("binary"):
        raise BadInput(f"column {image!r} of {source} holds no images; its columns are: {there}")
    if label is None:
        label = _only(_label_candidates(features), "label", source, there)
    elif not is_label(features[label]):
        raise BadInput(
            f"column {label!r} of {source} holds no classes (whole numbers or text); its columns are: {there}"
        )
    return image, label


def _only(candidates: list[str], kind: str, source: str, there: str) -> str:
    if len(candidates) != 1:
        found = f"several {kind} columns ({', '.join(candidates)})" if candidates else f"no {kind} column"
        raise BadInput(f"{source} has {found}; name one with --{kind}-column, out of: {there}")
    return candidates[0]


def _label_candidates(features: dict[str, Any]) -> list[str]:
    """ClassLabel columns, otherwise columns of numbers or text with a usual name; the usual name decides."""
    typed = [name for name, feature in features.items() if hasattr(feature, "names")]
    usual = [name for name in LABEL_NAMES if name in features and is_label(features[name])]
    if len(typed) > 1:
        return [name for name in usual if name in typed] or typed
    return typed or usual


def is_image(feature: Any) -> bool:
    """Whether a feature is an Image or a struct of bytes and path."""
    if isinstance(feature, dict):
        return set(feature) == {"bytes", "path"}
    return type(feature).__name__ == "Image"


def is_label(feature: Any) -> bool:
    """Whether a feature is a ClassLabel, whole numbers, truth values or text."""
    kind = str(getattr(feature, "dtype", ""))
    return hasattr(feature, "names") or kind.startswith(("int", "uint", "bool", "string", "large_string"))


def label_array(values: list[Any], source: str, part: str) -> np.ndarray:
    """Labels (N,) as int64 or text; BadInput names the first row without one."""
    for row, value in enumerate(values):
        if value is None or (isinstance(value, int) and value < 0):
            raise BadInput(f"row {row} of the {part} part of {source} has no label ({value})")
    if values and isinstance(values[0], str):
        return np.array(values, dtype=np.str_)
    return np.array(values, dtype=np.int64)


def image_item(where: str, value: Any) -> Item:
    """A cell of an image column -> Item. BadFile if the row holds no image."""
    if isinstance(value, bytes):
        return Item(where, value)
    if isinstance(value, dict) and value.get("bytes") is not None:
        return Item(where, value["bytes"])
    if isinstance(value, dict) and value.get("path"):
        return Item(where, Path(value["path"]))
    raise BadFile(f"{where} holds no image; remove the row")
