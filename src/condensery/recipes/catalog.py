"""The recipes: every table and figure of the papers that can be filled here, what that takes, and on which images."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from condensery.coresets import SELECTORS
from condensery.data import KNOWN_SETS
from condensery.data.sources import at_hand
from condensery.errors import BadInput, did_you_mean
from condensery.methods import METHODS, get_method
from condensery.published import ACCURACY, WHOLE, PublishedTable, tables

Recipe = PublishedTable
"""A table is its own recipe: its cells say what is made and how it is judged, its counts how often."""


NETWORKS = 720
"""Of the papers' searches."""


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
    if recipe.study:
        return _cost_of_study(recipe, recipe.study)
    cells = [cell for cell in recipe.cells if cell.method != WHOLE]
    made = {(c.method, c.fields, c.ipc, c.condensed_with) for c in cells}
    tested = {(c.method, c.fields, c.ipc, c.condensed_with, c.network, c.protocol, c.own) for c in cells}
    steps = [get_method(name, **dict(f)).steps(ipc or 1) for name, f, ipc, _ in made if name in METHODS]
    networks = recipe.networks * len(tested) if recipe.quantity == ACCURACY else len(made)
    return Cost(recipe.sets * len(made), recipe.sets * sum(steps), recipe.sets * networks)


def _cost_of_study(recipe: Recipe, study: Mapping[str, Any]) -> Cost:
    """Of a stream: the sets of each step, for each order; of a search: networks on proxies."""
    made = {c.method: c.ipc or 1 for c in recipe.cells if c.method in (*METHODS, *SELECTORS)}
    updates = sum(get_method(name).steps(ipc) for name, ipc in made.items() if name in METHODS)
    columns = len({cell.method for cell in recipe.cells} - {WHOLE})
    if study["kind"] == "search":
        return Cost(len(made), updates, NETWORKS * columns * study["repeats"])
    steps = study.get("tasks", len(study["data"])) * study["seeds"]
    return Cost(steps * len(made), steps * updates, steps * columns * len(study["learners"]))


def to_json(recipe: Recipe) -> dict[str, Any]:
    """What it is and takes, as plain values."""
    names = ("name", "title", "source", "quantity", "differs", "data", "rows", "columns")
    return {
        **{name: getattr(recipe, name) for name in names},
        **({"all_data": recipe.all_data} if recipe.study else {}),
        "cells": len(recipe.cells),
        "sets_per_cell": recipe.sets,
        "networks_per_set": recipe.networks,
        "published_cost": vars(cost(recipe)),
    }


# ---- their images

_FINE_GRAINED = "imagenet32-"
_ELSEWHERE = {
    "usps": "usps.bz2 and usps.t.bz2 from the multiclass sets of LIBSVM",
    "gtsrb": "the German Traffic Sign Recognition Benchmark, benchmark.ini.rub.de",
}


def find_images(name: str, given: str | None) -> str:
    """What `condensery.load_images` reads for the set called `name`.

    Args:
        name: of a known set, or of one of the fine-grained subsets of ImageNet in the DCC paper.
        given: what the user gave: any source, or a folder that holds sets by name; None for what is at hand.

    Raises:
        BadInput: it is not at hand; names it, where it comes from and how to give it.
    """
    if given is not None:
        folder = Path(given).expanduser()
        if (folder / name).is_dir():
            return str(folder / name)
        others = sorted(known for known in KNOWN_SETS if (folder / known).is_dir())
        if others:
            raise BadInput(
                f"{given} holds {', '.join(others)} but no folder {name}: put the images there ({where_from(name)}), "
                "or give their own folder with --data"
            )
        return given
    here = Path(os.environ.get("CONDENSERY_DATA") or "/nowhere").expanduser() / name
    if name in KNOWN_SETS and at_hand(name):
        return name
    if name not in KNOWN_SETS and here.is_dir():
        return str(here)
    raise BadInput(
        f"the images of {name} are not here ({where_from(name)}): set CONDENSERY_DATA to a folder that holds {name}/, "
        f"or give --data {_example(name)}"
    )


def is_here(name: str) -> bool:
    """Whether the set called `name` is at hand."""
    try:
        find_images(name, None)
    except BadInput:
        return False
    return True


def where_from(name: str) -> str:
    """Where a set can be had."""
    if name in KNOWN_SETS:
        return f"{KNOWN_SETS[name].hub_id} on the Hugging Face Hub" if KNOWN_SETS[name].hub_id else "bundled"
    if name in _ELSEWHERE:
        return _ELSEWHERE[name]
    subset = name.removeprefix(_FINE_GRAINED)
    return f"the classes of {subset!r} in Table 6 of the DCC paper, from ImageNet at 32x32 on image-net.org"


def _example(name: str) -> str:
    return f"PATH, or --data {name} to fetch it from the Hub" if name in KNOWN_SETS else "PATH"
