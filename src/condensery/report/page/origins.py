"""The sections of a page on where numbers come from: what sets cost, what is missing, commands and records."""

from __future__ import annotations

import base64
import json
from dataclasses import replace

from condensery.report.contents import WHOLE, Measurement, Report
from condensery.report.page.elements import Cell, Column, command, fold, number, paragraphs, table, text
from condensery.report.page.names import BUDGET, MADE_BY, budget, found, groups, place, subject_name, varies
from condensery.report.tables import csv_text, json_lines, make_seconds, stored_images
from condensery.words import count, percent, readable_bytes, readable_seconds


def costs(report: Report) -> str:
    """Time, memory and bytes of each kind of set."""
    kinds = groups(report.measurements, lambda m: (m.data, m.subject, m.ipc, m.condensed_with, m.steps))
    if not kinds:
        return ""
    rows = [
        replace(
            group[0],
            evaluate_seconds=sum(m.evaluate_seconds for m in group),
            memory=max(m.memory or 0 for m in group),
        )
        for group in kinds.values()
    ]
    whole = max((m.bytes for m in report.measurements if m.subject == WHOLE), default=0)
    columns: list[Column] = [BUDGET, MADE_BY]
    if varies([m for m in report.measurements if m.condensed_with], "condensed_with"):
        columns.append(place("condensed_with"))
    columns += [
        ("Steps", lambda m: number("–" if m.steps is None else f"{m.steps:,}", m.steps or 0)),
        ("Time for a set", lambda m: _seconds(make_seconds(m))),
        ("Peak memory", lambda m: number(readable_bytes(m.memory) if m.memory else "–", m.memory)),
    ]
    if any(stored_images(m) != m.images for m in rows):
        columns.append(("Images stored", lambda m: number(f"{stored_images(m):,}", stored_images(m))))
    columns += [
        ("Images", lambda m: number(f"{m.images:,}", m.images)),
        ("Bytes", lambda m: number(readable_bytes(m.bytes), m.bytes, "main")),
    ]
    if whole:
        columns.append(
            ("Share of the whole", lambda m: number(f"{_small_percent(m.bytes / whole)} %", m.bytes))
        )
    columns.append(
        ("Time to evaluate", lambda m: number(readable_seconds(m.evaluate_seconds), m.evaluate_seconds))
    )
    caption = (
        "Time for a set is the mean over sets, steps alone. Peak memory is the process's, on a GPU torch's. "
        "Bytes are those of images and labels in memory."
    )
    return table(caption, columns, rows)


def _seconds(seconds: float) -> Cell:
    return number(readable_seconds(seconds) if seconds else "–", seconds)


def _small_percent(share: float) -> str:
    """A fraction as a number of percent, with two digits where it is less than one."""
    return percent(share) if share >= 0.00995 else f"{100 * share:.2g}"


def skipped(report: Report) -> str:
    """What could not be measured, and why."""
    columns: list[Column] = [
        ("What", lambda one: Cell(f"<b>{text(one[0])}</b>")),
        ("Why", lambda one: Cell(text(one[1]))),
    ]
    return table("Not measured", columns, report.skipped, sortable=False) if report.skipped else ""


def details(report: Report) -> str:
    """For each number the accuracies behind it, the commands and the record."""
    parts = [_downloads(report)] if report.measurements else []
    if report.command:
        parts.append(f"<p>All of it comes from one command:</p>{command(report.command)}")
    parts += [_detail(i, m) for i, m in enumerate(report.measurements)]
    return "".join(parts)


def _downloads(report: Report) -> str:
    files = (
        ("report.csv", "text/csv", csv_text(report)),
        ("report.jsonl", "application/json", json_lines(report)),
    )
    links = []
    for name, kind, content in files:
        data = base64.b64encode(content.encode("utf-8", "replace")).decode()
        links.append(f'<a download="{name}" href="data:{kind};base64,{data}">{name}</a>')
    joined = " · ".join(links)
    return f"<p>All numbers as files, from within this page: {joined}</p>"


def _detail(index: int, m: Measurement) -> str:
    name = f"{subject_name(m.subject)}, {budget(m.ipc)}" if m.subject != WHOLE else subject_name(m.subject)
    summary = f"<b>{text(name)}</b> → {text(m.network)}, {text(m.protocol)}: <b>{found(m)}</b>"
    lines = [
        f"Set {i + 1}: " + ", ".join(f"{percent(value)}" for value in networks)
        for i, networks in enumerate(m.accuracies)
    ]
    shown = lines if len(lines) <= 40 else [*lines[:40], f"and {count(len(lines) - 40, 'more set')}"]
    content = f"<p>Accuracy of each network, %, on {text(m.data)}:<br>{'<br>'.join(shown)}</p>"
    if m.published:
        origin = text(f"{m.published.source}, by {m.published.protocol}")
        content += paragraphs([f"Published: {percent(m.published.mean)} % ({origin})"])
    content += "".join(command(line) for line in m.commands) or "<p>The commands were not recorded.</p>"
    content += (
        f'<pre tabindex="0" class="record">{text(json.dumps(m.record, indent=2, ensure_ascii=False))}</pre>'
    )
    return fold(summary, content, identity=f"m{index}")
