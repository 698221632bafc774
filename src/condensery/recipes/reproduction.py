"""A recipe that was run: ours beside theirs."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from condensery.comparison.folder import Problem
from condensery.comparison.reports import Comparison
from condensery.published import PublishedCell
from condensery.recipes.catalog import Recipe
from condensery.report.contents import Measurement, Report


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

    @property
    def problems(self) -> tuple[Problem, ...]:
        """Cells that were skipped or failed."""
        met = (problem for one in self.comparisons for problem in one.problems)
        return tuple(dict.fromkeys((*self.impossible, *met)))

    @property
    def complete(self) -> bool:
        """Whether every cell that could be foreseen to work has its number."""
        return all(one.complete for one in self.comparisons)

    def at(self, row: str, column: str) -> ReproducedCell | None:
        """The cell there, None where the table has none."""
        found = (one for one in self.cells if (one.published.row, one.published.column) == (row, column))
        return next(found, None)

    def report(self) -> Report:
        """One report of all comparisons, with the published values of this table."""
        reports = [one.report(scatter=False) for one in self.comparisons]
        facts = [("Table", f"{self.recipe.source}: {self.recipe.title}")]
        facts += [("Not as published", line) for line in self.remarks]
        facts += dict.fromkeys(fact for report in reports for fact in report.facts)
        measured = (
            replace(one.ours.measurement, published=one.published.value)
            for one in self.cells
            if one.ours and one.ours.measurement
        )
        return Report(
            title=f"{self.recipe.name}: {self.recipe.title}",
            facts=tuple(facts),
            measurements=_once(measured),
            galleries=_once(one for report in reports for one in report.galleries),
            curves=_once(one for report in reports for one in report.curves),
            skipped=tuple((problem.cell, problem.reason) for problem in self.problems),
            command=self.command,
        )


def _once(found: Iterable[Any]) -> tuple[Any, ...]:
    """Without what is about the same set, network and protocol as something before it."""
    kept: dict[tuple[Any, ...], Any] = {}
    names = ("subject", "ipc", "condensed_with", "seed", "network", "protocol")
    for one in found:
        kept.setdefault(tuple(getattr(one, name, None) for name in names), one)
    return tuple(kept.values())
