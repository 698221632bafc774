"""What `--scale` and `--set` change of a recipe, and the lines that say so beside every number."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from condensery.comparison.jobs import Entry
from condensery.errors import BadInput, did_you_mean
from condensery.methods import METHODS, get_method
from condensery.published import WHOLE, PublishedCell
from condensery.recipes.book import VELOCITY, VELOCITY_STEPS, Recipe
from condensery.words import count

_NETWORK_LASTS = 10  # updates, in DC and DCC with the 10 images per class of the figure
_COUNTS_OF_NETWORKS = ("outer_warmup", "trained_networks")
"""Fields that go down with the number of networks of a run, or a short one would be all warm-up or preparation."""


@dataclass(frozen=True)
class Changes:
    """What a run of a recipe changes of what is published.

    Attributes:
        scale: times the published steps, sets and networks.
        settings: fields of methods, "field" or "method.field".
    """

    scale: float = 1.0
    settings: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not 0 < self.scale < math.inf:
            raise BadInput(f"--scale must be more than 0, not {self.scale:g}")

    def count(self, published: int) -> int:
        """A published number, scaled; at least 1."""
        return max(1, round(published * self.scale))

    def contender(self, cell: PublishedCell) -> Entry:
        """Who makes the set of a cell, labelled by what tells it from others of its table."""
        label = " ".join([cell.method, *(f"{name}={value}" for name, value in cell.fields)])
        fields = dict(cell.fields)
        if cell.method in METHODS:
            fields |= self._scaled_fields(cell.method, fields) | self._set_fields(cell.method)
        return Entry(label, cell.method, fields)

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

    def steps(self, cell: PublishedCell) -> int:
        """Updates that a run makes for a set of the cell."""
        fields = self.contender(cell).fields
        return self.count(get_method(cell.method, **fields).steps(cell.ipc or 1))

    def lines(self, recipe: Recipe) -> tuple[str, ...]:
        """What differs from the published run, a line each; none if nothing does."""
        lines = [f"set by hand: {name} = {value}" for name, value in self.settings.items()]
        shorter = [*self._shorter_runs(recipe), *self._fewer_networks(recipe)]
        sets, networks = self.count(recipe.sets), self.count(recipe.networks)
        if sets != recipe.sets:
            shorter.append(f"{recipe.sets} -> {count(sets, 'set')}")
        if networks != recipe.networks:
            shorter.append(f"{recipe.networks} -> {count(networks, 'network')} on each")
        return (*lines, f"scale {self.scale:g}: {', '.join(shorter)}") if shorter else tuple(lines)

    def _shorter_runs(self, recipe: Recipe) -> list[str]:
        """["dc 1,000 -> 10 steps at 1 per class", ...]"""
        if recipe.quantity == VELOCITY:
            return [] if self.scale == 1 else [self._fewer_updates()]
        found: dict[str, None] = {}
        for cell in recipe.cells:
            if cell.method in METHODS:
                published, here = published_steps(cell), self.steps(cell)
                line = f"{cell.method} {published:,} -> {count(here, 'step')} at {cell.ipc} per class"
                found |= {line: None} if published != here else {}
        return list(found)

    def measured_updates(self) -> int:
        """Updates along which a velocity is measured; it is a difference, so two at least."""
        return max(2, self.count(VELOCITY_STEPS))

    def _fewer_updates(self) -> str:
        """ "50 -> 2 measured updates, ..." """
        updates = self.measured_updates()
        rare = ", too few for a new network to begin among them" if updates <= _NETWORK_LASTS else ""
        return f"{VELOCITY_STEPS} -> {updates} measured updates{rare}"

    def _fewer_networks(self, recipe: Recipe) -> list[str]:
        """["outer_warmup 250 -> 2", ...]"""
        found: dict[str, None] = {}
        for cell in recipe.cells:
            for name, value in self._scaled_fields(cell.method, dict(cell.fields)).items():
                found[f"{name} {getattr(get_method(cell.method), name)} -> {value}"] = None
        return list(found)

    def _scaled_fields(self, method: str, fields: Mapping[str, Any]) -> dict[str, int]:
        """Counts of networks that the scale shrinks, unless they play no part or the table sets them."""
        if self.scale == 1 or method not in METHODS or fields.get("warmup") in ("none", "simple"):
            return {}
        names = [name for name in _COUNTS_OF_NETWORKS if name in _field_names(method) and name not in fields]
        if "weights" not in fields:
            names = [name for name in names if name != "trained_networks"]
        return {name: self.count(getattr(get_method(method), name)) for name in names}

    def _set_fields(self, method: str) -> dict[str, Any]:
        """Those of `settings` that this method has; "method.field" wins over "field"."""
        ordered = sorted(self.settings.items(), key=lambda item: "." in item[0])
        named = ((name.rpartition("."), value) for name, value in ordered)
        return {
            key: value
            for (owner, _, key), value in named
            if owner in ("", method) and key in _field_names(method)
        }


def published_steps(cell: PublishedCell) -> int:
    """Updates of a set as the publication makes them."""
    return get_method(cell.method, **dict(cell.fields)).steps(cell.ipc or 1)


def _field_names(method: str) -> list[str]:
    return list(METHODS[method].__dataclass_fields__) if method in METHODS else []


def is_whole(cell: PublishedCell) -> bool:
    """Whether the cell stands for training on the whole training set."""
    return cell.method == WHOLE
