"""Tables of a page as plain values: columns that make cells of rows."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from condensery.report.page.names import subject_name


@dataclass(frozen=True)
class Cell:
    """One cell of a table.

    Attributes:
        text: its content.
        value: what the column is sorted by; None sorts by the text.
        kind: CSS classes: "num" is set flush right; cards have "who" and "main" first.
        strong: the text is bold.
        rest, small: what follows the text, as it is and in small letters.
        title: what is said of the text where a pointer rests on it.
        link: where the text leads to.
        style: CSS declarations.
    """

    text: str
    value: float | None = None
    kind: str = ""
    strong: bool = False
    rest: str = ""
    small: str = ""
    title: str = ""
    link: str = ""
    style: str = ""


Column = tuple[str, Callable[[Any], Cell]]
"""The head of a column, and what makes its cell of a row."""


@dataclass(frozen=True)
class Table:
    """A table; on a phone the rows of a sortable one are cards.

    Attributes:
        caption: above it.
        columns: the first says what a row is about.
        rows: whatever the columns make cells of.
        same: (name, value) of what is the same in all rows.
        kind: CSS classes of what is around it.
    """

    caption: str
    columns: Sequence[Column]
    rows: Iterable[Any]
    sortable: bool = True
    same: Sequence[tuple[str, str]] = ()
    kind: str = ""

    @property
    def cells(self) -> list[list[Cell]]:
        return [[make(row) for _, make in self.columns] for row in self.rows]


def number(shown: str, value: float | None, kind: str = "", **more: Any) -> Cell:
    """A cell that is set flush right and sorted by its value."""
    return Cell(shown, value, f"num {kind}".strip(), **more)


def whole_number(value: int | None, small: str = "") -> Cell:
    """A number of things, or that it is not known."""
    return number("–", 0) if value is None else number(f"{value:,}", value, small=small)


NAMES = {
    "data": "images",
    "condensed_with": "condensed with",
    "network": "network trained",
    "protocol": "protocol",
    "labels": "labels",
    "augmentation": "augmentation",
}
"""Of what may be the same in all rows of a table."""

BUDGET: Column = ("Images per class", lambda m: number(str(m.ipc or "all"), float(m.ipc or 1e12)))
MADE_BY: Column = ("Made by", lambda m: Cell(subject_name(m.subject), kind="who", strong=True))


def varying(rows: Sequence[Any], attributes: Iterable[str] = NAMES) -> list[Column]:
    """The columns of what differs between rows; selections and the whole set are condensed with nothing."""
    several = [a for a in attributes if len(values_of(rows, a)) > 1]
    return [(NAMES[a].capitalize(), lambda m, a=a: Cell(getattr(m, a) or "–", kind="name")) for a in several]


def values_of(rows: Sequence[Any], attribute: str) -> list[Any]:
    """The values that rows have for an attribute, where they have one."""
    return [value for value in dict.fromkeys(getattr(m, attribute) for m in rows) if value is not None]
