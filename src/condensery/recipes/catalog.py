"""The recipes: every table and figure of the papers that can be filled here, by name, and what filling it takes."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Any

from condensery.errors import BadInput, did_you_mean
from condensery.methods import METHODS, get_method
from condensery.published import ACCURACY, WHOLE, PublishedTable, tables

Recipe = PublishedTable
"""A table is its own recipe: its cells say what is made and how it is judged, its counts how often."""


@cache
def recipes() -> dict[str, Recipe]:
    """Every recipe by name, in the order of the papers."""
    return {table.name: table for table in tables()}


def get_recipe(name: str) -> Recipe:
    """The recipe called `name`, in any case of letters. Raises BadInput if there is none."""
    known = recipes()
    if name.lower() not in known:
        raise BadInput(
            f"unknown recipe {name!r}{did_you_mean(name, known)}; condense reproduce list shows all {len(known)}"
        )
    return known[name.lower()]


@dataclass(frozen=True)
class Cost:
    """What filling a recipe takes as published: counted, not measured.

    Attributes:
        sets: to make or to select.
        updates: of all sets together.
        networks: to train and test; those on the whole training set not among them.
    """

    sets: int
    updates: int
    networks: int


def cost(recipe: Recipe) -> Cost:
    """Counts of the published run; sets and networks that several cells share count once."""
    cells = [cell for cell in recipe.cells if cell.method != WHOLE]
    made = {(c.method, c.fields, c.ipc, c.condensed_with) for c in cells}
    tested = {(c.method, c.fields, c.ipc, c.condensed_with, c.network, c.protocol) for c in cells}
    steps = [get_method(name, **dict(f)).steps(ipc or 1) for name, f, ipc, _ in made if name in METHODS]
    networks = recipe.networks * len(tested) if recipe.quantity == ACCURACY else len(made)
    return Cost(recipe.sets * len(made), recipe.sets * sum(steps), recipe.sets * networks)


def to_json(recipe: Recipe) -> dict[str, Any]:
    """What it is and takes, as plain values."""
    names = ("name", "title", "source", "quantity", "data", "rows", "columns")
    return {
        **{name: getattr(recipe, name) for name in names},
        "cells": len(recipe.cells),
        "sets_per_cell": recipe.sets,
        "networks_per_set": recipe.networks,
        "published_cost": vars(cost(recipe)),
    }
