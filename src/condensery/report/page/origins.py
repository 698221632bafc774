"""The sections of a page on where numbers come from: what sets cost, commands and records."""

from __future__ import annotations

import base64
from dataclasses import replace
from typing import Any

from condensery.report.contents import WHOLE, Report
from condensery.report.page.names import groups, values_of
from condensery.report.tables import csv_text, json_lines, stored_images
from condensery.text import percent


def costs(report: Report) -> dict[str, Any]:
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
    shown = {
        "rows": rows,
        "whole": max((m.bytes for m in report.measurements if m.subject == WHOLE), default=0),
        "origin": len(values_of(rows)["condensed_with"]) > 1,
        "stored": any(stored_images(m) != m.images for m in rows),
    }
    return shown if rows else {}


def small_percent(share: float) -> str:
    """A fraction as a number of percent, with two digits where it is less than one."""
    return percent(share) if share >= 0.00995 else f"{100 * share:.2g}"


def details(report: Report) -> dict[str, Any]:
    """For each number the accuracies behind it, the commands and the record; all numbers as files."""
    kinds = {"report.csv": ("text/csv", csv_text), "report.jsonl": ("application/json", json_lines)}
    files = [
        (name, f"data:{kind};base64,{base64.b64encode(make(report).encode('utf-8', 'replace')).decode()}")
        for name, (kind, make) in kinds.items()
    ]
    known = report.measurements or report.command
    return {"files": files if report.measurements else [], "report": report} if known else {}
