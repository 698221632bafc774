"""A table as comparisons.

A comparison is a product of entries, budgets and networks by one protocol, and few tables of the papers are: here
MLPs learn their images at another rate, there two methods are judged by two protocols. So a table has parts, each of
which one call of `compare` fills.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

from condensery.comparison.jobs import Entry
from condensery.published import WHOLE, PublishedCell
from condensery.recipes.changes import Changes


@dataclass(frozen=True)
class Part:
    """One call of `compare`: every combination of entries, budgets and networks is a cell.

    Attributes:
        protocol: its name.
        condense_with: the architecture of the sets.
        whole: train on the whole training set too.
    """

    protocol: str
    condense_with: str
    entries: tuple[Entry, ...]
    budgets: tuple[int, ...]
    networks: tuple[str, ...]
    whole: bool = False

    @property
    def name(self) -> str:
        """For people."""
        return f"{', '.join(c.label for c in self.entries)} with {self.condense_with}"


def parts(cells: Iterable[PublishedCell], changes: Changes) -> list[Part]:
    """Parts that hold every cell, and no set or network twice."""
    cells, found = list(cells), []
    for cell in cells:
        if cell.ipc is not None:
            made_with = _made_with(cell) or "convnet"  # which makes no difference where none takes part
            who = changes.entry(cell)
            found.append(Part(cell.protocol, made_with, (who,), (cell.ipc,), (cell.network,)))
    for several in ("networks", "budgets", "entries"):
        found = _joined(found, several)
    for cell in cells:
        fitting = [p for p in found if p.networks == (cell.network,) and p.protocol == cell.protocol]
        if cell.method == WHOLE and fitting and not any(p.whole for p in fitting):
            largest = max(fitting, key=lambda p: max(p.budgets))  # its sets decide for how long
            found[found.index(largest)] = replace(largest, whole=True)
    return found


def place(cell: PublishedCell, changes: Changes) -> tuple[object, ...]:
    """What tells the measurement of a cell from others: subject, budget, made with, tested on, protocol."""
    if cell.method == WHOLE:
        return (WHOLE, None, None, cell.network, cell.protocol)
    return (changes.entry(cell).label, cell.ipc, _made_with(cell), cell.network, cell.protocol)


def _made_with(cell: PublishedCell) -> str | None:
    """The architecture of a set; where a paper names none for a selection, the one that is trained on it."""
    return (cell.condensed_with or cell.network) if Entry("", cell.method).uses_network else None


def _joined(parts: Iterable[Part], several: str) -> list[Part]:
    """Those together that differ in nothing but `several`."""
    found: dict[str, Part] = {}
    for part in parts:
        key = repr(replace(part, **{several: ()}))
        known = getattr(found[key], several) if key in found else ()
        new = (value for value in getattr(part, several) if value not in known)
        found[key] = replace(part, **{several: (*known, *new)})
    return list(found.values())
