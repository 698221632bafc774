"""The sections of a page on where numbers come from: what sets cost, what is missing, commands and records."""

from __future__ import annotations

import base64
import json
from dataclasses import replace
from typing import Any

from condensery.report.contents import WHOLE, Measurement, Report
from condensery.report.page.columns import (
    BUDGET,
    MADE_BY,
    Cell,
    Column,
    Table,
    number,
    varying,
    whole_number,
)
from condensery.report.page.names import budget, found, groups, subject_name
from condensery.report.page.numbers import Part
from condensery.report.tables import csv_text, json_lines, make_seconds, stored_images
from condensery.words import count, percent, readable_bytes, readable_seconds

_MOST_SETS = 40  # whose accuracies are listed one by one


def costs(report: Report) -> list[Part]:
    """Time, memory and bytes of each kind of set."""
    kinds = groups(report.measurements, lambda m: (m.data, m.subject, m.ipc, m.condensed_with, m.steps))
    rows = [
        replace(
            group[0],
            evaluate_seconds=sum(m.evaluate_seconds for m in group),
            memory=max(m.memory or 0 for m in group),
        )
        for group in kinds.values()
    ]
    whole = max((m.bytes for m in report.measurements if m.subject == WHOLE), default=0)
    stored = [("Images stored", lambda m: whole_number(stored_images(m)))]
    share = [("Share of the whole", lambda m: number(f"{_small_percent(m.bytes / whole)} %", m.bytes))]
    columns: list[Column] = [
        BUDGET,
        MADE_BY,
        *varying(report.measurements, ["condensed_with"]),
        ("Steps", lambda m: whole_number(m.steps)),
        ("Time for a set", lambda m: _seconds(make_seconds(m))),
        ("Peak memory", lambda m: number(readable_bytes(m.memory) if m.memory else "–", m.memory)),
        *(stored if any(stored_images(m) != m.images for m in rows) else []),
        ("Images", lambda m: whole_number(m.images)),
        ("Bytes", lambda m: number(readable_bytes(m.bytes), m.bytes, "main")),
        *(share if whole else []),
        ("Time to evaluate", lambda m: number(readable_seconds(m.evaluate_seconds), m.evaluate_seconds)),
    ]
    caption = (
        "Time for a set is the mean over sets, steps alone. Peak memory is the process's, on a GPU torch's. "
        "Bytes are those of images and labels in memory."
    )
    return [("table", Table(caption, columns, rows))] if rows else []


def _seconds(seconds: float) -> Cell:
    return number(readable_seconds(seconds) if seconds else "–", seconds)


def _small_percent(share: float) -> str:
    """A fraction as a number of percent, with two digits where it is less than one."""
    return percent(share) if share >= 0.00995 else f"{100 * share:.2g}"


def skipped(report: Report) -> list[Part]:
    """What could not be measured, and why."""
    columns: list[Column] = [
        ("What", lambda one: Cell(one[0], strong=True)),
        ("Why", lambda one: Cell(one[1])),
    ]
    table = Table("Not measured", columns, report.skipped, sortable=False)
    return [("table", table)] if report.skipped else []


def details(report: Report) -> list[Part]:
    """For each number the accuracies behind it, the commands and the record; all numbers as files."""
    kinds = {"report.csv": ("text/csv", csv_text), "report.jsonl": ("application/json", json_lines)}
    files = [
        (name, f"data:{kind};base64,{base64.b64encode(make(report).encode('utf-8', 'replace')).decode()}")
        for name, (kind, make) in kinds.items()
    ]
    shown = {"files": files if report.measurements else [], "command": report.command}
    known = report.measurements or report.command
    return [("details", {**shown, "measurements": list(map(_detail, report.measurements))})] if known else []


def _detail(m: Measurement) -> dict[str, Any]:
    sets = [f"Set {i + 1}: {', '.join(map(percent, one))}" for i, one in enumerate(m.accuracies[:_MOST_SETS])]
    left, published = len(m.accuracies) - _MOST_SETS, m.published
    return {
        "name": subject_name(m.subject) + (f", {budget(m.ipc)}" if m.subject != WHOLE else ""),
        "by": f"{m.network}, {m.protocol}",
        "found": found(m),
        "data": m.data,
        "sets": [*sets, f"and {count(left, 'more set')}"] if left > 0 else sets,
        "published": published
        and f"{percent(published.mean)} % ({published.source}, by {published.protocol})",
        "commands": m.commands,
        "record": json.dumps(m.record, indent=2, ensure_ascii=False),
    }
