"""Image sets in Parquet files, laid out as on the Hugging Face Hub."""

from __future__ import annotations

import glob
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from condensery.data.columns import find_columns, image_item, label_array
from condensery.data.folder import Found, content, identity
from condensery.data.listing import Item, Listing, Origin, make_listing, one_line
from condensery.errors import BadFile, BadInput

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
    for group in parts.values():
        for file in group:
            _check_file(file.path)
    features = _stream(parts["train"], None).features
    image, label = find_columns(dict(features), image, label, str(root))
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


def _check_file(path: Path) -> None:
    """BadFile if a Parquet file's footer cannot be read: it is damaged, cut short or no Parquet at all."""
    import pyarrow
    import pyarrow.parquet

    try:
        pyarrow.parquet.read_schema(path)
    except (OSError, pyarrow.ArrowException) as error:
        raise BadFile(f"cannot read the Parquet file {path}: {one_line(error)}; fetch it again") from error


def _stream(files: list[Found], column: str | None) -> Any:
    """One or all columns of Parquet files as a `datasets.IterableDataset`, which keeps no copy on disk."""
    import datasets

    # load_dataset reads its file names as patterns
    names = [glob.escape(str(file.path)) for file in files]
    columns = None if column is None else [column]
    return datasets.load_dataset("parquet", data_files={"train": names}, columns=columns, streaming=True)[
        "train"
    ]


def _labels(files: list[Found], column: str, source: str, part: str) -> np.ndarray:
    with _reading(f"the {part} part of {source}"):
        values = [value for batch in _stream(files, column).iter(batch_size=4096) for value in batch[column]]
    return label_array(values, source, part)


def _items(parts: dict[str, list[Found]], column: str) -> Iterator[Item]:
    import datasets

    for group in parts.values():
        for file in group:
            rows = _stream([file], column)
            if isinstance(rows.features[column], datasets.Image):
                rows = rows.cast_column(column, datasets.Image(decode=False))
            with _reading(str(file.path)):
                for row, record in enumerate(rows):
                    yield image_item(f"row {row} of {file.path}", record[column])


@contextmanager
def _reading(what: str) -> Iterator[None]:
    """Turn what the Parquet reader raises within the block into one line that names `what`."""
    import pyarrow

    try:
        yield
    except (OSError, KeyError, TypeError, pyarrow.ArrowException) as error:
        raise BadFile(f"cannot read {what}: {one_line(error)}; fetch it again") from error
