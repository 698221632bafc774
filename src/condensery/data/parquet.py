"""Image sets in Parquet files, laid out as on the Hugging Face Hub."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from condensery.data.columns import find_columns, image_item, label_array
from condensery.data.folder import Found, content, identity
from condensery.data.listing import Item, Listing, Origin, make_listing
from condensery.errors import BadFile, BadInput, one_line

TEST_SPLITS = ("test", "valid", "validation", "val", "dev")
"""Names of splits that serve as the test part, the first one there is."""


def parquet_origin(
    root: Path,
    files: list[Found],
    test_fraction: float,
    image_column: str | None,
    label_column: str | None,
    announce: Callable[[str], None],
) -> Origin:
    """Parquet files below `root`. BadInput if it is unclear which of them belong together."""
    parts = _parts(root, files, announce)
    used = [file for part in parts.values() for file in part]
    return Origin(
        identity=(str(root), identity(used)),
        content=lambda: content(used),
        listing=lambda: _listing(root, parts, test_fraction, image_column, label_column),
    )


def _split_of(name: str) -> str | None:
    """The split that a file name speaks of: "data/train-00000-of-00002.parquet" -> "train"."""
    words = re.split(r"[^a-z]+", name.lower().removesuffix(".parquet"))
    return next((split for split in ("train", *TEST_SPLITS) if split in words), None)


def _parts(root: Path, files: list[Found], announce: Callable[[str], None]) -> dict[str, list[Found]]:
    """Which files make the parts "train" and, where there is one, "test"."""
    files = _one_configuration(root, files)
    splits: dict[str | None, list[Found]] = {}
    for file in files:
        splits.setdefault(_split_of(file.name), []).append(file)
    if set(splits) == {None}:
        return {"train": files}
    if "train" not in splits:
        raise BadInput(f"{root} has no training part: no Parquet file with 'train' in its name")
    test = next((name for name in TEST_SPLITS if name in splits), None)
    unused = [file.name for name, group in splits.items() if name not in ("train", test) for file in group]
    if unused:
        announce(f"Not used: {', '.join(unused)} (neither train nor {test or 'test'})")
    return {"train": splits["train"]} | ({"test": splits[test]} if test else {})


def _one_configuration(root: Path, files: list[Found]) -> list[Found]:
    """Files at the top if there are any; else of the only sub-folder, or of sub-folders named as splits."""
    top = [file for file in files if "/" not in file.name]
    if top:
        return top
    folders = sorted({file.name.split("/")[0] for file in files})
    if len(folders) == 1 or all(_split_of(name) == name.lower() for name in folders):
        return files
    raise BadInput(
        f"{root} holds Parquet files of several sets ({', '.join(folders)}); name one of these folders"
    )


def _listing(
    root: Path, parts: dict[str, list[Found]], test_fraction: float, image: str | None, label: str | None
) -> Listing:
    features = _features(parts["train"][0].path)
    image, label = find_columns(features, image, label, str(root))
    names = tuple(features[label].names) if hasattr(features[label], "names") else None
    labels = {part: _labels(group, label, str(root), part) for part, group in parts.items()}
    return make_listing(
        labels["train"],
        labels.get("test"),
        names,
        lambda: _items(parts, image),
        test_fraction,
        str(root),
    )


def _features(path: Path) -> dict[str, Any]:
    """Column name -> feature of the `datasets` library, from a file's footer.

    The footer and the rows are read here and not by `datasets.load_dataset`, which asks the Hub to count every
    call, local files included, and copies all rows into a cache of its own.
    """
    import datasets
    import pyarrow.parquet

    with _reading(path):
        schema = pyarrow.parquet.read_schema(path)
    return dict(datasets.Features.from_arrow_schema(schema))


def _labels(files: list[Found], column: str, source: str, part: str) -> np.ndarray:
    values = [value for file in files for value in _values(file.path, column)]
    return label_array(values, source, part)


def _items(parts: dict[str, list[Found]], column: str) -> Iterator[Item]:
    for group in parts.values():
        for file in group:
            for row, value in enumerate(_values(file.path, column)):
                yield image_item(f"row {row} of {file.path}", value)


def _values(path: Path, column: str) -> Iterator[Any]:
    """One column of a Parquet file, a few rows in memory at a time. BadFile if it cannot be read."""
    import pyarrow.parquet

    with _reading(path), pyarrow.parquet.ParquetFile(path) as file:
        if column not in file.schema_arrow.names:
            raise BadFile(f"{path} has no column {column!r}, unlike the first file of the set")
        for batch in file.iter_batches(batch_size=256, columns=[column]):
            yield from batch.column(0).to_pylist()


@contextmanager
def _reading(path: Path) -> Iterator[None]:
    """Turn what the Parquet reader raises within the block into one line that names the file."""
    import pyarrow

    try:
        yield
    except (OSError, pyarrow.ArrowException) as error:
        raise BadFile(f"cannot read the Parquet file {path}: {one_line(error)}; fetch it again") from error
