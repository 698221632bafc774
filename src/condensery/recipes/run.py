"""`reproduce`: fill the table of a paper, cell by cell, through the engine and the store of comparisons."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from condensery import artifact
from condensery.comparison.compare import compare
from condensery.comparison.engines import Engine, pick_engine
from condensery.comparison.folder import Folder, Problem
from condensery.comparison.perform import perform
from condensery.comparison.reports import Comparison
from condensery.comparison.run import Listener, NothingToDo
from condensery.data import KNOWN_SETS, load
from condensery.data.sources import silent
from condensery.errors import BadInput
from condensery.published import PublishedCell
from condensery.recipes import figures
from condensery.recipes.book import ACCURACY, VELOCITY, Recipe, get_recipe
from condensery.recipes.filled import Filled, Reproduction, Value
from condensery.recipes.images import find_images
from condensery.recipes.portions import Portion, place, portions
from condensery.recipes.shrinking import Changes
from condensery.records import ImageData, SyntheticSet
from condensery.report.contents import Measurement


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
    recipe = get_recipe(recipe) if isinstance(recipe, str) else recipe
    _require_own_folder(Path(out), recipe)
    recipe = recipe.only(rows, columns)
    changes = Changes(scale, settings or {})
    changes.require_known(recipe)
    source = (
        data if isinstance(data, ImageData) else find_images(recipe.data, None if data is None else str(data))
    )
    given = {name: value for name, value in data_options.items() if value is not None}
    images = load(source, announce=announce, **given)
    remarks = (*changes.lines(recipe), *_other_images(recipe, images))
    announce = _once(announce)
    for line in remarks:
        announce(f"not as published: {line}")
    if not dry_run:
        _claim(Path(out), recipe)
    kitchen = _Kitchen(recipe, changes, images, Path(out), device, threads, dry_run, command)
    with closing(pick_engine(workers, ray, gpus_per_job, perform)) as engine:
        try:
            comparisons, impossible = kitchen.compare_all(engine, callback, announce)
        except NothingToDo:
            _release(Path(out))
            raise
    filled, findings = kitchen.filled(comparisons)
    return Reproduction(
        recipe, Path(out), _name(images), filled, remarks, comparisons, impossible, findings, command
    )


_MARK = "recipe.json"


def _require_own_folder(out: Path, recipe: Recipe) -> None:
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


def _claim(out: Path, recipe: Recipe) -> None:
    """Say in the folder whose results it holds."""
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise artifact.unwritable(out, error) from error
    artifact.write_text(out / _MARK, json.dumps({"recipe": recipe.name}) + "\n")


def _release(out: Path) -> None:
    """Take the mark back where nothing was done."""
    if not list(out.rglob("made.json")):
        (out / _MARK).unlink(missing_ok=True)
        with suppress(OSError):  # not empty
            out.rmdir()


@dataclass(frozen=True)
class _Kitchen:
    """Everything that one run of a recipe has at hand."""

    recipe: Recipe
    changes: Changes
    images: ImageData
    out: Path
    device: str
    threads: int | None
    dry_run: bool
    command: str

    def portions(self) -> list[Portion]:
        """The comparisons to make; those of figures only make sets, and judge each by one network."""
        if self.recipe.quantity == VELOCITY:
            return []
        found = portions(self.recipe.cells, self.changes)
        if self.recipe.quantity == ACCURACY:
            return found
        narrow = [replace(one, networks=(one.condense_with,)) for one in found]
        return [one for i, one in enumerate(narrow) if one not in narrow[:i]]

    def compare_all(
        self, engine: Engine, callback: Listener | None, announce: Callable[[str], None]
    ) -> tuple[tuple[Comparison, ...], tuple[Problem, ...]]:
        """What was compared, and what cannot be. Raises NothingToDo if that is everything."""
        done, impossible = [], []
        for portion in self.portions():
            try:
                done.append(self.compare(portion, engine, callback, announce))
            except NothingToDo as refusal:
                impossible.append(Problem(portion.name, str(refusal), foreseen=True))
                announce(f"skipped: {portion.name}: {refusal}")
        if impossible and not done:
            raise NothingToDo(impossible[0].reason)
        return tuple(done), tuple(impossible)

    def compare(
        self,
        portion: Portion,
        engine: Engine,
        callback: Listener | None,
        announce: Callable[[str], None],
    ) -> Comparison:
        """Make the sets of a portion, and train and test networks on them."""
        networks = self.changes.count(self.recipe.networks) if self.recipe.quantity == ACCURACY else 1
        return compare(
            self.images,
            portion.contenders,
            out=self._folder(portion.protocol),
            ipc=portion.budgets,
            networks=portion.networks,
            condense_with=(portion.condense_with,),
            seeds=range(self.changes.count(self.recipe.sets)),
            protocol=portion.protocol,
            repeats=networks,
            scale=None if self.changes.scale == 1 else self.changes.scale,
            whole=portion.whole,
            whole_repeats=networks,
            engine=engine,
            device=self.device,
            threads=self.threads,
            dry_run=self.dry_run,
            command=self.command,
            callback=callback,
            announce=announce,
        )

    def filled(
        self, comparisons: Sequence[Comparison]
    ) -> tuple[tuple[Filled, ...], tuple[dict[str, Any], ...]]:
        """Each cell with what was measured, and the findings of diagnostics behind it."""
        if self.recipe.quantity == ACCURACY:
            found = {_place(one): one for comparison in comparisons for one in comparison.measurements}
            cells = self.recipe.cells
            return tuple(Filled(c, Value.of(found.get(place(c, self.changes)))) for c in cells), ()
        findings: dict[tuple[str, str], dict[str, Any]] = {}
        filled = []
        for cell in self.recipe.cells:
            key = (cell.row, cell.network)
            if key not in findings and (made := self._sets(cell, comparisons)):
                findings[key] = figures.measure(
                    self.recipe.quantity, cell, self.images, made, self.changes, self.device
                )
            filled.append(figures.filled(cell, findings[key]) if key in findings else Filled(cell, None))
        return tuple(filled), tuple(findings.values())

    def _sets(self, cell: PublishedCell, comparisons: Iterable[Comparison]) -> list[SyntheticSet]:
        """Those of a cell's row that are there."""
        if self.dry_run:
            return []
        if self.recipe.quantity == VELOCITY:
            seeds = self.changes.count(self.recipe.sets)
            return list(figures.begun(cell, self.images, self.changes, seeds, self.device))
        label = self.changes.contender(cell).label
        return [
            artifact.load(Folder(one.folder).set_folder(made))
            for one in comparisons
            for made in one.sets
            if made.label == label and made.record["ipc"] == cell.ipc and Folder(one.folder).is_done(made)
        ]

    def _folder(self, protocol: str) -> Path:
        """The folder of a protocol, in which the sets are those of the whole recipe."""
        folder = self.out / protocol
        if not self.dry_run:
            try:
                (self.out / "sets").mkdir(parents=True, exist_ok=True)
                folder.mkdir(exist_ok=True)
                if not (folder / "sets").is_symlink():
                    os.symlink(Path("..") / "sets", folder / "sets")
            except OSError as error:
                raise artifact.unwritable(self.out, error) from error
        return folder


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
    return (
        []
        if own or images.spec.name == recipe.data
        else [f"the images are {_name(images)}, not {recipe.data}"]
    )


def _place(one: Measurement) -> tuple[object, ...]:
    return (one.subject, one.ipc, one.condensed_with, one.network, one.protocol)
