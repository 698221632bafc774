"""Figures that show something else than accuracy: which diagnostics measure them, and with what."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from condensery.diagnostics import alignment, magnitudes, velocity
from condensery.methods import get_method
from condensery.published import PublishedCell
from condensery.recipes.book import VELOCITY
from condensery.recipes.filled import Filled, Value
from condensery.recipes.shrinking import Changes
from condensery.records import ImageData, SyntheticSet
from condensery.runner import condense

_SUMMARIES = {"new network": "at_new_network", "elsewhere": "elsewhere"}

Sets = Sequence[SyntheticSet]


def begun(cell: PublishedCell, images: ImageData, changes: Changes, seeds: int, device: str) -> Sets:
    """Sets after one update, whose records say how a cell's sets are made."""
    contender = changes.contender(cell)
    method = get_method(contender.method, **contender.fields)
    network, ipc = cell.condensed_with or "convnet", cell.ipc or 1
    return [
        condense(images, method, ipc=ipc, network=network, steps=1, seed=seed, device=device)
        for seed in range(seeds)
    ]


def measure(
    quantity: str, cell: PublishedCell, images: ImageData, sets: Sets, changes: Changes, device: str
) -> dict[str, Any]:
    """What the diagnostics find on the sets of a cell's row, with its network."""
    return _MEASURES[quantity](cell.network, images, sets, changes, device)


def filled(cell: PublishedCell, finding: dict[str, Any]) -> Filled:
    """The cell with its share of the finding."""
    word = cell.column.partition(" with ")[0]
    found = finding[_SUMMARIES.get(word, word)]
    return Filled(cell, found and Value(found["mean"], found["std"], found["n"], len(finding["set_seeds"])))


def _alignment(network: str, images: ImageData, sets: Sets, changes: Changes, device: str) -> dict[str, Any]:
    return alignment.measure(images, sets, network=network, device=device, networks=changes.count(3))


def _magnitudes(network: str, images: ImageData, sets: Sets, changes: Changes, device: str) -> dict[str, Any]:
    return magnitudes.measure(images, sets, network=network, device=device)


def _velocity(network: str, images: ImageData, sets: Sets, changes: Changes, device: str) -> dict[str, Any]:
    return velocity.measure(images, sets, network=network, device=device, steps=changes.measured_updates())


_MEASURES: dict[str, Callable[[str, ImageData, Sets, Changes, str], dict[str, Any]]] = {
    "alignment and uniformity": _alignment,
    "gradient magnitudes": _magnitudes,
    VELOCITY: _velocity,
}
