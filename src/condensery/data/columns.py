"""Finding the image and the label column of a table, and reading their values."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from condensery.data.listing import Item
from condensery.errors import BadInput

LABEL_NAMES = ("label", "labels", "fine_label", "class", "target", "y")
PATH_NAMES = ("image", "img", "file_name", "filename", "file", "path", "filepath", "file_path", "image_path")


@dataclass(frozen=True)
class Column:
    """A column of a table.

    Attributes:
        kind: "image" (encoded images), "path" (text that may name image files), "label" or "other".
        names: class names of a column that holds classes by number, otherwise None.
        bare: whether it holds bytes that no type calls images.
    """

    kind: str
    names: tuple[str, ...] | None = None
    bare: bool = False


def columns_of(schema: Any) -> dict[str, Column]:
    """Columns of an Arrow schema, with what the `datasets` library noted beside them.

    Read here and not by that library, which stops at any column of a type it does not know.
    """
    noted: dict[str, Any] = {}
    try:
        noted = json.loads((schema.metadata or {})[b"huggingface"])["info"]["features"]
    except (KeyError, ValueError, TypeError):
        pass  # written by somebody else
    return {
        field.name: _column(field.type, noted.get(field.name) if isinstance(noted, dict) else None)
        for field in schema
    }


def _column(kind: Any, note: Any) -> Column:
    import pyarrow.types as types

    note = note if isinstance(note, dict) else {}
    if note.get("_type") == "Image":
        return Column("image")
    if note.get("_type") == "ClassLabel" and isinstance(note.get("names"), list):
        return Column("label", tuple(str(name) for name in note["names"]))
    if types.is_dictionary(kind):
        kind = kind.value_type
    if types.is_struct(kind) and {kind.field(i).name for i in range(kind.num_fields)} == {"bytes", "path"}:
        return Column("image")
    if types.is_string(kind) or types.is_large_string(kind):
        return Column("path")
    if types.is_binary(kind) or types.is_large_binary(kind):
        return Column("other", bare=True)
    if types.is_integer(kind) or types.is_boolean(kind) or types.is_floating(kind):
        return Column("label")
    return Column("other")


def find_columns(
    columns: dict[str, Column], image: str | None, label: str | None, source: str
) -> tuple[str, str | None]:
    """Names of the image and the label column; no label column where none could be one.

    Args:
        image, label: what the user named; None to find it by its type.

    Raises:
        BadInput: no such column, none that fits, or several; lists those there are.
    """
    there = ", ".join(columns)
    for name in (image, label):
        if name is not None and name not in columns:
            raise BadInput(f"{source} has no column {name!r}; it has: {there}")
    if image is None:
        candidates = [name for name, column in columns.items() if column.kind == "image"]
        candidates = (
            candidates
            or [name for name in PATH_NAMES if name in columns and columns[name].kind == "path"][:1]
        )
        image = _only(candidates, "image", source, there)
    elif columns[image].kind not in ("image", "path") and not columns[image].bare:
        raise BadInput(f"column {image!r} of {source} holds no images; its columns are: {there}")
    if label is None:
        found = [name for name in _label_candidates(columns) if name != image]
        return image, _only(found, "label", source, there)
    if columns[label].kind not in ("label", "path"):
        raise BadInput(
            f"column {label!r} of {source} holds no classes (whole numbers or text); its columns are: {there}"
        )
    return image, label


def _only(candidates: list[str], kind: str, source: str, there: str) -> str:
    if len(candidates) != 1:
        found = f"several {kind} columns ({', '.join(candidates)})" if candidates else f"no {kind} column"
        raise BadInput(f"{source} has {found}; name one with --{kind}-column, out of: {there}")
    return candidates[0]


def _label_candidates(columns: dict[str, Column]) -> list[str]:
    """Columns with class names, otherwise columns of numbers or text with a usual name; the usual name decides."""
    typed = [name for name, column in columns.items() if column.names is not None]
    usual = [name for name in LABEL_NAMES if name in columns and columns[name].kind in ("label", "path")]
    if len(typed) > 1:
        return [name for name in usual if name in typed] or typed
    return typed or usual


def label_array(values: Sequence[Any], source: str, part: str) -> np.ndarray | None:
    """Labels (N,) as int64 or text; None if no row has one. BadInput names the first row without one."""
    values = [None if isinstance(value, float) and math.isnan(value) else value for value in values]
    without = [value is None or (isinstance(value, int | float) and value < 0) for value in values]
    if values and all(without):
        return None
    if any(without):
        row = without.index(True)
        raise BadInput(f"row {row} of the {part} part of {source} has no label ({values[row]})")
    if values and isinstance(values[0], str):
        return np.array(values, dtype=np.str_)
    if any(isinstance(value, float) for value in values):
        row = next((row for row, value in enumerate(values) if value != value // 1), None)
        if row is not None:
            raise BadInput(
                f"row {row} of the {part} part of {source} has the label {values[row]}; expected whole numbers"
            )
    return np.array(values, dtype=np.int64)


def joined(
    chunks: Sequence[tuple[np.ndarray | None, tuple[str, ...] | None, str]], source: str
) -> tuple[np.ndarray | None, tuple[str, ...] | None, bool]:
    """Labels of several files as those of one part.

    Args:
        chunks: labels, class names they are indices into (or None), and the file, of each.

    Returns:
        labels, their class names, and whether the files named them in different orders.

    Raises:
        BadInput: some files hold text and others numbers without names; or some have no labels.
    """
    filled = [chunk for chunk in chunks if chunk[0] is None or len(chunk[0])] or list(chunks)
    if all(labels is None for labels, _, _ in filled):
        return None, None, False
    for labels, _, file in filled:
        if labels is None:
            raise BadInput(f"{file} has no labels, unlike other files of the same part of {source}")
    orders = {names for _, names, _ in filled}
    text = {
        names is not None or labels.dtype.kind == "U" for labels, names, _ in filled if labels is not None
    }
    if (len(orders) == 1 and None not in orders) or text == {False}:
        return np.concatenate([labels for labels, _, _ in filled if labels is not None]), filled[0][1], False
    if len(text) > 1:
        numbers = next(
            file
            for labels, names, file in filled
            if names is None and labels is not None and labels.dtype.kind != "U"
        )
        raise BadInput(
            f"{numbers} holds labels as numbers without names, other files of {source} as text; make them alike"
        )
    words = [
        labels if names is None else np.array([_name(names, v, file) for v in labels], dtype=np.str_)
        for labels, names, file in filled
        if labels is not None
    ]
    names = next((names for names in (names for _, names, _ in filled) if names is not None), None)
    together = np.concatenate(words)
    if names is None:
        return together, None, False
    names = (*names, *(str(word) for word in np.unique(together) if word not in names))
    place = {name: c for c, name in enumerate(names)}
    return np.array([place[str(word)] for word in together], dtype=np.int64), names, len(orders) > 1


def _name(names: tuple[str, ...], label: int, file: str) -> str:
    if not 0 <= label < len(names):
        raise BadInput(f"{file} has the label {label}, but names {len(names)} classes")
    return names[label]


def image_item(where: str, value: Any, find: Callable[[str], Path]) -> Item:
    """A cell of an image column -> Item; `find` gives the file that a path in it names."""
    if isinstance(value, bytes):
        return Item(where, value)
    if isinstance(value, dict) and value.get("bytes") is not None:
        return Item(where, value["bytes"])
    path = value.get("path") if isinstance(value, dict) else value
    return Item(where, find(path) if isinstance(path, str) and path else None)


def paths_of(values: Iterable[Any]) -> list[str]:
    """Paths that cells name instead of holding the image."""
    found = []
    for value in values:
        path = value if isinstance(value, str) else None
        if isinstance(value, dict) and value.get("bytes") is None:
            path = value.get("path")
        if isinstance(path, str) and path:
            found.append(path)
    return found
