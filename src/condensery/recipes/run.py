"""`reproduce`: fill a table of a paper by comparisons, and measure what a figure shows on the sets they made."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any, Unpack

from condensery import disk
from condensery.comparison.folder import Folder, Problem
from condensery.comparison.perform import perform
from condensery.comparison.reports import Comparison
from condensery.comparison.run import NothingToDo, Run
from condensery.data import KNOWN_SETS, load
from condensery.data.sources import given_options
from condensery.errors import BadInput
from condensery.jobs.folder import read_document, require_ours
from condensery.jobs.work import Running, Where
from condensery.methods import METHODS
from condensery.presets import preset_whitening
from condensery.published import ACCURACY
from condensery.recipes import figures
from condensery.recipes.catalog import Recipe, find_images, get_recipe
from condensery.recipes.output import ReproducedCell, Reproduction, Value
from condensery.recipes.plans import Changes, place, plans
from condensery.recipes.studies import studied
from condensery.records import ImageData


def reproduce(
    recipe: str | Recipe,
    *,
    out: str | Path,
    data: str | Path | ImageData | None = None,
    scale: float = 1.0,
    settings: Mapping[str, Any] | None = None,
    rows: Sequence[str] = (),
    columns: Sequence[str] = (),
    size: int | None = None,
    channels: int | None = None,
    data_options: Mapping[str, Any] | None = None,
    dry_run: bool = False,
    callback: Callable[[Run], None] | None = None,
    **where: Unpack[Where],
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
        size, channels, data_options: of `condensery.load_images`.
        dry_run: no more than checks and estimates; `out` is not touched.
        callback: told of each comparison, see `condensery.compare`.
        where: how and where jobs run: device, workers, ray, gpus_per_job, threads, engine, command, announce; see
            `condensery.jobs.work.Where`.

    Raises:
        BadInput: an unknown name, row, column or field, or images that are not here.
        Interrupted: Ctrl-C; the same call goes on.
    """
    recipe, out = get_recipe(recipe) if isinstance(recipe, str) else recipe, Path(out)
    _require_own(out, recipe)
    running = Running(**where)
    recipe, announce = recipe.only(rows, columns), _once(running.announce)
    changes = Changes(scale, settings or {})
    if recipe.study:
        options = {"size": size, "channels": channels, "data_options": data_options}
        with nullcontext() if dry_run else _marked(out, recipe):
            told = {**where, "announce": announce}
            return studied(recipe, changes, data, out, **options, dry_run=dry_run, where=told)
    by_hand = changes.lines(recipe)
    source = (
        data if isinstance(data, ImageData) else find_images(recipe.data, None if data is None else str(data))
    )
    images = load(source, announce=announce, **given_options(size, channels, data_options))
    remarks = (*by_hand, *_other_images(recipe, images), *_other_whitening(recipe, images))
    for line in remarks:
        announce(f"not as published: {line}")
    runs, impossible = [], []
    with running.opened(perform) as engine:
        for plan in plans(recipe, changes, images):
            folder = Folder(out / plan.protocol["name"], out / "sets")
            try:
                runs.append(Run(plan, images, folder, running.device, announce))
            except NothingToDo as refusal:
                name = f"{', '.join(one.label for one in plan.entries)} with {plan.condense_with[0]}"
                impossible.append(Problem(name, str(refusal), foreseen=True))
                announce(f"skipped: {name}: {refusal}")
        if impossible and not runs:
            raise NothingToDo(impossible[0].reason)
        if not dry_run:
            _mark(out, recipe)
        asked = (running.threads, True, dry_run, running.command, callback)
        done = [one.carry_out(engine, *asked) for one in runs]
    cells, findings = _accuracies(recipe, changes, done), []
    if recipe.quantity != ACCURACY and not dry_run:
        cells, findings = figures.diagnosed(recipe, changes, images, done, running.device)
    found = (tuple(cells), remarks, tuple(done), tuple(impossible), tuple(findings))
    return Reproduction(recipe, out, _name(images), *found, running.command)


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


# ---- the folder: its mark beside a comparison for each protocol, which all share their sets

_MARK = "recipe.json"


def _require_own(out: Path, recipe: Recipe) -> None:
    """Raises BadInput if `out` holds anything but this recipe's earlier results."""
    mark = out / _MARK
    require_ours(out, "recipe's results", lambda one: mark.is_file())
    there = read_document(mark, "choose another --out").get("recipe") if mark.exists() else recipe.name
    if there != recipe.name:
        raise BadInput(f"{out} holds the results of recipe {there}, not {recipe.name}: choose another --out")


def _mark(out: Path, recipe: Recipe) -> None:
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise disk.unwritable(out, error) from error
    disk.write_json(out / _MARK, {"recipe": recipe.name})


@contextmanager
def _marked(out: Path, recipe: Recipe) -> Iterator[None]:
    """With a mark, which goes again if what was asked for is refused before any work."""
    _mark(out, recipe)
    try:
        yield
    except BadInput:
        if [one.name for one in out.iterdir()] == [_MARK]:
            (out / _MARK).unlink()
            out.rmdir()
        raise


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


def _other_whitening(recipe: Recipe, images: ImageData) -> list[str]:
    """A line if methods of the recipe were published on images that were whitened otherwise than these."""
    ours = images.spec.whitening.kind if images.spec.whitening else None
    found: dict[tuple[str, str | None], list[str]] = {}
    for cell in recipe.cells:
        if cell.method in METHODS and cell.ipc and cell.condensed_with:
            named = replace(images.spec, name=cell.data)
            known = cell.method, named, cell.ipc, cell.condensed_with, dict(cell.fields)
            theirs = cell.whitening or preset_whitening("paper", *known)
            theirs = None if theirs == "none" else theirs
            if theirs != ours and cell.own:
                found.setdefault((cell.method, theirs), []).append(str(cell.ipc))
    return [
        f"{method} at {', '.join(dict.fromkeys(budgets))} per class: published with images whitened as "
        f"{theirs or 'none'}, not as {ours or 'none'} (--whitening)"
        for (method, theirs), budgets in found.items()
    ]
