"""A recipe that was run, ours beside theirs, and its files. Percent only where a person reads it."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from condensery import disk
from condensery.apps.continual.outcome import Continual
from condensery.apps.search.outcome import Search
from condensery.comparison.folder import Problem
from condensery.comparison.reports import Comparison
from condensery.evaluation import OWN
from condensery.published import ACCURACY, Published, PublishedCell
from condensery.recipes.catalog import Recipe
from condensery.recipes.plans import ALIGNMENT
from condensery.report.contents import Measurement, Report, Table
from condensery.report.from_disk import Found, report_of_found
from condensery.report.tables import csv_of, stored_images
from condensery.report.writing import write_report
from condensery.text import count


@dataclass(frozen=True)
class Value:
    """What we measured: accuracies are fractions.

    Attributes:
        mean, std: over everything that was measured; the population's.
        n: how much that was: networks of all sets, or values.
        sets: how many sets.
        measurement: of accuracies, with each of them; None for other quantities.
    """

    mean: float
    std: float
    n: int
    sets: int
    measurement: Measurement | None = None


@dataclass(frozen=True)
class ReproducedCell:
    """A cell of a table: what is published of it, and what we measured, if we did."""

    published: PublishedCell
    ours: Value | None


@dataclass(frozen=True)
class Reproduction:
    """A recipe that was run.

    Attributes:
        recipe: what was asked for.
        folder: where its comparisons and tables are.
        images: name or source of the images.
        cells: those of the table, in order.
        remarks: what differs from the published run, a line each.
        comparisons: that made the sets and measured accuracies.
        impossible: parts of the table that were known beforehand to be so.
        findings: of the diagnostics, JSON-able.
        study: that the numbers are from, where the table is filled by one.
        command: that made it, or "".
    """

    recipe: Recipe
    folder: Path
    images: str
    cells: tuple[ReproducedCell, ...]
    remarks: tuple[str, ...]
    comparisons: tuple[Comparison, ...] = ()
    impossible: tuple[Problem, ...] = ()
    findings: tuple[dict[str, Any], ...] = ()
    command: str = ""
    study: Continual | Search | None = None

    @property
    def problems(self) -> tuple[Problem, ...]:
        """Cells that were skipped or failed."""
        met = (problem for one in self.comparisons for problem in one.problems)
        of_study = (Problem(*one) for one in self.study.problems) if self.study else ()
        return tuple(dict.fromkeys((*self.impossible, *met, *of_study)))

    @property
    def told(self) -> tuple[str, ...]:
        """Beside the remarks what every run of the recipe differs in."""
        return (*self.remarks, *([self.recipe.differs] if self.recipe.differs else []))

    @property
    def complete(self) -> bool:
        """Whether every cell that could be foreseen to work has its number."""
        return all(one.complete for one in self.comparisons) and not (self.study and self.study.problems)

    def at(self, row: str, column: str) -> ReproducedCell | None:
        """The cell there, None where the table has none."""
        found = (one for one in self.cells if (one.published.row, one.published.column) == (row, column))
        return next(found, None)

    def report(self) -> Report:
        """One report of all comparisons, with the published values of this table; or that of its study."""
        facts = [("Table", f"{self.recipe.source}: {self.recipe.title}")]
        facts += [("Not as published", line) for line in self.told]
        if self.study:
            page = self.study.report(f"{self.recipe.name}: {self.recipe.title}")
            return replace(page, facts=(*facts, *page.facts), tables=(self._table(), *page.tables))
        rows: dict[tuple[object, ...], Measurement] = {}
        for one in self.cells:
            if m := one.ours and one.ours.measurement:
                which = (m.subject, m.ipc, m.condensed_with, m.network, m.protocol)
                rows.setdefault(which, replace(m, published=one.published.value))
        skipped = tuple((problem.cell, problem.reason) for problem in self.problems)
        return report_of_found(
            [Found(skipped=skipped), *(one.found(under_all_labels=True) for one in self.comparisons)],
            title=f"{self.recipe.name}: {self.recipe.title}",
            command=self.command,
            scatter=self.recipe.quantity == ALIGNMENT,
            rows=tuple(rows.values()),
            facts=dict.fromkeys((*facts, *(fact for one in self.comparisons for fact in one.facts()))),
        )

    def _table(self) -> Table:
        """The paper's table, ours / published in each cell."""
        recipe = self.recipe
        rows = (
            (row, *(pair(self.at(row, column), recipe.quantity) for column in recipe.columns))
            for row in recipe.rows
        )
        return Table(f"Ours / published, {recipe.source}", ("", *recipe.columns), tuple(rows))


# ---- for programs


def write(done: Reproduction) -> list[Path]:
    """Write table.md, table.csv and table.jsonl, and report.html with the images; older ones are replaced.

    Raises:
        BadInput: the folder cannot be written.
    """
    cells = [_record(done, one) for one in done.cells]
    lines = "".join(json.dumps(cell) + "\n" for cell in cells)
    texts = {"table.md": markdown(done), "table.csv": _csv_text(cells), "table.jsonl": lines}
    try:
        done.folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise disk.unwritable(done.folder, error) from error
    for name, text in texts.items():
        disk.write_text(done.folder / name, text)
    write_report(done.report(), done.folder / "report.html")
    return [done.folder / name for name in (*texts, "report.html")]


def to_json(done: Reproduction) -> dict[str, Any]:
    """Everything as one JSON-able document."""
    return {
        "recipe": done.recipe.name,
        **{name: getattr(done.recipe, name) for name in ("title", "source", "quantity")},
        "folder": str(done.folder),
        "data": done.images,
        "not_as_published": list(done.remarks),
        "differs": done.recipe.differs,
        "cells": [_record(done, one) for one in done.cells],
        "findings": list(done.findings),
        "problems": [vars(problem) for problem in done.problems],
        "command": done.command,
    }


def _record(done: Reproduction, one: ReproducedCell) -> dict[str, Any]:
    """A cell as plain values; None where nothing is known."""
    cell, value, found = one.published, one.ours, one.ours and one.ours.measurement

    def known(of: object, *names: str) -> dict[str, Any]:
        return {name: getattr(of, name, None) for name in names}

    return {
        "recipe": done.recipe.name,
        **known(done.recipe, "source", "quantity"),
        **known(cell, "row", "column"),
        "data": done.images,
        "published_data": cell.data,
        "method": cell.method,
        "fields": dict(cell.fields),
        **known(cell, "ipc", "condensed_with", "network"),
        **({"part": cell.part} if cell.part else {}),
        "protocol": OWN if cell.own else cell.protocol,
        **known(value, "mean", "std", "n", "sets"),
        **known(found, "accuracies", "steps"),
        **{f"published_{name}": getattr(cell.value, name, None) for name in ("mean", "std")},
        "not_as_published": list(done.remarks),
        "commands": list(found.commands) if found else [],
        "images": found and found.images,
        "stored_images": found and stored_images(found),
        "bytes": found and found.bytes,
    }


def _csv_text(cells: list[dict[str, Any]]) -> str:
    """A line for each cell without its single accuracies and commands, fields and remarks as text."""
    for_tables = []
    for cell in cells:
        texts = {"fields": " ".join(f"{name}={value}" for name, value in cell["fields"].items())}
        texts["not_as_published"] = "; ".join(cell["not_as_published"])
        shown = {name: value for name, value in cell.items() if name not in ("accuracies", "commands")}
        for_tables.append({**shown, **texts})
    return csv_of(for_tables)


# ---- for people


def ours(value: Value | None, quantity: str) -> str:
    """ "91.4 ± 0.6"; "-" where nothing was measured."""
    if value is None:
        return "-"
    factor, digits = (100, 1) if quantity == ACCURACY else (1, 3)
    mean = f"{factor * value.mean:.{digits}f}"
    return f"{mean} ± {factor * value.std:.{digits}f}" if value.n > 1 else mean


def theirs(value: Published | None) -> str:
    """ "91.7 ± 0.5", in percent, with the digits that papers give; "-" where nothing is published."""
    if value is None:
        return "-"
    mean = f"{100 * value.mean:.2f}".removesuffix("0")
    return mean if value.std is None else f"{mean} ± {100 * value.std:.1f}"


def plain(value: Value | Published | None) -> str:
    """ "0.76", "8,604.3"; "-" where there is none."""
    return "-" if value is None else f"{round(value.mean, 2):,g}"


def pair(one: ReproducedCell | None, quantity: str) -> str:
    """Both, or ours alone where the quantity is not accuracy; "" where the table has no cell."""
    if one is None:
        return ""
    cell = one.published
    if cell.plain:
        return f"{plain(one.ours)} / {plain(cell.value)}"
    if cell.part or quantity == ACCURACY:
        return f"{ours(one.ours, ACCURACY)} / {theirs(cell.value)}"
    return ours(one.ours, quantity)


def caption(done: Reproduction) -> list[str]:
    """What the table is, and what of it differs from the published run."""
    recipe = done.recipe
    counts = sorted({(one.ours.sets, one.ours.n / one.ours.sets) for one in done.cells if one.ours})
    shown = ", ".join(f"{sets} x {each:g}" for sets, each in counts) or "none"
    if recipe.study:
        each = f"ours / published ({recipe.source})"
    elif recipe.quantity == ACCURACY:
        theirs = f"{count(recipe.sets, 'set')} x {count(recipe.networks, 'network')}"
        each = f"ours / published ({recipe.source}: {theirs}; ours {shown})"
    else:
        each = f"ours, sets x values {shown} ({recipe.source} draws it and prints no numbers)"
    return [
        f"{recipe.name}: {recipe.title}",
        f"{recipe.quantity[0].upper()}{recipe.quantity[1:]}, {each}",
        *(f"Not as published: {line}" for line in done.told),
    ]


def markdown(done: Reproduction) -> str:
    """The table as in the paper, ours / published in each cell."""
    recipe = done.recipe
    title, *lines = caption(done)
    text = [f"# {title}", "", *(f"{line}  " for line in lines), ""]
    text.append("| | " + " | ".join(recipe.columns) + " |")
    text.append("|---" * (len(recipe.columns) + 1) + "|")
    for row in recipe.rows:
        cells = [pair(done.at(row, column), recipe.quantity) for column in recipe.columns]
        text.append(f"| {row} | " + " | ".join(cells) + " |")
    text += ["", *(f"- not measured: {problem.cell}: {problem.reason}" for problem in done.problems)]
    if done.command:
        text += ["", "```", done.command, "```"]
    return "\n".join(text).rstrip() + "\n"
