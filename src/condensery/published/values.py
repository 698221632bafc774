"""The papers' tables as package data, and the published value of a cell.

A file here holds tables of one paper, each as printed: columns, rows, and percents with ±. What makes a cell
(data, method, network, ...) is merged from `cell`, the row, the column and the value itself, later ones first; `fields`
are merged one by one. A value "-" is a cell that the source leaves out and that can be filled; "=" is one with the
settings of the method's own paper, and its value if that is of the same network; "" is none at all.
Of a table with `split` each data set stands on its own. Tables with `main` answer `lookup`, in this order of papers.
A table with a `study` is filled by continual learning or a search, and `part` says what of it a cell is.

Numbers that disagree in print; each table has its own, and `lookup` gives the first:

* MNIST, herding, 50 per class: 94.9 ± 0.2 in Table 3.1 of the thesis, 94.8 ± 0.2 in its Tables 4.1 and 5.1.
* CIFAR-100, forgetting, 1 and 10 per class: 3.5 ± 0.3 and 9.8 ± 0.2 in Table T9, 4.5 ± 0.2 and 15.1 ± 0.3 in Table 5.1.
* CIFAR-100, random, 50 per class: 30.0 ± 0.4 in Table 5.1, 29.7 ± 0.4 in DCC's Table 2.
* Whole sets of SVHN, CIFAR-10, CIFAR-100: 95.4, 84.8, 56.2 in the thesis, 92.1, 81.6, 52.5 in DCC's Table 2.
* CIFAR-10, MTT, 50 per class: 71.6 ± 0.2 in its paper, 72.8 ± 0.2 in the generative model paper's Table 2.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from importlib import resources
from typing import Any

from condensery.errors import BadInput, did_you_mean
from condensery.models.registry import resolve

FILES = ("dc", "dsa", "dm", "dcc", "cafe", "mtt", "generative", "frepo", "figures", "applications", "methods")
"""One for each paper in order; figures are those that print no numbers, applications those of studies, methods ours."""
WHOLE = "whole"  # the method of cells that stand for training on the whole set
ACCURACY = "test accuracy in %"
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
        own: whether the network was trained as the set itself wants to be, in place of that protocol.
        whitening: of the images of a method that is judged so, "none" for none; "" for that of the preset "paper".
        value: what the paper found; None where it says nothing.
        part: what of a study it is, see `applications.toml`; "" in other tables.
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
    own: bool = False
    whitening: str = ""
    part: str = ""

    @property
    def plain(self) -> bool:
        """Whether its value is a plain number, and no fraction that is shown in percent."""
        return _is_plain(self.part)


@dataclass(frozen=True)
class PublishedTable:
    """One table or figure of a paper, or its part for one data set.

    Attributes:
        name: of the recipe that fills it.
        source: paper and number of the table.
        title: what it compares, in our words.
        cells: row by row.
        main: whether its cells answer `lookup`.
        quantity: what is measured; all but accuracy is measured by `condensery.diagnostics`.
        sets, networks: with different seeds, and trained on each; what all papers report if nothing else is said.
        differs: what our filling of it always differs in; differences by the numbers that `condense methods` prints.
        study: what `continual` or `search` (its "kind") is asked for, and the names of its "data"; None for the others.
    """

    name: str
    source: str
    title: str
    cells: tuple[PublishedCell, ...]
    main: bool = False
    quantity: str = ACCURACY
    sets: int = 5
    networks: int = 20
    differs: str = ""
    study: Mapping[str, Any] | None = None

    @property
    def data(self) -> str:
        """Name of the image set."""
        return self.cells[0].data

    @property
    def all_data(self) -> tuple[str, ...]:
        """Names of all image sets: a stream of tasks has several."""
        return tuple(self.study["data"]) if self.study else (self.data,)

    @property
    def rows(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(cell.row for cell in self.cells))

    @property
    def columns(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(cell.column for cell in self.cells))

    def only(self, rows: Sequence[str], columns: Sequence[str]) -> PublishedTable:
        """This table with some rows and columns, in any case of letters; none given keeps all.

        Raises:
            BadInput: there is no such row or column, or no cell where they meet.
        """
        kept_rows, kept_columns = _chosen("row", rows, self.rows), _chosen("column", columns, self.columns)
        cells = tuple(c for c in self.cells if c.row in kept_rows and c.column in kept_columns)
        if not cells:
            raise BadInput(
                f"{self.name} has no cell in row {', '.join(rows)} and column {', '.join(columns)}"
            )
        return replace(self, cells=cells)


@cache
def tables() -> tuple[PublishedTable, ...]:
    """All tables, in order of the papers; those that are split by data set are several."""
    found: list[PublishedTable] = []
    for name in FILES:
        text = resources.files("condensery.published").joinpath(f"{name}.toml").read_text(encoding="utf-8")
        for document in tomllib.loads(text)["table"]:
            found += _split(document, tuple(_cells(document, found)))
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
    names = ("main", "quantity", "sets", "networks", "differs", "study")
    optional = {key: document[key] for key in names if key in document}
    whole = PublishedTable(document["name"], document["source"], document["title"], cells, **optional)
    if not document.get("split", False):
        yield whole
        return
    for data in dict.fromkeys(cell.data for cell in cells):
        own = tuple(cell for cell in cells if cell.data == data)
        yield replace(whole, name=f"{whole.name}-{data.removeprefix('imagenet32-')}", cells=own)


def _chosen(kind: str, asked: Sequence[str], there: Sequence[str]) -> Sequence[str]:
    by_lower = {label.lower(): label for label in there}
    for label in asked:
        if label.lower() not in by_lower:
            raise BadInput(
                f"there is no {kind} {label!r}; there are {', '.join(there)}{did_you_mean(label, by_lower)}"
            )
    return [by_lower[label.lower()] for label in asked] or there


def _cells(document: dict[str, Any], before: Iterable[PublishedTable]) -> Iterator[PublishedCell]:
    for row in document["row"]:
        for column, value in zip(document["column"], row["values"], strict=True):
            value = {"value": value} if isinstance(value, str) else value
            if value["value"] == "=":
                yield _as_published(_cell(document, row, column, {"value": "-"}), before)
            elif value["value"]:
                yield _cell(document, row, column, value)


def _as_published(cell: PublishedCell, before: Iterable[PublishedTable]) -> PublishedCell:
    """With the settings of the method's own paper, and its value if that is of the same network and judged alike."""
    wanted = (cell.data, cell.method, cell.ipc)
    known = [c for table in before if table.main for c in table.cells if (c.data, c.method, c.ipc) == wanted]
    same = [c for c in known if c.network == cell.network and c.condensed_with in (None, cell.condensed_with)]
    if not known:
        return cell
    found = (same or known)[0]
    value = found.value if same and found.own == cell.own else None
    return replace(cell, fields=found.fields, whitening=found.whitening, value=value)


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
        else _published(
            value["value"], document["source"], known["protocol"], _is_plain(known.get("part", ""))
        ),
        own=known.get("own", False),
        whitening=known.get("whitening", ""),
        part=known.get("part", ""),
    )


def _is_plain(part: str) -> bool:
    return part.partition(" ")[0] in ("correlation", "minutes", "images")


def _published(text: str, source: str, protocol: str, plain: bool = False) -> Published:
    """ "91.7±0.5" -> Published(0.917, 0.005, source, protocol); a `plain` number as it is."""
    if plain:
        return Published(float(text), None, source, protocol)
    match = _PERCENT.fullmatch(text)
    if match is None:
        raise ValueError(f"{source}: {text!r} is not a percentage such as 91.7±0.5")
    mean, std = match.groups()
    return Published(_fraction(mean), _fraction(std) if std else None, source, protocol)


def _fraction(percent: str) -> float:
    return round(float(percent) / 100, 6)
