"""What `condense compare` leaves: a table on the terminal, and files."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from condensery.cli.output import Lines, plain_table
from condensery.comparison.reports import Comparison
from condensery.evaluation.honest import SCORES
from condensery.report import write_report
from condensery.report.contents import Measurement
from condensery.text import accuracy, percent, readable_bytes, readable_seconds

_FILES = {"Page": "report.html", "Table": "table.md", "Numbers": "table.csv", "Lines": "results.jsonl"}


def _steps(one: Measurement) -> str:
    """ "400 of 20,000" where fewer than published were made"""
    if one.steps is None:
        return "-"
    published = one.published_steps
    return f"{one.steps:,}" if published in (None, one.steps) else f"{one.steps:,} of {published:,}"


def _seconds(one: Measurement) -> str:
    """Of all its sets together; nothing for what takes no time, as drawing at random."""
    seconds = sum(one.make_seconds)
    return readable_seconds(seconds) if seconds >= 0.5 else "-"


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
    "to make": _seconds,
    "published": lambda one: accuracy(one.published.mean, one.published.std) if one.published else "-",
    **{score.name: lambda one, key=score.key: percent(one.extra.get(key)) for score in SCORES if score.unit},
}
_OPTIONAL = ("published", *(score.name for score in SCORES))
_LAYOUT: dict[str, dict[str, Any]] = {
    "method": {},
    "ipc": {"justify": "right"},
    "made with": {"overflow": "fold"},
    "network": {"overflow": "fold", "min_width": 7},
    "labels": {"no_wrap": True},
}


def comparison_table(comparison: Comparison) -> Lines:
    """A row for each measurement; columns in which nothing is said are left out."""
    columns = {name: [text(one) for one in comparison.measurements] for name, text in _COLUMNS.items()}
    if len(set(columns["made with"]) - {"-"}) < 2:
        del columns["made with"]
    if set(columns["labels"]) <= {"hard"}:
        del columns["labels"]
    columns = {k: texts for k, texts in columns.items() if k not in _OPTIONAL or set(texts) - {"-"}}
    table = plain_table()
    for name in columns:
        table.add_column(name, **_LAYOUT.get(name, {"justify": "right", "no_wrap": True}))
    for row in zip(*columns.values(), strict=True):
        table.add_row(*row)
    return table


def write_results(comparison: Comparison, announce: Callable[[str], None], scatter: bool) -> dict[str, Path]:
    """The files for people and programs, by what they are: tables and one self-contained page."""
    report = comparison.report(announce, scatter)
    for name in _FILES.values():
        write_report(report, comparison.folder / name)
    return {what: comparison.folder / name for what, name in {**_FILES, "Sets": "sets"}.items()}
