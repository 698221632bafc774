"""`reproduce`: fill a table of a paper by comparisons, and measure what a figure shows on the sets they made."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

from condensery import artifact
from condensery.comparison.compare import compare
from condensery.comparison.engines import pick_engine
from condensery.comparison.folder import Folder, Problem
from condensery.comparison.perform import perform
from condensery.comparison.reports import Comparison
from condensery.comparison.run import Listener, NothingToDo
from condensery.data import KNOWN_SETS, load
from condensery.data.sources import silent
from condensery.errors import BadInput
from condensery.methods import get_method
from condensery.published import ACCURACY, PublishedCell
from condensery.recipes import figures
from condensery.recipes.catalog import Recipe, get_recipe
from condensery.recipes.changes import Changes
from condensery.recipes.images import find_images
from condensery.recipes.parts import parts, place
from condensery.recipes.reproduction import ReproducedCell, Reproduction, Value
from condensery.records import ImageData, SyntheticSet
from condensery.runner import condense


def reproduce(
    recipe: str | Recipe,
    *,
    out: str | Path,
    data: str | Path | ImageData | None = None,
    scale: float = 1.0,
    settings: Mapping[str, Any] | None = None,
    rows: Sequence[str] = (),
    columns: Sequence[str] = (),
    workers: int | None = None,
    ray: str | None = None,
    gpus_per_job: float | None = None,
    device: str = "auto",
    threads: int | None = None,
    dry_run: bool = False,
    command: str = "",
    callback: Listener | None = None,
    announce: Callable[[str], None] = silent,
    **data_options: Any,
) -> Reproduction:
    """Fill a table of a paper with numbers of our own, beside those that are published.

    Args:
        recipe: its name, see `recipes`, or a recipe.
        out: a folder for everything. The same call again goes on after an interruption.
        data: the images, if those that the recipe needs are not at hand, or others are wanted: any source, or a
            folder that holds sets by name.
        scale: times the published steps, sets and networks, each at least 1.
        settings: fields of methods: "method.field" for one, "field" for all that have it.
        rows, columns: fill these only.
        workers, ray, gpus_per_job, device, threads: where jobs run, as for `condensery.compare`.
        dry_run: no more than checks and estimates; `out` is not touched.
        command: for the records.
        callback: called after every job.
        announce: called with lines of text for a person.
        data_options: for `condensery.load_images`.

    Raises:
        BadInput: an unknown name, row, column or field, or images that are not here.
        Interrupted: Ctrl-C; the same call goes on.
    """
    recipe, out = get_recipe(recipe) if isinstance(recipe, str) else recipe, Path(out)
    _require_own(out, recipe)
    recipe, announce = recipe.only(rows, columns), _once(announce)
    changes = Changes(scale, settings or {})
    changes.require_known(recipe)
    source = (
        data if isinstance(data, ImageData) else find_images(recipe.data, None if data is None else str(data))
    )
    given = {name: value for name, value in data_options.items() if value is not None}
    images = load(source, announce=announce, **given)
    remarks = (*changes.lines(recipe), *_other_images(recipe, images))
    for line in remarks:
        announce(f"not as published: {line}")
    to_compare, networks = parts(figures.cells_to_make(recipe), changes), 1
    if recipe.quantity == ACCURACY:
        to_compare, networks = parts(recipe.cells, changes), changes.count(recipe.networks)
    if not dry_run:
        _prepare(out, recipe, (part.protocol for part in to_compare))
    done, impossible = [], []
    with closing(pick_engine(workers, ray, gpus_per_job, perform)) as engine:
        for part in to_compare:
            try:
                found = compare(
                    images,
                    part.entries,
                    out=out / part.protocol,
                    ipc=part.budgets,
                    networks=part.networks,
                    condense_with=(part.condense_with,),
                    seeds=range(changes.count(recipe.sets)),
                    protocol=part.protocol,
                    repeats=networks,
                    scale=None if scale == 1 else scale,
                    whole=part.whole,
                    whole_repeats=networks,
                    engine=engine,
                    device=device,
                    threads=threads,
                    dry_run=dry_run,
                    command=command,
                    callback=callback,
                    announce=announce,
                )
            except NothingToDo as refusal:
                impossible.append(Problem(part.name, str(refusal), foreseen=True))
                announce(f"skipped: {part.name}: {refusal}")
            else:
                done.append(found)
    if impossible and not done:
        if not dry_run:
            _release(out, sorted({part.protocol for part in to_compare}))
        raise NothingToDo(impossible[0].reason)
    cells, findings = _accuracies(recipe, changes, done), []
    if recipe.quantity != ACCURACY and not dry_run:
        cells, findings = _diagnosed(recipe, changes, images, done, device)
    return Reproduction(
        recipe,
        out,
        _name(images),
        tuple(cells),
        remarks,
        tuple(done),
        tuple(impossible),
        tuple(findings),
        command,
    )


def _accuracies(recipe: Recipe, changes: Changes, done: Iterable[Comparison]) -> list[ReproducedCell]:
    """Each cell with what was measured for it."""
    found: dict[tuple[object, ...], Value] = {
        (m.subject, m.ipc, m.condensed_with, m.network, m.protocol): Value(
            m.mean, m.std, m.n, len(m.accuracies), m
        )
        for comparison in done
        for m in comparison.measurements
    }
    return [ReproducedCell(cell, found.get(place(cell, changes))) for cell in recipe.cells]


def _diagnosed(
    recipe: Recipe, changes: Changes, images: ImageData, done: Sequence[Comparison], device: str
) -> tuple[list[ReproducedCell], list[dict[str, Any]]]:
    """Each cell with what a diagnostic says of the sets of its row, and the findings behind them."""
    findings: dict[tuple[str, str], dict[str, Any]] = {}
    cells = []
    for cell in recipe.cells:
        key = (cell.row, cell.network)
        if key not in findings:
            if recipe.quantity == figures.VELOCITY:
                made = _begun(cell, changes, images, changes.count(recipe.sets), device)
            else:
                made = _made(cell, changes, done)
            if made:
                findings[key] = figures.measure(recipe, changes, images, made, cell.network, device)
        cells.append(ReproducedCell(cell, figures.value(cell, findings[key]) if key in findings else None))
    return cells, list(findings.values())


def _begun(
    cell: PublishedCell, changes: Changes, images: ImageData, seeds: int, device: str
) -> list[SyntheticSet]:
    """Sets after one update, whose records say how a cell's sets are made."""
    method = get_method(cell.method, **changes.entry(cell).fields)
    made: dict[str, Any] = {"ipc": cell.ipc, "network": cell.condensed_with, "steps": 1, "device": device}
    return [condense(images, method, seed=seed, **made) for seed in range(seeds)]


def _made(cell: PublishedCell, changes: Changes, done: Iterable[Comparison]) -> list[SyntheticSet]:
    """The sets of a cell that are there."""
    label = changes.entry(cell).label
    return [
        artifact.load(Folder(one.folder).set_folder(made))
        for one in done
        for made in one.sets
        if made.label == label and made.record["ipc"] == cell.ipc and Folder(one.folder).is_done(made)
    ]


# ---- the folder: its mark, the sets, and one comparison for each protocol, which all share the sets

_MARK = "recipe.json"


def _require_own(out: Path, recipe: Recipe) -> None:
    """Raises BadInput if `out` holds anything but this recipe's earlier results."""
    if out.is_file():
        raise BadInput(f"{out} is a file: choose a folder for --out")
    if not out.is_dir() or not any(out.iterdir()):
        return
    try:
        there = json.loads((out / _MARK).read_text(encoding="utf-8"))["recipe"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise BadInput(
            f"{out} is not empty and holds no recipe's results: choose an empty or new folder for --out"
        ) from error
    if there != recipe.name:
        raise BadInput(f"{out} holds the results of recipe {there}, not {recipe.name}: choose another --out")


def _prepare(out: Path, recipe: Recipe, protocols: Iterable[str]) -> None:
    try:
        out.mkdir(parents=True, exist_ok=True)
        artifact.write_text(out / _MARK, json.dumps({"recipe": recipe.name}) + "\n")
        for protocol in protocols:
            for folder in (out / "sets", out / protocol):
                folder.mkdir(exist_ok=True)
            if not (out / protocol / "sets").is_symlink():
                os.symlink(Path("..") / "sets", out / protocol / "sets")
    except OSError as error:
        raise artifact.unwritable(out, error) from error


def _release(out: Path, protocols: Sequence[str]) -> None:
    """Take away what `_prepare` made, where nothing was done."""
    if any((out / "sets").iterdir()):
        return
    (out / _MARK).unlink()
    for protocol in protocols:
        (out / protocol / "sets").unlink()
    for folder in (*(out / protocol for protocol in protocols), out / "sets", out):
        with suppress(OSError):  # not empty: of other commands
            folder.rmdir()


# ---- for people


def _once(announce: Callable[[str], None]) -> Callable[[str], None]:
    """What says each line a single time, however many comparisons have it to say."""
    said: set[str] = set()

    def say(line: str) -> None:
        if line not in said:
            said.add(line)
            announce(line)

    return say


def _name(images: ImageData) -> str:
    return images.spec.name if images.spec.name != "custom" else images.source


def _other_images(recipe: Recipe, images: ImageData) -> list[str]:
    """A line if the images are not those of the recipe, as far as these can be told."""
    own = recipe.data not in KNOWN_SETS and images.spec.name == "custom"
    alike = own or images.spec.name == recipe.data
    return [] if alike else [f"the images are {_name(images)}, not {recipe.data}"]
