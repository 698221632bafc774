"""A table as plans of comparisons, what `--scale` and `--set` change of it, and the lines that say so.

A comparison is a product of entries, budgets and networks by one protocol, and few tables of the papers are: here
MLPs learn their images at another rate, there two methods are judged by two protocols. So a table has several plans.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from condensery.budgets import mean
from condensery.comparison.entries import entries, field_names, require_known, settings_of
from condensery.comparison.plan import Entry, Plan
from condensery.errors import BadInput
from condensery.evaluation import OWN, get_protocol
from condensery.methods import METHODS, get_method
from condensery.published import ACCURACY, WHOLE, PublishedCell
from condensery.recipes.catalog import Recipe
from condensery.records import ImageData
from condensery.text import count

VELOCITY, ALIGNMENT = "kernel velocity", "alignment and uniformity"
VELOCITY_STEPS = 50  # measured updates: the horizontal axis of the DCC paper's Figure 4
_NETWORK_LASTS = 10  # updates, in DC and DCC with the 10 images per class of the figure
_COUNTS_OF_NETWORKS = ("outer_warmup", "trained_networks")
"""Fields that go down with the number of networks of a run, or a short one would be all warm-up or preparation."""


@dataclass(frozen=True)
class Changes:
    """What a run of a recipe changes of what is published.

    Attributes:
        scale: times the published steps, sets and networks.
        settings: fields of methods, "field" or "method.field", which wins.
    """

    scale: float = 1.0
    settings: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not 0 < self.scale < math.inf:
            raise BadInput(f"--scale must be more than 0, not {self.scale:g}")

    def count(self, published: int) -> int:
        """A published number, scaled; at least 1."""
        return max(1, round(published * self.scale))

    def entry(self, cell: PublishedCell) -> Entry:
        """Who makes the set of a cell, labelled by what tells it from others of its table."""
        label = " ".join([cell.method, *(f"{name}={value}" for name, value in cell.fields)])
        by_hand = settings_of(cell.method, cell.method, self.settings) if cell.method in METHODS else {}
        return Entry(label, cell.method, {**dict(cell.fields), **self._fewer_networks(cell), **by_hand})

    def measured_updates(self) -> int:
        """Updates along which a velocity is measured; it is a difference, so two at least."""
        return max(2, self.count(VELOCITY_STEPS))

    def lines(self, recipe: Recipe) -> tuple[str, ...]:
        """What differs from the published run, a line each; none if nothing does.

        Raises:
            BadInput: there is a setting that no method of the recipe has.
        """
        require_known(self.settings, {c.method: c.method for c in recipe.cells if c.method in METHODS})
        by_hand = [f"set by hand: {name} = {value}" for name, value in self.settings.items()]
        shorter = ", ".join(dict.fromkeys(self._shorter(recipe)))
        return (*by_hand, f"scale {self.scale:g}: {shorter}") if shorter else tuple(by_hand)

    def _shorter(self, recipe: Recipe) -> Iterator[str]:
        """ "dc 1,000 -> 10 steps at 1 per class", "outer_warmup 250 -> 2", "5 -> 1 set", ..."""
        condensing = [cell for cell in recipe.cells if cell.method in METHODS]
        for cell in condensing:
            all_fields = (dict(cell.fields), self.entry(cell).fields)
            published, here = (get_method(cell.method, **f).steps(cell.ipc or 1) for f in all_fields)
            if recipe.quantity != VELOCITY and published != self.count(here):
                yield f"{cell.method} {published:,} -> {count(self.count(here), 'step')} at {cell.ipc} per class"
        if recipe.quantity == VELOCITY and self.scale != 1:
            updates = self.measured_updates()
            rare = ", too few for a new network to begin among them" if updates <= _NETWORK_LASTS else ""
            yield f"{VELOCITY_STEPS} -> {updates} measured updates{rare}"
        for cell in condensing:
            for name, value in self._fewer_networks(cell).items():
                yield f"{name} {getattr(get_method(cell.method), name)} -> {value}"
        for published, noun, each in ((recipe.sets, "set", ""), (recipe.networks, "network", " on each")):
            if self.count(published) != published:
                yield f"{published} -> {count(self.count(published), noun)}{each}"

    def _fewer_networks(self, cell: PublishedCell) -> dict[str, int]:
        """Counts of networks that the scale shrinks, unless they play no part or the table sets them."""
        own, known = dict(cell.fields), field_names(cell.method) if cell.method in METHODS else ()
        if self.scale == 1 or own.get("warmup") in ("none", "simple"):
            return {}
        plays = {name for name in _COUNTS_OF_NETWORKS if name != "trained_networks" or "weights" in own}
        names = [name for name in _COUNTS_OF_NETWORKS if name in plays.intersection(known) - own.keys()]
        return {name: self.count(getattr(get_method(cell.method), name)) for name in names}


def plans(recipe: Recipe, changes: Changes, images: ImageData) -> list[Plan]:
    """Plans that hold every cell, and no set or network twice.

    Sets of which something else than accuracy is measured are judged by one network like that which made them. A
    velocity is measured along runs of its own, of whose sets only the record counts: no plan.
    """
    cells, networks, found = recipe.cells, changes.count(recipe.networks), []
    if recipe.quantity != ACCURACY:
        cells, networks = tuple(replace(c, network=c.condensed_with or "") for c in recipe.cells), 1
    for cell in cells:
        if cell.ipc is not None and recipe.quantity != VELOCITY:
            made_with = _made_with(cell) or "convnet"  # which makes no difference where none takes part
            one = Plan.on(
                images,
                entries=entries([changes.entry(cell)], {}, None),
                budgets=(cell.ipc,),
                condense_with=(made_with,),
                networks=(cell.network,),
                seeds=tuple(range(changes.count(recipe.sets))),
                protocol=get_protocol(cell.protocol).to_json(),
                repeats=networks,
                whole=False,
                whole_repeats=networks,
                scale=None if changes.scale == 1 else changes.scale,
            )
            found.append(one)
    for several in ("networks", "budgets", "entries"):
        found = _joined(found, several)
    for cell in cells:
        fitting = [p for p in found if (p.networks, p.protocol["name"]) == ((cell.network,), cell.protocol)]
        if cell.method == WHOLE and fitting and not any(p.whole for p in fitting):
            largest = max(fitting, key=lambda p: max(map(mean, p.budgets)))  # its sets decide for how long
            found[found.index(largest)] = replace(largest, whole=True)
    return found


def place(cell: PublishedCell, changes: Changes) -> tuple[object, ...]:
    """What tells the measurement of a cell from others: subject, budget, made with, tested on, and judged how."""
    if cell.method == WHOLE:
        return (WHOLE, None, None, cell.network, cell.protocol)
    judged = OWN if cell.own else cell.protocol
    return (changes.entry(cell).label, cell.ipc, _made_with(cell), cell.network, judged)


def _made_with(cell: PublishedCell) -> str | None:
    """The architecture of a set; where a paper names none for a selection, the one that is trained on it."""
    return (cell.condensed_with or cell.network) if Entry("", cell.method).uses_network else None


def _joined(plans: Iterable[Plan], several: str) -> list[Plan]:
    """Those together that differ in nothing but `several`."""
    found: dict[str, Plan] = {}
    for plan in plans:
        key = repr(replace(plan, **{several: ()}))
        known = getattr(found[key], several) if key in found else ()
        new = (value for value in getattr(plan, several) if value not in known)
        found[key] = replace(plan, **{several: (*known, *new)})
    return list(found.values())
