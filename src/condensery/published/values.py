"""The papers' tables as package data, and the published value of a cell.

A file here holds the tables of one paper, each as printed: columns, rows, and percents with ±. What makes a cell
(data, method, network, ...) is merged from `cell`, the row, the column and the value itself, later ones first; `fields`
are merged one by one. A value "-" is a cell that the source leaves out and that can be filled; "" is none at all.
Of a table with `split` each data set stands on its own. Tables with `main` answer `lookup`, in this order of papers.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Any

from condensery.models.registry import resolve

PAPERS = ("dc", "dsa", "dm", "dcc")
WHOLE = "whole"  # the method of cells that stand for training on the whole set
_PERCENT = re.compile(r"(\d+\.\d+)(?:±(\d+\.\d+))?")


@dataclass(frozen=True)
class Published:
    """A published value beside which ours is shown: fractions, std None where the source gives none.

    `protocol` is the nearest of ours to how the source judged it; "" in lines that older versions wrote.
    """

    mean: float
    std: float | None
    source: str
    protocol: str = ""


@dataclass(frozen=True)
class PublishedCell:
    """One cell of a paper's table: what it is, and what the paper found.

    Attributes:
        row, column: its labels.
        data: name of the image set.
        method: of condensation or selection, or "whole".
        fields: of the method, where the paper's differ from the defaults; sorted (name, value) pairs.
        ipc: images per class; None for the whole set.
        condensed_with: the network of the method; None where there is none or the paper does not say.
        network: the network that was trained and tested.
        protocol: how; the nearest of ours.
        value: what the paper found; None where it says nothing.
    """

    row: str
    column: str
    data: str
    method: str
    fields: tuple[tuple[str, Any], ...]
    ipc: int | None
    condensed_with: str | None
    network: str
    protocol: str
    value: Published | None


@dataclass(frozen=True)
class PublishedTable:
    """One table of a paper, or its part for one data set.

    Attributes:
        name: of the recipe that fills it.
        source: paper and number of the table.
        title: what it compares, in our words.
        main: whether its cells answer `lookup`.
        cells: row by row.
    """

    name: str
    source: str
    title: str
    main: bool
    cells: tuple[PublishedCell, ...]


@cache
def tables() -> tuple[PublishedTable, ...]:
    """All tables, in order of the papers; those that are split by data set are several."""
    found = []
    for paper in PAPERS:
        text = resources.files("condensery.published").joinpath(f"{paper}.toml").read_text(encoding="utf-8")
        for document in tomllib.loads(text)["table"]:
            found += _split(document, tuple(_cells(document)))
    return tuple(found)


def lookup(
    data: str, method: str, ipc: int | None, network: str = "convnet", condensed_with: str | None = "convnet"
) -> Published | None:
    """The published accuracy of a method on a data set, from its own paper where that has it.

    Args:
        data: name of a known set.
        method: of condensation or selection; "whole" is training on the whole set.
        ipc: images per class; not used for "whole".
        network: the network that is trained and tested, in any spelling.
        condensed_with: the network of the method; not used where the paper gives none (selections, "whole").
    """
    wanted = (data, method, None if method == WHOLE else ipc, _canonical(network))
    made_with = _canonical(condensed_with)
    for table in tables():
        for cell in table.cells if table.main else ():
            known = (cell.data, cell.method, cell.ipc, cell.network)
            if known == wanted and cell.condensed_with in (None, made_with) and cell.value:
                return cell.value
    return None


def _canonical(network: str | None) -> str | None:
    """The one spelling of a network; a user's own, which may not even be importable, as it is."""
    return network if network is None or ":" in network else resolve(network).canonical


def _split(document: dict[str, Any], cells: tuple[PublishedCell, ...]) -> Iterator[PublishedTable]:
    """The table, or one for each of its data sets."""
    facts = (document["source"], document["title"], document.get("main", False))
    if not document.get("split", False):
        yield PublishedTable(document["name"], *facts, cells)
        return
    for data in dict.fromkeys(cell.data for cell in cells):
        own = tuple(cell for cell in cells if cell.data == data)
        yield PublishedTable(f"{document['name']}-{data.removeprefix('imagenet32-')}", *facts, own)


def _cells(document: dict[str, Any]) -> Iterator[PublishedCell]:
    for row in document["row"]:
        for column, value in zip(document["column"], row["values"], strict=True):
            value = {"value": value} if isinstance(value, str) else value
            if value["value"]:
                yield _cell(document, row, column, value)


def _cell(
    document: dict[str, Any], row: dict[str, Any], column: dict[str, Any], value: dict[str, Any]
) -> PublishedCell:
    layers = (document.get("cell", {}), row, column, value)
    known = {key: item for layer in layers for key, item in layer.items()}
    fields = {key: item for layer in layers for key, item in layer.get("fields", {}).items()}
    return PublishedCell(
        row=row["label"],
        column=column["label"],
        data=known["data"],
        method=known["method"],
        fields=tuple(sorted(fields.items())),
        ipc=known["ipc"] or None,
        condensed_with=known.get("condensed_with") or None,
        network=known["network"],
        protocol=known["protocol"],
        value=None
        if value["value"] == "-"
        else _published(value["value"], document["source"], known["protocol"]),
    )


def _published(text: str, source: str, protocol: str) -> Published:
    """ "91.7±0.5" -> Published(0.917, 0.005, source, protocol)"""
    match = _PERCENT.fullmatch(text)
    if match is None:
        raise ValueError(f"{source}: {text!r} is not a percentage such as 91.7±0.5")
    mean, std = match.groups()
    return Published(_fraction(mean), _fraction(std) if std else None, source, protocol)


def _fraction(percent: str) -> float:
    return round(float(percent) / 100, 6)
