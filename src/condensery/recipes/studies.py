"""Tables whose numbers come of a study: continual learning, and the search of an architecture."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np

from condensery.apps.continual.learn import continual
from condensery.apps.continual.learners import learners
from condensery.apps.continual.memories import RING
from condensery.apps.continual.outcome import Continual
from condensery.apps.search.networks import EARLY, search
from condensery.apps.search.outcome import TOP, WHOLE_SET, Ranking, Search, top_share
from condensery.errors import BadInput
from condensery.methods import METHODS, get_method
from condensery.published import WHOLE, PublishedCell
from condensery.recipes.catalog import NETWORKS, Recipe, find_images
from condensery.recipes.output import ReproducedCell, Reproduction, Value
from condensery.recipes.plans import Changes
from condensery.records import ImageData
from condensery.text import count

_COUNTS = ("steps", "balanced_steps", "epochs")  # fields of learners that a scale changes
_FEWEST = TOP  # networks of a search, however small the scale


def studied(
    recipe: Recipe,
    changes: Changes,
    data: str | Path | ImageData | None,
    out: Path,
    *,
    size: int | None,
    channels: int | None,
    data_options: Mapping[str, Any] | None,
    dry_run: bool,
    where: Mapping[str, Any],
) -> Reproduction:
    """Do the study of a recipe in a folder below `out`; see `condensery.recipes.reproduce`.

    A stream of several sets takes them by name from a folder, or as sources with commas between them.
    """
    study, decoded = recipe.study or {}, isinstance(data, ImageData)
    sources = _sources(recipe, data)
    names = [str(one) if isinstance(one, str | Path) else one.source for one in sources]
    remarks = [*changes.lines(recipe)]
    if shorter := ", ".join(_shorter(recipe, changes)):
        remarks.append(f"scale {changes.scale:g}: {shorter}")
    if tuple(Path(name).name for name in names) != recipe.all_data:
        remarks.append(f"the images are {', '.join(names)}, not {', '.join(recipe.all_data)}")
    for line in remarks:
        where["announce"](f"not as published: {line}")
    common = {
        "out": out / "study",
        "ipc": recipe.cells[0].ipc,
        "steps": _updates(recipe, changes),
        "augmentation": study["augmentation"] if "augmentation" in study else "auto",
        "size": size or (None if decoded else study.get("size")),
        "channels": channels or (None if decoded else study.get("channels")),
        "data_options": data_options,
        "dry_run": dry_run,
        **where,
    }
    cells: list[ReproducedCell]
    if study["kind"] == "continual":
        found = _continual(recipe, changes, sources, common)
        cells = [ReproducedCell(cell, _of_stream(cell, changes, found)) for cell in recipe.cells]
    else:
        found = _search(recipe, changes, sources[0], common)
        cells = [ReproducedCell(cell, _of_search(cell, changes, found)) for cell in recipe.cells]
    done = (tuple(cells), tuple(remarks))
    return Reproduction(recipe, out, ",".join(names), *done, command=where.get("command", ""), study=found)


def _sources(recipe: Recipe, data: str | Path | ImageData | None) -> list[str | Path | ImageData]:
    """Raises BadInput if a set is not here; says which, and where it comes from."""
    if isinstance(data, ImageData):
        return [data]
    if data is not None and "," in str(data):
        return list(filter(None, map(str.strip, str(data).split(","))))
    found = [find_images(name, None if data is None else str(data)) for name in recipe.all_data]
    if len(found) > 1 and len(set(found)) == 1:
        raise BadInput(
            f"{recipe.name} is a stream of {len(found)} sets, {', '.join(recipe.all_data)}: give --data a folder that "
            f"holds them by name, or a source for each with commas between them, not {data} alone"
        )
    return list(found)


def _continual(recipe: Recipe, changes: Changes, sources: list[Any], common: dict[str, Any]) -> Continual:
    study = recipe.study or {}
    memories = {cell.method: RING if cell.method == RING else changes.entry(cell) for cell in recipe.cells}
    asked = {name: study[name] for name in ("scenario", "tasks", "test_images") if name in study}
    return continual(
        sources if len(sources) > 1 else sources[0],
        list(memories.values()),
        learners=_learners(recipe),
        learning=dict(_learning(recipe, changes)),
        seeds=range(changes.count(study["seeds"])),
        network=recipe.cells[0].network,
        **asked,
        **common,
    )


def _search(recipe: Recipe, changes: Changes, source: Any, common: dict[str, Any]) -> Search:
    study = recipe.study or {}
    proxies = {
        cell.method: EARLY if cell.method == EARLY else changes.entry(cell)
        for cell in recipe.cells
        if cell.method != WHOLE
    }
    if not proxies:
        raise BadInput(f"{recipe.name} needs a proxy: name a column besides the whole set with --columns")
    return search(
        source,
        list(proxies.values()),
        grid=study.get("grid"),
        sample=None if changes.scale == 1 else _sample(changes),
        network=recipe.cells[0].network,
        condense_with=next((c.condensed_with for c in recipe.cells if c.condensed_with), "convnet"),
        whole=any(cell.method == WHOLE for cell in recipe.cells),
        batch_size=study["batch_size"],
        **{name: changes.count(study[name]) for name in ("epochs", "whole_epochs", "repeats")},
        **common,
    )


# ---- what a scale changes


def _learners(recipe: Recipe) -> list[str]:
    """Those of the rows that are filled."""
    return list(dict.fromkeys(cell.part.partition(" ")[0] for cell in recipe.cells))


def _learning(recipe: Recipe, changes: Changes) -> Iterator[tuple[str, int]]:
    """Fields of learners that differ from what is published."""
    for label, one in learners(_learners(recipe), {}).items():
        for name in _COUNTS:
            published = getattr(one, name) if name in {f.name for f in fields(one)} else None
            if published is not None and changes.count(published) != published:
                yield f"{label}.{name}", changes.count(published)


def _updates(recipe: Recipe, changes: Changes) -> dict[str, int] | None:
    if changes.scale == 1:
        return None
    made = {changes.entry(c).label: (c, changes.entry(c).fields) for c in recipe.cells if c.method in METHODS}
    return {
        label: changes.count(get_method(cell.method, **fields).steps(cell.ipc or 1))
        for label, (cell, fields) in made.items()
    }


def _sample(changes: Changes) -> int:
    return max(_FEWEST, changes.count(NETWORKS))


def _shorter(recipe: Recipe, changes: Changes) -> Iterator[str]:
    study = recipe.study or {}
    if study["kind"] == "continual":
        for name, value in _learning(recipe, changes):
            yield f"{name} -> {value:,}"
        names = ("seeds",)
    else:
        names = ("epochs", "whole_epochs", "repeats")
        if changes.scale != 1:
            yield f"{NETWORKS} -> {count(_sample(changes), 'network')}"
    for name in names:
        if (here := changes.count(study[name])) != study[name]:
            yield f"{study[name]} -> {here} {name.replace('_', ' ')}"


# ---- what a cell is of a study


def _of_stream(cell: PublishedCell, changes: Changes, found: Continual) -> Value | None:
    label = RING if cell.method == RING else changes.entry(cell).label
    learner, step = cell.part.split()
    for row in found.rows:
        if (row.memory, row.learner) == (label, learner) and int(step) <= row.accuracies.shape[1]:
            return _value(row.accuracies[:, int(step) - 1])
    return None


def _of_search(cell: PublishedCell, changes: Changes, found: Search) -> Value | None:
    names = {WHOLE: WHOLE_SET, EARLY: EARLY}
    label = names[cell.method] if cell.method in names else changes.entry(cell).label
    (one,) = [ranking for ranking in found.rankings if ranking.proxy == label] or [None]
    number = one and _number(cell.part, one, len(found.asked["candidates"]))
    if number is None:
        return None
    return _value(np.atleast_1d(number))


def _number(part: str, one: Ranking, candidates: int) -> float | tuple[float, ...] | None:
    if part == "test":
        return one.test or None
    if part == "minutes":
        return one.train_seconds / 60
    if part == "images":
        return one.images
    best = min(candidates, TOP) if part == "correlation 10" else top_share(candidates)
    return one.correlations.get(best)


def _value(found: np.ndarray) -> Value:
    return Value(float(found.mean()), float(found.std()), len(found), len(found))
