"""Figures that show something else than accuracy: what diagnostics find on sets, and its share of each cell."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from condensery import artifact
from condensery.comparison.reports import Comparison
from condensery.diagnostics import alignment, magnitudes, velocity
from condensery.methods import get_method
from condensery.published import PublishedCell
from condensery.recipes.catalog import Recipe
from condensery.recipes.output import ReproducedCell, Value
from condensery.recipes.plans import ALIGNMENT, VELOCITY, Changes
from condensery.records import ImageData, SyntheticSet
from condensery.runner import condense


def diagnosed(
    recipe: Recipe, changes: Changes, images: ImageData, done: Sequence[Comparison], device: str
) -> tuple[list[ReproducedCell], list[dict[str, Any]]]:
    """Each cell with what a diagnostic says of the sets of its row, and the findings behind them."""
    findings: dict[tuple[str, str], dict[str, Any]] = {}
    cells = []
    for cell in recipe.cells:
        key = (cell.row, cell.network)
        if key not in findings:
            velocities = recipe.quantity == VELOCITY
            sets = _begun(cell, changes, images, recipe, device) if velocities else _made(cell, changes, done)
            if sets:
                findings[key] = _measure(recipe, changes, images, sets, cell.network, device)
        cells.append(ReproducedCell(cell, _value(cell, findings[key]) if key in findings else None))
    return cells, list(findings.values())


def _begun(
    cell: PublishedCell, changes: Changes, images: ImageData, recipe: Recipe, device: str
) -> list[SyntheticSet]:
    """Sets after one update, whose records say how a cell's sets are made."""
    method = get_method(cell.method, **changes.entry(cell).fields)
    made: dict[str, Any] = {"ipc": cell.ipc, "network": cell.condensed_with, "steps": 1, "device": device}
    return [condense(images, method, seed=seed, **made) for seed in range(changes.count(recipe.sets))]


def _made(cell: PublishedCell, changes: Changes, done: Iterable[Comparison]) -> list[SyntheticSet]:
    """The sets of a cell that are there."""
    wanted = (changes.entry(cell).label, cell.ipc)
    made = [(one.files, job) for one in done for job in one.sets if (job.label, job.record["ipc"]) == wanted]
    return [artifact.load(files.set_folder(job)) for files, job in made if files.is_done(job)]


def _measure(
    recipe: Recipe,
    changes: Changes,
    images: ImageData,
    sets: Sequence[SyntheticSet],
    network: str,
    device: str,
) -> dict[str, Any]:
    """What the diagnostic of the figure finds on sets with a network."""
    where: dict[str, Any] = {"network": network, "device": device}
    if recipe.quantity == VELOCITY:
        return velocity.measure(images, sets, steps=changes.measured_updates(), **where)
    if recipe.quantity == ALIGNMENT:
        return alignment.measure(images, sets, networks=changes.count(recipe.networks), **where)
    return magnitudes.measure(images, sets, **where)


def _value(cell: PublishedCell, finding: dict[str, Any]) -> Value | None:
    """What a finding says of a cell such as "alignment with VGG"; None where nothing was measured."""
    word = cell.column.partition(" with ")[0]
    found = finding["at_new_network" if word == "new network" else word]
    return found and Value(found["mean"], found["std"], found["n"], len(finding["set_seeds"]))
