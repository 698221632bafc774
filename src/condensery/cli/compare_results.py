"""What `condense compare` leaves: a table on the terminal, and files."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from condensery.cli.output import Lines, plain_table
from condensery.comparison.reports import Comparison
from condensery.report import write_report
from condensery.report.contents import Measurement, honest_of
from condensery.report.tables import HONEST
from condensery.words import accuracy, percent, readable_bytes, readable_seconds

_FILES = {"Page": "report.html", "Table": "table.md", "Numbers": "table.csv", "Lines": "results.jsonl"}
_FOLDED = ("made with", "network")


def _steps(one: Measurement) -> str:
    """ "400 of 20,000" where fewer than published were made"""
    if one.steps is None:
        return "-"
    published = one.published_steps
    return f"{one.steps:,}" if published in (None, one.steps) else f"{one.steps:,} of {published:,}"


_COLUMNS: dict[str, Callable[[Measurement], str]] = {
    "method": lambda one: one.subject,
    "ipc": lambda one: str(one.ipc or "-"),
    "made with": lambda one: one.condensed_with or "-",
    "network": lambda one: one.network,
    "labels": lambda one: one.labels,
    "accuracy %": lambda one: accuracy(one.mean, one.std, one.n),
    "n": lambda one: str(one.n),
    "images": lambda one: str(one.images),
    "size": lambda one: readable_bytes(one.bytes),
    "steps": _steps,
    "to make": lambda one: (
        readable_seconds(s) if (s := sum(one.make_seconds)) >= 0.5 else "-"
    ),  # of all its sets
    "published": lambda one: accuracy(one.published.mean, one.published.std) if one.published else "-",
}


def comparison_table(comparison: Comparison) -> Lines:
    """A row for each measurement; columns that tell nothing apart are left out."""
    found = comparison.measurements
    columns = {name: [text(one) for one in found] for name, text in _COLUMNS.items()}
    scores = [honest_of(comparison.honest, one) for one in found]
    columns |= {
        short: [percent(getattr(one, name, None)) for one in scores] for short, name in HONEST.items()
    }
    if len(set(columns["made with"]) - {"-"}) < 2:
        del columns["made with"]
    if set(columns["labels"]) <= {"hard"}:
        del columns["labels"]
    shown = [name for name in columns if name not in ("published", *HONEST) or set(columns[name]) > {"-"}]
    table = plain_table()
    for name in shown:
        justify = "left" if name in ("method", "labels", *_FOLDED) else "right"
        narrow = {"min_width": 7} if name == "network" else {}
        wrap = (
            {"overflow": "fold", **narrow} if name in _FOLDED else {"no_wrap": name not in ("method", "ipc")}
        )
        table.add_column(name, justify=justify, **wrap)  # type: ignore[arg-type]
    for row in zip(*(columns[name] for name in shown), strict=True):
        table.add_row(*row)
    return table


def write_results(comparison: Comparison, announce: Callable[[str], None], scatter: bool) -> dict[str, Path]:
    """The files for people and programs, by what they are: tables and one self-contained page."""
    report = comparison.report(announce, scatter)
    for name in _FILES.values():
        write_report(report, comparison.folder / name)
    return {what: comparison.folder / name for what, name in {**_FILES, "Sets": "sets"}.items()}
