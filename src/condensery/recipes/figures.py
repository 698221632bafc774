"""Figures that show something else than accuracy: which diagnostic measures them, and its share of a cell."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from condensery.diagnostics import alignment, magnitudes, velocity
from condensery.published import PublishedCell
from condensery.recipes.catalog import Recipe
from condensery.recipes.changes import VELOCITY, Changes
from condensery.recipes.reproduction import Value
from condensery.records import ImageData, SyntheticSet


def cells_to_make(recipe: Recipe) -> list[PublishedCell]:
    """The cells whose sets are compared, judged by the network that made them. A velocity is measured along runs of
    its own, of whose sets only the record counts: none."""
    return (
        []
        if recipe.quantity == VELOCITY
        else [replace(c, network=c.condensed_with or "") for c in recipe.cells]
    )


def measure(
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
    if recipe.quantity == "alignment and uniformity":
        return alignment.measure(images, sets, networks=changes.count(recipe.networks), **where)
    return magnitudes.measure(images, sets, **where)


def value(cell: PublishedCell, finding: dict[str, Any]) -> Value | None:
    """What a finding says of a cell such as "alignment with VGG"; None where nothing was measured."""
    word = cell.column.partition(" with ")[0]
    found = finding["at_new_network" if word == "new network" else word]
    return found and Value(found["mean"], found["std"], found["n"], len(finding["set_seeds"]))
