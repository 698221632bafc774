"""Pieces of HTML. Everything that comes from outside passes through `text`, and so cannot become markup."""

from __future__ import annotations

import html
import unicodedata
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

_KEPT = "\n\t"


def text(value: object) -> str:
    """Anything as text of a page or as a quoted attribute: markup escaped, signs a page cannot hold replaced."""
    signs = (c if c in _KEPT or unicodedata.category(c) not in ("Cc", "Cs") else "�" for c in str(value))
    return html.escape("".join(signs))


@dataclass(frozen=True)
class Cell:
    """One cell of a table.

    Attributes:
        html: its content.
        value: what the column is sorted by; None sorts by the text.
        numeric: set flush right.
        kind: CSS classes.
        style: CSS declarations.
    """

    html: str
    value: float | None = None
    numeric: bool = False
    kind: str = ""
    style: str = ""

    def render(self, column: str = "") -> str:
        """The cell; with the name of its `column`, which stands beside it where rows are cards."""
        kinds = " ".join(filter(None, ("num" if self.numeric else "", self.kind)))
        attributes = f' class="{kinds}"' if kinds else ""
        # a card is no row to some browsers
        attributes += f' role=cell data-k="{text(column)}"' if column else ""
        attributes += f' style="{self.style}"' if self.style else ""
        attributes += f' data-v="{self.value!r}"' if self.value is not None else ""
        return f"<td{attributes}>{self.html}</td>"


Column = tuple[str, Callable[[Any], Cell]]
"""The head of a column, and what makes its cell of a row."""


def table(caption: str, columns: Sequence[Column], rows: Iterable[Any], sortable: bool = True) -> str:
    """A table in a container of its own, which scrolls sideways, with a hint, where it is too narrow.

    On a phone the rows of a sortable table are cards: cells of kind "who" and "main" first, the others below.

    Args:
        caption: HTML.
        columns: the first says what a row is about.
        rows: whatever the columns make cells of.
    """
    cells = [[make(row) for _, make in columns] for row in rows]
    names = [name for name, _ in columns]
    right = [cell.numeric for cell in cells[0]] if cells else [False] * len(names)
    kind, row, column = (
        (' class=cards role="table"', " role=row", " role=columnheader") if sortable else ("",) * 3
    )
    head = "".join(
        f'<th scope="col"{column}{" class=num" * numeric}>{_sorter(name) if sortable else breakable(name)}</th>'
        for name, numeric in zip(names, right, strict=True)
    )
    beside = names if sortable else [""] * len(names)
    body = "".join(
        f"<tr{row}>{''.join(cell.render(name) for cell, name in zip(one, beside, strict=True))}</tr>\n"
        for one in cells
    )
    return (
        f'<div class="scroll" tabindex="0" role="region" aria-label="table"><table{kind}>'
        f"<caption>{caption}</caption><thead><tr{row}>{head}</tr></thead>\n<tbody>{body}</tbody></table></div>"
        '<p class="hint" hidden>→ Scroll sideways: there is more.</p>'
    )


def number(shown: str, value: float, kind: str = "") -> Cell:
    """A cell that is set flush right and sorted by its value."""
    return Cell(shown, value, numeric=True, kind=kind)


def breakable(value: object) -> str:
    """Text that may be broken where the options of a network begin."""
    return text(value).replace("+", "+<wbr>")


def _sorter(name: str) -> str:
    return f'<button type="button" class="sort">{text(name)}</button>' if name else ""


def figure(caption: str, content: str, legend: str = "") -> str:
    """A chart with its title above and its legend below; all HTML."""
    return f"<figure><figcaption>{caption}</figcaption>{content}{legend}</figure>"


def panels(figures: Iterable[str]) -> str:
    """Charts side by side, as many as fit."""
    return '<div class="panels">' + "\n".join(figures) + "</div>"


def paragraphs(lines: Iterable[str]) -> str:
    return "".join(f"<p>{line}</p>\n" for line in lines)


def fold(summary: str, content: str, identity: str = "", open_: bool = False) -> str:
    """Content that opens at a click, or when the page is asked for `identity`."""
    name = f' id="{identity}"' if identity else ""
    return f"<details{name}{' open' * open_}><summary>{summary}</summary>{content}</details>\n"


def command(line: str) -> str:
    """A command with a button that copies it."""
    return (
        f'<div class="command"><pre tabindex="0"><code>{text(line)}</code></pre>'
        '<button type="button" class="copy">Copy</button></div>'
    )
