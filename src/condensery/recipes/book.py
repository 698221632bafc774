"""The recipes: one for each table of the papers that these methods can fill, and what filling it takes."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

from condensery.errors import BadInput, did_you_mean
from condensery.methods import METHODS, get_method
from condensery.published import WHOLE, PublishedCell, tables

SETS, NETWORKS = 5, 20
"""What all papers report: sets with different seeds, and networks trained on each."""
ACCURACY = "test accuracy in %"
VELOCITY = "kernel velocity"
"""Measured along runs of its own, over `VELOCITY_STEPS` updates: of a set only the record counts."""
VELOCITY_STEPS = 50  # the horizontal axis of the DCC paper's Figure 4


@dataclass(frozen=True)
class Recipe:
    """A table of a paper, and how to fill it.

    Attributes:
        name: what the command line calls it.
        title: what the table compares.
        source: paper and table.
        data: the image set that it needs, by name.
        cells: row by row; each says what is published and how to get ours.
        sets, networks: as published.
        quantity: what is measured; all but accuracy is measured by `condensery.diagnostics`.
    """

    name: str
    title: str
    source: str
    data: str
    cells: tuple[PublishedCell, ...]
    sets: int = SETS
    networks: int = NETWORKS
    quantity: str = ACCURACY

    @property
    def rows(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(cell.row for cell in self.cells))

    @property
    def columns(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(cell.column for cell in self.cells))

    def at(self, row: str, column: str) -> PublishedCell | None:
        """The cell there, None where the table has none."""
        found = (cell for cell in self.cells if (cell.row, cell.column) == (row, column))
        return next(found, None)

    def only(self, rows: Sequence[str], columns: Sequence[str]) -> Recipe:
        """This recipe with some rows and columns, in any case of letters; none given keeps all.

        Raises:
            BadInput: there is no such row or column, or no cell where they meet.
        """
        kept_rows = _chosen("row", rows, self.rows)
        kept_columns = _chosen("column", columns, self.columns)
        cells = tuple(c for c in self.cells if c.row in kept_rows and c.column in kept_columns)
        if not cells:
            raise BadInput(
                f"{self.name} has no cell in row {', '.join(rows)} and column {', '.join(columns)}"
            )
        return replace(self, cells=cells)


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


@cache
def recipes() -> dict[str, Recipe]:
    """Every recipe by name, in the order of the papers."""
    found = [Recipe(t.name, t.title, t.source, t.cells[0].data, t.cells) for t in tables()]
    return {recipe.name: recipe for recipe in [*found, *_figures()]}


def _figures() -> list[Recipe]:
    """Figures without numbers that show something else than accuracy; networks of a cell are those that measure."""
    norms, pairs, turns = ("real", "synthetic"), ("alignment", "uniformity"), ("new network", "elsewhere")
    without = (("augmentation", "none"),)
    magnitudes = [
        _drawn(row, column, "dsa", fields, 10, "convnet")
        for row, fields in (("without DSA", without), ("with DSA", ()))
        for column in norms
    ]
    points = [
        _drawn(method.upper(), f"{loss} with {label}", method, (), 50, network)
        for method in ("dc", "dcc")
        for label, network in (("ResNet", "resnet18"), ("VGG", "vgg11"))
        for loss in pairs
    ]
    cold = {"dc": (), "dcc": (("warmup", "none"),)}
    velocities = [
        _drawn(method.upper(), column, method, cold[method], 10, "convnet")
        for method in ("dc", "dcc")
        for column in turns
    ]
    return [
        Recipe(
            "dsa-gradient-magnitudes",
            "Norms of the loss gradient on real and synthetic images, while a network trains on the set",
            *("thesis, Figure 4.5", "cifar10", tuple(magnitudes)),
            networks=1,
            quantity="gradient magnitudes",
        ),
        Recipe(
            "dcc-alignment-uniformity",
            "Alignment and uniformity of the features of synthetic images (lower is better)",
            *("DCC paper, Figure 6", "cifar10", tuple(points)),
            networks=3,
            quantity="alignment and uniformity",
        ),
        Recipe(
            "dcc-kernel-velocity",
            "Kernel velocity from an update to the next, where a new network begins and elsewhere",
            *("DCC paper, Figure 4", "cifar10", tuple(velocities)),
            networks=1,
            quantity=VELOCITY,
        ),
    ]


def _drawn(
    row: str, column: str, method: str, fields: tuple[tuple[str, Any], ...], ipc: int, network: str
) -> PublishedCell:
    """A cell of a figure: nothing in it can be read off as a number."""
    return PublishedCell(row, column, "cifar10", method, fields, ipc, "convnet", network, "dc-2021", None)


def get_recipe(name: str) -> Recipe:
    """The recipe called `name`, in any case of letters. Raises BadInput if there is none."""
    known = recipes()
    if name.lower() not in known:
        raise BadInput(
            f"unknown recipe {name!r}{did_you_mean(name, known)}; condense reproduce list shows all {len(known)}"
        )
    return known[name.lower()]


def cost(recipe: Recipe) -> Cost:
    """Counts of the published run; sets and networks that several cells share count once."""
    made = {(c.method, c.fields, c.ipc, c.condensed_with) for c in recipe.cells if c.method != WHOLE}
    tested = {
        (c.method, c.fields, c.ipc, c.condensed_with, c.network, c.protocol)
        for c in recipe.cells
        if c.method != WHOLE
    }
    updates = sum(
        get_method(method, **dict(fields)).steps(ipc or 1)
        for method, fields, ipc, _ in made
        if method in METHODS
    )
    networks = recipe.networks * len(tested) if recipe.quantity == ACCURACY else len(made)
    return Cost(recipe.sets * len(made), recipe.sets * updates, recipe.sets * networks)


def _chosen(kind: str, asked: Sequence[str], there: Iterable[str]) -> tuple[str, ...]:
    by_lower = {label.lower(): label for label in there}
    for label in asked:
        if label.lower() not in by_lower:
            raise BadInput(
                f"there is no {kind} {label!r}; there are {', '.join(by_lower.values())}"
                f"{did_you_mean(label, by_lower)}"
            )
    return tuple(by_lower[label.lower()] for label in asked) or tuple(by_lower.values())
