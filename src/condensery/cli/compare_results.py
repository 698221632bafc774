"""What `condense compare` leaves: a table on the terminal, and files."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from condensery.cli.output import Lines, plain_table
from condensery.comparison.reports import Comparison
from condensery.evaluation.honest import SCORES
from condensery.report import write_report
from condensery.report.contents import Measurement
from condensery.words import accuracy, percent, readable_bytes, readable_seconds

_FILES = {"Page": "report.html", "Table": "table.md", "Numbers": "table.csv", "Lines": "results.jsonl"}


def comparison_table(comparison: Comparison) -> Lines:
    """A row for each measurement."""
    found = comparison.measurements
    made_with = len({one.condensed_with for one in found} - {None}) > 1
    published = any(one.published for one in found)
    soft = any(one.labels != "hard" for one in found)
    scores = [one for one in SCORES if one.unit and any(one.key in m.extra for m in found)]
    table = plain_table("method", ">ipc")
    if made_with:
        table.add_column("made with", overflow="fold")
    table.add_column("network", overflow="fold", min_width=7)
    if soft:
        table.add_column("labels", no_wrap=True)
    for name in ("accuracy %", "n", "images", "size", "steps", "to make"):
        table.add_column(name, justify="right", no_wrap=True)
    if published:
        table.add_column("published", justify="right", no_wrap=True)
    for score in scores:
        table.add_column(score.name, justify="right", no_wrap=True)
    for one in found:
        row = [one.subject, str(one.ipc or "-")]
        row += [one.condensed_with or "-"] if made_with else []
        row += [one.network, *([one.labels] if soft else [])]
        row += [accuracy(one.mean, one.std, one.n), str(one.n), str(one.images)]
        row += [readable_bytes(one.bytes), _steps(one), _seconds(one)]
        row += [_published(one)] if published else []
        table.add_row(*row, *(percent(one.extra.get(score.key)) for score in scores))
    return table


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


def _published(one: Measurement) -> str:
    value = one.published
    if value is None:
        return "-"
    spread = "" if value.std is None else f" ± {100 * value.std:.1f}"
    return f"{100 * value.mean:.1f}{spread}"


def write_results(comparison: Comparison, announce: Callable[[str], None], scatter: bool) -> dict[str, Path]:
    """The files for people and programs, by what they are: tables and one self-contained page."""
    report = comparison.report(announce, scatter)
    for name in _FILES.values():
        write_report(report, comparison.folder / name)
    return {what: comparison.folder / name for what, name in _FILES.items()} | {
        "Sets": comparison.folder / "sets"
    }
