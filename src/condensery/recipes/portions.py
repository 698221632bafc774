"""The cells of a recipe as rectangles, each of which one call of `compare` fills.

A comparison is a product of contenders, budgets and networks by one protocol, and few tables of the papers are: here
MLPs learn their images at another rate, there two methods are judged by two protocols. Whatever several cells share
(a set on which many networks are trained, say) is in one rectangle, or found in the folder by its key.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, replace

from condensery.comparison.jobs import Entry
from condensery.published import PublishedCell
from condensery.recipes.shrinking import Changes, is_whole

_DEFAULT = "convnet"  # for selections that no network takes part in, where it changes nothing


@dataclass(frozen=True)
class Portion:
    """One call of `compare`.

    Attributes:
        protocol: its name.
        contenders, budgets, networks: every combination is a cell.
        condense_with: the architecture of the sets.
        whole: train on the whole training set too.
    """

    protocol: str
    contenders: tuple[Entry, ...]
    budgets: tuple[int, ...]
    condense_with: str
    networks: tuple[str, ...]
    whole: bool = False

    @property
    def name(self) -> str:
        """For people."""
        return f"{', '.join(c.label for c in self.contenders)} with {self.condense_with}"


def portions(cells: Iterable[PublishedCell], changes: Changes) -> list[Portion]:
    """Rectangles that hold every cell, and no set or network twice."""
    cells = list(cells)
    found = _merged(_networks_together(cells, changes))
    for cell in cells:
        if is_whole(cell):
            _add_whole(found, cell)
    return found


def _networks_together(cells: Iterable[PublishedCell], changes: Changes) -> list[Portion]:
    """One portion for each set: all networks that are trained on it."""
    networks: dict[tuple[str, str, int], dict[str, None]] = defaultdict(dict)
    contenders: dict[tuple[str, str, int], tuple[str, Entry]] = {}
    for cell in cells:
        if is_whole(cell) or cell.ipc is None:
            continue
        contender = changes.contender(cell)
        made_with = _made_with(cell, contender) or _DEFAULT
        key = (f"{cell.protocol} {made_with}", contender.label, cell.ipc)
        networks[key].setdefault(cell.network)
        contenders[key] = (made_with, contender)
    return [
        Portion(key[0].split()[0], (contenders[key][1],), (key[2],), contenders[key][0], tuple(tested))
        for key, tested in networks.items()
    ]


def _merged(single: Iterable[Portion]) -> list[Portion]:
    """Budgets of one contender together, then contenders with the same budgets."""
    by_contender: dict[tuple[object, ...], Portion] = {}
    for one in single:
        key = (one.protocol, one.contenders[0].label, one.condense_with, one.networks)
        known = by_contender.get(key)
        by_contender[key] = replace(known, budgets=known.budgets + one.budgets) if known else one
    by_budgets: dict[tuple[object, ...], Portion] = {}
    for one in by_contender.values():
        key = (one.protocol, one.budgets, one.condense_with, one.networks)
        known = by_budgets.get(key)
        by_budgets[key] = replace(known, contenders=known.contenders + one.contenders) if known else one
    return list(by_budgets.values())


def _add_whole(found: list[Portion], cell: PublishedCell) -> None:
    """Let one portion of the cell's network and protocol, the one with the largest sets, do it too."""
    fitting = [p for p in found if p.networks == (cell.network,) and p.protocol == cell.protocol]
    if fitting and not any(p.whole for p in fitting):
        largest = max(fitting, key=lambda p: max(p.budgets))
        found[found.index(largest)] = replace(largest, whole=True)


def place(cell: PublishedCell, changes: Changes) -> tuple[object, ...]:
    """What tells the measurement of a cell from others: label, budget, made with, tested on, protocol."""
    if is_whole(cell):
        return ("whole", None, None, cell.network, cell.protocol)
    contender = changes.contender(cell)
    return (contender.label, cell.ipc, _made_with(cell, contender), cell.network, cell.protocol)


def _made_with(cell: PublishedCell, contender: Entry) -> str | None:
    """The architecture of a set; where a paper names none for a selection, the one that is trained on it."""
    return (cell.condensed_with or cell.network) if contender.uses_network else None
