"""Image sets in tables: Parquet files laid out as on the Hugging Face Hub, and folders of `datasets`' save_to_disk."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

from condensery.data.bounded import require_plausible
from condensery.data.columns import (
    Column,
    columns_of,
    find_columns,
    image_item,
    joined,
    label_array,
    paths_of,
)
from condensery.data.files import File, Tree, single, summary
from condensery.data.listing import Item, Part, Reading
from condensery.data.options import Options
from condensery.data.parts import TRAIN, role, split_names
from condensery.errors import BadFile, BadInput, one_line

SUFFIXES = (".parquet", ".arrow")
ROW_BYTES = 64
"""An image takes at least as much once it is unpacked."""


def tables_in(tree: Tree) -> list[File]:
    """The files of `tree` that are tables: Parquet, or Arrow as `save_to_disk` writes it."""
    saved = any(file.base in ("state.json", "dataset_dict.json") for file in tree.files)
    kinds = SUFFIXES if saved else SUFFIXES[:1]
    return [file for file in tree.files if file.suffix in kinds and not file.base.startswith("cache-")]


def read_tables(root: Path, files: Sequence[File], options: Options, others: Sequence[File] = ()) -> Reading:
    """Tables below `root`.

    Args:
        others: what else lies there.

    Raises:
        BadInput: it is unclear which files belong together, or which columns are meant.
        BadFile: a file is damaged.
    """
    groups = _groups(root, files, options)
    schemas = {file: _columns(file.path) for group in groups.values() for file in group}
    for file in schemas:
        require_plausible(ROW_BYTES * _rows(file.path), file.size, f"rows of {file.path}")
    first = groups[next((name for name in groups if role(name) == TRAIN), next(iter(groups)))][0]
    image, label = find_columns(schemas[first], options.image_column, options.label_column, str(root))
    folder = _Beside(root if root.is_dir() else root.parent)
    parts, notes, used = [], [], []
    for name, group in groups.items():
        for file in group:
            missing = next(
                (column for column in (image, label) if column and column not in schemas[file]), None
            )
            if missing and not (missing == label and role(name) not in (TRAIN, None)):
                raise BadFile(f"{file.path} has no column {missing!r}, unlike the first file of the set")
        chunks = [_labels(file, label, schemas[file], str(root), name) for file in group]
        labels, names, differ = joined(chunks, str(root))
        notes += (
            [f"files of {name} name their classes in different orders; labels go by name"] if differ else []
        )
        count = len(labels) if labels is not None else sum(_rows(file.path) for file in group)
        if schemas[group[0]][image].kind in ("image", "path"):
            for file in group:
                used += folder.files(file, image)
        parts.append(Part(name, labels, count, partial(_items, group, image, folder), names))
    notes += _order_notes(parts)
    inside = {file.path for file in (*(file for group in groups.values() for file in group), *used)}
    rest = summary(file for file in others if file.path not in inside and file.suffix != ".json")
    kind = "Parquet table" if first.suffix == ".parquet" else "table of save_to_disk"
    return Reading(
        kind,
        tuple(parts),
        (*(file for group in groups.values() for file in group), *used),
        notes=tuple(notes),
        unused=(rest,) if rest else (),
    )


def _order_notes(parts: Sequence[Part]) -> list[str]:
    orders = {part.names for part in parts if part.names is not None}
    alike = len({frozenset(names) for names in orders}) == 1
    return (
        ["the parts name their classes in different orders; labels go by name"]
        if len(orders) > 1 and alike
        else []
    )


def _groups(root: Path, files: Sequence[File], options: Options) -> dict[str, list[File]]:
    """Part -> its files. Files whose names say nothing of parts are one part, unless the user names parts."""
    files = _one_configuration(root, files, options)
    groups: dict[str, list[File]] = {}
    for file in files:
        groups.setdefault(_split_of(file.name), []).append(file)
    asked = split_names(options.train_split) + split_names(options.test_split)
    if not asked and all(role(name) is None for name in groups):
        return {"": list(files)}
    return groups


def _split_of(name: str) -> str:
    """The part that a file name speaks of: "data/train-00000-of-00002.parquet" -> "train"."""
    *folders, base = name.split("/")
    stem = re.sub(r"[-_.]?\d+(-of-\d+)?$", "", base.rsplit(".", 1)[0]) if base else ""
    words = [word for word in (stem, *reversed(folders)) if role(word)]
    if words:
        plain = [word for word in re.split(r"[^A-Za-z]+", words[0]) if role(word)]
        return plain[0].lower() if len(plain) == 1 else words[0]
    return stem if stem and stem != "data" else "/".join(folders) or stem


def _one_configuration(root: Path, files: Sequence[File], options: Options) -> list[File]:
    """Files at the top if there are any; else of the only sub-folder, or of sub-folders named as parts."""
    top = [file for file in files if "/" not in file.name]
    if top:
        return top
    folders = sorted({file.name.split("/")[0] for file in files})
    asked = {*split_names(options.train_split), *split_names(options.test_split)}
    if len(folders) == 1 or any(role(name) == TRAIN or name in asked for name in folders):
        return list(files)
    raise BadInput(
        f"{root} holds Parquet files of several sets ({', '.join(folders)}); name one of these folders"
    )


class _Beside:
    """Image files that a table names by path: beside the table, or below the folder of the set."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def find(self, table: File, path: str) -> Path:
        places = [table.path.parent / path, self.root / path]
        return next((place for place in places if place.exists()), places[0])

    def files(self, table: File, column: str) -> list[File]:
        """Those that a table names, once each. BadFile for the first that is not there."""
        found = []
        for row, path in enumerate(paths_of(_values(table.path, column))):
            place = self.find(table, path)
            if not place.exists():
                raise BadFile(f"{table.path} names the image {path!r} (image {row}), which is not beside it")
            found.append(single(place))
        return found


def _columns(path: Path) -> dict[str, Column]:
    """Columns of a table, from a file's header."""
    import pyarrow.parquet

    with _reading(path):
        if path.suffix.lower() == ".parquet":
            return columns_of(pyarrow.parquet.read_schema(path))
        with pyarrow.memory_map(str(path)) as source, pyarrow.ipc.open_stream(source) as stream:
            return columns_of(stream.schema)


def _rows(path: Path) -> int:
    import pyarrow.parquet

    with _reading(path):
        if path.suffix.lower() == ".parquet":
            return pyarrow.parquet.read_metadata(path).num_rows
        with pyarrow.memory_map(str(path)) as source, pyarrow.ipc.open_stream(source) as stream:
            return sum(batch.num_rows for batch in stream)


def _labels(file: File, column: str | None, columns: dict[str, Column], source: str, part: str) -> Any:
    if column is None or column not in columns:
        return None, None, str(file.path)
    values = list(_values(file.path, column))
    labels = label_array(values, source, part or "train")
    names = columns[column].names if labels is None or labels.dtype.kind != "U" else None
    return labels, names, str(file.path)


def _items(files: Sequence[File], column: str, beside: _Beside) -> Iterator[Item]:
    for file in files:
        for row, value in enumerate(_values(file.path, column)):
            yield image_item(f"row {row} of {file.path}", value, partial(beside.find, file))


def _values(path: Path, column: str) -> Iterator[Any]:
    """One column of a table, a few rows in memory at a time. BadFile if it cannot be read."""
    import pyarrow.parquet

    with _reading(path):
        if path.suffix.lower() == ".parquet":
            with pyarrow.parquet.ParquetFile(path) as file:
                for batch in file.iter_batches(batch_size=256, columns=[column]):
                    yield from batch.column(0).to_pylist()
            return
        with pyarrow.memory_map(str(path)) as source, pyarrow.ipc.open_stream(source) as stream:
            place = stream.schema.get_field_index(column)
            for batch in stream:
                for start in range(0, batch.num_rows, 256):
                    yield from batch.column(place).slice(start, 256).to_pylist()


@contextmanager
def _reading(path: Path) -> Iterator[None]:
    """Turn what the reader of tables raises within the block into one line that names the file."""
    import pyarrow

    try:
        yield
    except (OSError, pyarrow.ArrowException) as error:
        kind = "Parquet file" if path.suffix.lower() == ".parquet" else "Arrow file"
        raise BadFile(f"cannot read the {kind} {path}: {one_line(error)}; fetch it again") from error
