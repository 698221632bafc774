"""The sections of a page on where numbers come from: what sets cost, what is missing, commands and records."""

from __future__ import annotations

import base64
import json
from collections.abc import Sequence

from condensery.report.contents import WHOLE, Measurement, Report
from condensery.report.page.elements import Cell, breakable, command, fold, paragraphs, table, text
from condensery.report.page.names import budget, found, groups, subject_name, varies
from condensery.report.tables import csv_text, json_lines, make_seconds, stores_others
from condensery.words import count, percent, readable_bytes, readable_seconds


def costs(report: Report) -> str:
    """Time, memory and bytes of each kind of set."""
    kinds = groups(report.measurements, lambda m: (m.data, m.subject, m.ipc, m.condensed_with, m.steps))
    if not kinds:
        return ""
    whole = max((m.bytes for m in report.measurements if m.subject == WHOLE), default=0)
    crossed = varies([m for m in report.measurements if m.condensed_with], "condensed_with")
    stored = any(map(stores_others, report.measurements))
    head = [
        "Images per class",
        "Made by",
        *(["Condensed with"] if crossed else []),
        "Steps",
        "Time for a set",
    ]
    head += ["Peak memory", *(["Images stored"] if stored else []), "Images", "Bytes"]
    head += [*(["Share of the whole"] if whole else []), "Time to evaluate"]
    rows = [_cost_row(group, whole, crossed, stored) for group in kinds.values()]
    caption = (
        "Time for a set is the mean over sets, steps alone. Peak memory is the process's, on a GPU torch's. "
        "Bytes are those of images and labels in memory."
    )
    return table(caption, head, rows)


def _cost_row(group: Sequence[Measurement], whole: int, crossed: bool, stored: bool) -> list[Cell]:
    m = group[0]
    seconds, evaluating = make_seconds(m), sum(one.evaluate_seconds for one in group)
    memory = max((one.memory or 0 for one in group), default=0)
    kept = m.images if m.stored_images is None else m.stored_images
    share = f"{_small_percent(m.bytes / whole)} %" if whole else ""
    return [
        Cell("all" if m.ipc is None else str(m.ipc), float(m.ipc or 1e12), True),
        Cell(f"<b>{text(subject_name(m.subject))}</b>", kind="who"),
        *([Cell(breakable(m.condensed_with or "–"), kind="name")] if crossed else []),
        Cell("–" if m.steps is None else f"{m.steps:,}", m.steps or 0, True),
        Cell(readable_seconds(seconds) if seconds else "–", seconds, True),
        Cell(readable_bytes(memory) if memory else "–", memory, True),
        *([Cell(f"{kept:,}", kept, True)] if stored else []),
        Cell(f"{m.images:,}", m.images, True),
        Cell(readable_bytes(m.bytes), m.bytes, True, "main"),
        *([Cell(share, m.bytes, True)] if whole else []),
        Cell(readable_seconds(evaluating), evaluating, True),
    ]


def _small_percent(share: float) -> str:
    """A fraction as a number of percent, with two digits where it is less than one."""
    return percent(share) if share >= 0.00995 else f"{100 * share:.2g}"


def skipped(report: Report) -> str:
    """What could not be measured, and why."""
    rows = [[Cell(f"<b>{text(cell)}</b>"), Cell(text(why))] for cell, why in report.skipped]
    return table("Not measured", ["What", "Why"], rows, sortable=False) if rows else ""


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
