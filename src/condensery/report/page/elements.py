"""Pieces of HTML. Everything that comes from outside passes through `text`, and so cannot become markup."""

from __future__ import annotations

import html
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

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
        attributes += (
            f' role=cell data-k="{text(column)}"' if column else ""
        )  # a card is no row to some browsers
        attributes += f' style="{self.style}"' if self.style else ""
        attributes += f' data-v="{self.value!r}"' if self.value is not None else ""
        return f"<td{attributes}>{self.html}</td>"


def table(caption: str, head: Sequence[str], rows: Iterable[Sequence[Cell]], sortable: bool = True) -> str:
    """A table in a container of its own, which scrolls sideways, with a hint, where it is too narrow.

    On a phone the rows of a sortable table are cards: cells of kind "who" and "main" first, the others below.

    Args:
        caption: HTML.
        head: texts of the columns.
        rows: of cells; the first cell of a row is its head.
    """
    rows = list(rows)
    right = [cell.numeric for cell in rows[0]] if rows else [False] * len(head)
    kind, row, column = (
        (' class=cards role="table"', " role=row", " role=columnheader") if sortable else ("",) * 3
    )
    names = "".join(
        f'<th scope="col"{column}{" class=num" * numeric}>{_sorter(name) if sortable else breakable(name)}</th>'
        for name, numeric in zip(head, right, strict=True)
    )
    body = "".join(_row(row, head if sortable else ()) for row in rows)
    return (
        f'<div class="scroll" tabindex="0" role="region" aria-label="table"><table{kind}>'
        f"<caption>{caption}</caption><thead><tr{row}>{names}</tr></thead>\n<tbody>{body}</tbody></table></div>"
        '<p class="hint" hidden>→ Scroll sideways: there is more.</p>'
    )


def _row(cells: Sequence[Cell], keys: Sequence[str]) -> str:
    """A row, its cells with the names of their columns if there are `keys`."""
    named = zip(cells, keys or [""] * len(cells), strict=True)
    return f"<tr{' role=row' * bool(keys)}>" + "".join(cell.render(key) for cell, key in named) + "</tr>\n"


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
