"""Lists of labels beside images: CSV or text files that name image files, each with its class."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from condensery.data.columns import LABEL_NAMES
from condensery.data.files import File
from condensery.data.parts import TRAIN, role
from condensery.errors import BadFile, BadInput, one_line
from condensery.text import count

SUFFIXES = (".csv", ".tsv", ".txt", ".jsonl")
LARGEST_BYTES = 256 << 20
SUBMISSION = "submission"
"""In the name of a list: it shows what a contest wants, its labels mean nothing."""
SHARE = 0.1
"""Of the images that a text must name to be their list, and half as many as another: any word may be a name."""
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
    """Rows of a list, the first of which may be names of columns."""

    file: File
    rows: tuple[tuple[str, ...], ...]

    @property
    def width(self) -> int:
        """Columns that every row has."""
        return min((len(row) for row in self.rows), default=0)


class _Names:
    """Images of a part by the words that may stand for them: name or name without ending, with or without folders."""

    def __init__(self, images: Sequence[File]) -> None:
        self.folder = images[0].folder.rstrip("/")
        self.role = next((found for name in self.folder.split("/")[::-1] if (found := role(name))), None)
        self.by_word: dict[str, list[File]] = {}
        for image in images:
            for word in {image.base, image.base.rpartition(".")[0]}:
                self.by_word.setdefault(word, []).append(image)

    def image(self, cell: str) -> File | None:
        """The image that a cell names."""
        path = cell.replace("\\", "/")
        for image in self.by_word.get(path.rpartition("/")[2], ()):
            full = f"/{image.name}"
            if full.endswith((f"/{path}", f"/{path}{image.path.suffix}")) or "/" not in path:
                return image
        return None

    def is_elsewhere(self, cell: str) -> bool:
        """Whether a cell names a file in another folder than that of these images."""
        folder = cell.replace("\\", "/").rpartition("/")[0]
        return bool(folder) and not f"/{self.folder}".endswith(f"/{folder}")


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
    names = _Names(images)
    found = []
    for file in files:
        if file.suffix in SUFFIXES and file.size <= LARGEST_BYTES and SUBMISSION not in file.base.lower():
            table = _read(file)
            count, place = _file_column(table, names)
            apart = _is_of_another_part(table, place, names)
            if count >= SHARE * len(images) and table.width > 1 and not apart:
                found.append((count, table, place))
    if not found:
        return None
    most = max(count for count, _, _ in found)
    found = [(table, place) for count, table, place in found if 2 * count > most]
    if len(found) > 1:
        found = [one for one in found if role(one[0].file.base) == names.role] or found
    if len(found) > 1:
        lists = ", ".join(table.file.name for table, _ in found)
        raise BadInput(
            f"several lists name the images of {images[0].path.parent}: {lists}; keep the one with the labels"
        )
    table, place = found[0]
    return Labelled(table.file, _labels(table, place, images, names, column, classes))


def _is_of_another_part(table: _Table, place: int, names: _Names) -> bool:
    """Whether a list of training images fits images for testing, or the reverse, only because they are called alike."""
    own = role(table.file.base)
    if own is None or names.role is None or (own == TRAIN) == (names.role == TRAIN):
        return False
    return not any("/" in row[place].replace("\\", "/") for row in table.rows if len(row) > place)


def _read(file: File) -> _Table:
    """Rows of a list. Columns are separated by what its first line uses: tab, semicolon, comma or space."""
    try:
        text = file.path.read_text("utf-8-sig", "replace")
    except OSError as error:
        raise BadFile(f"cannot read {file.path}: {one_line(error)}") from error
    lines = [line for line in text.splitlines() if line.strip()]
    if file.suffix == ".jsonl":
        return _Table(file, _from_json(lines))
    separator = next((mark for mark in "\t;," if lines and mark in lines[0]), " ")
    try:
        rows = csv.reader(lines, delimiter=separator, skipinitialspace=True)
        return _Table(file, tuple(tuple(cell.strip() for cell in row) for row in rows))
    except csv.Error:
        return _Table(file, ())


def _from_json(lines: Sequence[str]) -> tuple[tuple[str, ...], ...]:
    """One record a line -> names of columns, then rows; nothing if it is not that."""
    records = []
    for line in lines:
        try:
            record = json.loads(line)
        except (ValueError, RecursionError):
            return ()
        if not isinstance(record, dict):
            return ()
        records.append({str(key): value for key, value in record.items() if isinstance(value, str | int)})
    header = tuple(records[0]) if records else ()
    return (header, *(tuple(str(record.get(name, "")) for name in header) for record in records))


def _file_column(table: _Table, names: _Names) -> tuple[int, int]:
    """How many images a table names, and in which column. A column that is called a label names none."""
    best, place = 0, 0
    for i in range(table.width):
        if table.rows[0][i].lower() in LABELS:
            continue
        named = {image.name for row in table.rows if (image := names.image(row[i])) is not None}
        if len(named) > best:
            best, place = len(named), i
    return best, place


def _labels(
    table: _Table,
    place: int,
    images: Sequence[File],
    names: _Names,
    column: str | None,
    classes: frozenset[str],
) -> tuple[str, ...]:
    path = table.file.path
    first = table.rows[0]
    header = () if names.image(first[place]) is not None else first
    rows = table.rows[1:] if header else table.rows
    label = _label_column(table, header, rows, place, column, classes)
    first_word = classes and all(row[label].split(" ")[0] in classes for row in rows)
    named: dict[str, str] = {}
    unknown = []
    for row in rows:
        image = names.image(row[place])
        value = row[label].split(" ")[0] if first_word else row[label]
        if image is None:
            unknown += [] if names.is_elsewhere(row[place]) else [row[place]]
        elif named.setdefault(image.name, value) != value:
            raise BadInput(
                f"{path} gives the image {image.base} two classes, {named[image.name]!r} and {value!r}; correct it"
            )
    if missing := [image for image in images if image.name not in named]:
        raise BadInput(
            f"{path} gives no class to {len(missing):,} of {len(images):,} images, the first is "
            f"{missing[0].path}; complete it or remove the images"
        )
    if unknown:
        raise BadInput(
            f"{path} names {count(len(unknown), 'image')} absent from {images[0].path.parent}, the first is "
            f"{unknown[0]:.100}; fetch them or remove their lines"
        )
    if empty := next((image for image in images if not named[image.name]), None):
        raise BadInput(f"{path} gives {empty.path} an empty class; complete it")
    return tuple(named[image.name] for image in images)


def _label_column(
    table: _Table,
    header: Sequence[str],
    rows: Sequence[Sequence[str]],
    place: int,
    column: str | None,
    classes: frozenset[str],
) -> int:
    """By the user's word; by a usual name; by known classes; or the only other one."""
    path = table.file.path
    titles = [name.lower() for name in header]
    others = [i for i in range(table.width) if i != place]
    if column is not None:
        if column.lower() not in titles[: table.width]:
            there = ", ".join(header) or "no names of columns"
            raise BadInput(f"{path} has no column {column!r}; it has: {there}")
        return titles.index(column.lower())
    usual = [titles.index(name) for name in LABELS if name in titles[: table.width]]
    fitting = [i for i in others if classes and all(row[i].split(" ")[0] in classes for row in rows)]
    for choice in (usual[:1], fitting[:1], others if len(others) == 1 else [], [] if header else others[:1]):
        if choice:
            return choice[0]
    raise BadInput(
        f"{path} has several columns that may be the class; name one with --label-column, out of: {', '.join(header)}"
    )
