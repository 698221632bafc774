"""What `--scale` and `--set` change of a published run, and the lines that say so beside every number."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from condensery.comparison.jobs import Entry
from condensery.errors import BadInput, did_you_mean
from condensery.methods import METHODS, get_method
from condensery.published import PublishedCell
from condensery.recipes.catalog import Recipe
from condensery.text import count

VELOCITY = "kernel velocity"
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
        fields = {**dict(cell.fields), **self._fewer_networks(cell)}
        for name, value in sorted(self.settings.items(), key=lambda item: "." in item[0]):
            method, _, key = name.rpartition(".")
            if method in ("", cell.method) and key in _field_names(cell.method):
                fields[key] = value
        return Entry(label, cell.method, fields)

    def measured_updates(self) -> int:
        """Updates along which a velocity is measured; it is a difference, so two at least."""
        return max(2, self.count(VELOCITY_STEPS))

    def require_known(self, recipe: Recipe) -> None:
        """Raises BadInput for a setting that no method of the recipe has."""
        methods = list(dict.fromkeys(cell.method for cell in recipe.cells if cell.method in METHODS))
        for name in self.settings:
            method, _, key = name.rpartition(".")
            if method and method not in methods:
                raise BadInput(
                    f"--set {name}: {recipe.name} has no method {method!r}; it has {', '.join(methods)}"
                    f"{did_you_mean(method, methods)}"
                )
            known = [key for one in ([method] if method else methods) for key in _field_names(one)]
            if key not in known:
                raise BadInput(
                    f"--set {name}: no method of {recipe.name} has a field {key!r}{did_you_mean(key, known)}"
                )

    def lines(self, recipe: Recipe) -> tuple[str, ...]:
        """What differs from the published run, a line each; none if nothing does."""
        by_hand = [f"set by hand: {name} = {value}" for name, value in self.settings.items()]
        shorter = ", ".join(dict.fromkeys(self._shorter(recipe)))
        return (*by_hand, f"scale {self.scale:g}: {shorter}") if shorter else tuple(by_hand)

    def _shorter(self, recipe: Recipe) -> Iterator[str]:
        """ "dc 1,000 -> 10 steps at 1 per class", "outer_warmup 250 -> 2", "5 -> 1 set", ..."""
        condensing = [cell for cell in recipe.cells if cell.method in METHODS]
        for cell in condensing if recipe.quantity != VELOCITY else ():
            published, here = _steps(cell.method, cell.fields, cell.ipc), self._steps(cell)
            if published != here:
                yield f"{cell.method} {published:,} -> {count(here, 'step')} at {cell.ipc} per class"
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

    def _steps(self, cell: PublishedCell) -> int:
        """Updates that a run makes for a set of the cell."""
        return self.count(_steps(cell.method, self.entry(cell).fields, cell.ipc))

    def _fewer_networks(self, cell: PublishedCell) -> dict[str, int]:
        """Counts of networks that the scale shrinks, unless they play no part or the table sets them."""
        own = dict(cell.fields)
        if self.scale == 1 or own.get("warmup") in ("none", "simple"):
            return {}
        names = [n for n in _COUNTS_OF_NETWORKS if n in _field_names(cell.method) and n not in own]
        if "weights" not in own:
            names = [name for name in names if name != "trained_networks"]
        return {name: self.count(getattr(get_method(cell.method), name)) for name in names}


def _steps(method: str, fields: Any, ipc: int | None) -> int:
    return get_method(method, **dict(fields)).steps(ipc or 1)


def _field_names(method: str) -> list[str]:
    return list(METHODS[method].__dataclass_fields__) if method in METHODS else []
