"""Lists of labels beside images: CSV or text files that name image files, each with its class."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from condensery.data.columns import LABEL_NAMES
from condensery.data.files import File
from condensery.errors import BadFile, BadInput, one_line

SUFFIXES = (".csv", ".tsv", ".txt", ".jsonl")
LARGEST_BYTES = 256 << 20
LABELS = (
    *LABEL_NAMES,
    "classid",
    "class_id",
    "class_name",
    "label_name",
    "category",
    "breed",
    "species",
    "predictionstring",
)
"""Names of columns that hold the class, in lower case."""


@dataclass(frozen=True)
class Labelled:
    """What a list says of the images of a part.

    Attributes:
        file: the list.
        labels: text, one for each image, in the order of the images.
    """

    file: File
    labels: tuple[str, ...]


@dataclass(frozen=True)
class _Table:
    header: tuple[str, ...]  # empty if the first line is data already
    rows: tuple[tuple[str, ...], ...]


def find_list(
    images: Sequence[File], files: Iterable[File], column: str | None, classes: frozenset[str]
) -> Labelled | None:
    """The labels of `images` from the one list among `files` that names them; None if there is no such list.

    Args:
        images: of one part, without class folders.
        files: what may be a list.
        column: the label column if the user named it.
        classes: names of classes that are known already, by which the column is found.

    Raises:
        BadInput: a list names images that are not there, or misses some; or it is unclear which column or which
            list is meant.
    """
    names = {name for image in images for name in (image.base, image.base.rpartition(".")[0])}
    found = []
    for file in files:
        if file.suffix in SUFFIXES and file.size <= LARGEST_BYTES:
            table = _read(file)
            place = _file_column(table, names)
            if place is not None and _width(table) > 1:
                found.append((file, table, place))
    if not found:
        return None
    if len(found) > 1:
        lists = ", ".join(file.name for file, _, _ in found)
        raise BadInput(
            f"several lists name the images of {images[0].path.parent}: {lists}; keep the one with the labels"
        )
    file, table, place = found[0]
    return Labelled(file, _labels(file, table, place, images, column, classes))


def _read(file: File) -> _Table:
    """Rows of a list. Columns are separated by what its first line uses: tab, semicolon, comma or space."""
    try:
        text = file.path.read_text("utf-8-sig", "replace")
    except OSError as error:
        raise BadFile(f"cannot read {file.path}: {one_line(error)}") from error
    if file.suffix == ".jsonl":
        return _from_json(text)
    lines = [line for line in text.splitlines() if line.strip()]
    if not lines:
        return _Table((), ())
    separator = next((mark for mark in "\t;," if mark in lines[0]), " ")
    try:
        rows = [
            tuple(cell.strip() for cell in row)
            for row in csv.reader(lines, delimiter=separator, skipinitialspace=True)
        ]
    except csv.Error:
        return _Table((), ())
    has_header = file.suffix != ".txt" or any(word.lower() in LABELS for word in rows[0])
    return _Table(rows[0], tuple(rows[1:])) if has_header else _Table((), tuple(rows))


def _from_json(text: str) -> _Table:
    records = []
    for line in text.splitlines():
        try:
            record = json.loads(line)
        except (ValueError, RecursionError):
            return _Table((), ())
        if not isinstance(record, dict):
            return _Table((), ())
        records.append({str(key): value for key, value in record.items() if isinstance(value, str | int)})
    header = tuple(records[0]) if records else ()
    return _Table(header, tuple(tuple(str(record.get(name, "")) for name in header) for record in records))


def _file_column(table: _Table, names: set[str]) -> int | None:
    """The column that names images, with or without folders and ending; None if there is none."""
    for place in range(_width(table)):
        if any(_last(row[place]) in names for row in table.rows):
            return place
    return None


def _width(table: _Table) -> int:
    """Columns that every row has."""
    return min((len(row) for row in table.rows), default=0)


def _last(cell: str) -> str:
    return cell.replace("\\", "/").rpartition("/")[2]


def _labels(
    file: File, table: _Table, place: int, images: Sequence[File], column: str | None, classes: frozenset[str]
) -> tuple[str, ...]:
    label = _label_column(file, table, place, column, classes)
    first_word = classes and all(row[label].split(" ")[0] in classes for row in table.rows)
    named: dict[str, str] = {}
    for row in table.rows:
        value = row[label].split(" ")[0] if first_word else row[label]
        key = _last(row[place])
        if named.setdefault(key, value) != value:
            raise BadInput(
                f"{file.path} gives the image {key} two classes, {named[key]!r} and {value!r}; correct it"
            )
    found, used = [], set()
    missing = []
    for image in images:
        key = next((key for key in (image.base, image.base.rpartition(".")[0]) if key in named), None)
        if key is None:
            missing.append(image)
            continue
        used.add(key)
        found.append(named[key])
    if missing:
        raise BadInput(
            f"{file.path} gives no class to {len(missing):,} of {len(images):,} images, the first is "
            f"{missing[0].path}; complete it or remove the images"
        )
    if unknown := [key for key in named if key not in used]:
        raise BadInput(
            f"{file.path} names {len(unknown):,} images that are not in {images[0].path.parent}, the first is "
            f"{unknown[0]}; fetch them or remove their lines"
        )
    if empty := next((image for image, label_ in zip(images, found, strict=True) if not label_), None):
        raise BadInput(f"{file.path} gives {empty.path} an empty class; complete it")
    return tuple(found)


def _label_column(file: File, table: _Table, place: int, column: str | None, classes: frozenset[str]) -> int:
    """By the user's word; by a usual name; by known classes; or the only other one."""
    header = [name.lower() for name in table.header]
    others = [i for i in range(_width(table)) if i != place]
    if column is not None:
        if column.lower() not in header:
            raise BadInput(
                f"{file.path} has no column {column!r}; it has: {', '.join(table.header) or 'no names of columns'}"
            )
        return header.index(column.lower())
    usual = [header.index(name) for name in LABELS if name in header and header.index(name) != place]
    fitting = [i for i in others if classes and all(row[i].split(" ")[0] in classes for row in table.rows)]
    for choice in (usual[:1], fitting[:1], others if len(others) == 1 else [], [] if header else others[:1]):
        if choice:
            return choice[0]
    raise BadInput(
        f"{file.path} has several columns that may be the class; name one with --label-column, out of: "
        f"{', '.join(table.header)}"
    )
