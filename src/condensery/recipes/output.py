"""The files of a recipe that was run: ours beside theirs. Percent only where a person reads it."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path
from typing import Any

from condensery import artifact
from condensery.published import ACCURACY, Published
from condensery.recipes.reproduction import ReproducedCell, Reproduction, Value
from condensery.report.tables import stored_images
from condensery.report.writing import write_report
from condensery.text import count


def write(done: Reproduction) -> list[Path]:
    """Write table.md, table.csv and table.jsonl, and report.html with the images; older ones are replaced.

    Raises:
        BadInput: the folder cannot be written.
    """
    cells = [record(done, one) for one in done.cells]
    lines = "".join(json.dumps(cell) + "\n" for cell in cells)
    texts = {"table.md": markdown(done), "table.csv": _csv_text(cells), "table.jsonl": lines}
    try:
        done.folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise artifact.unwritable(done.folder, error) from error
    for name, text in texts.items():
        artifact.write_text(done.folder / name, text)
    write_report(done.report(), done.folder / "report.html")
    return [done.folder / name for name in (*texts, "report.html")]


def to_json(done: Reproduction) -> dict[str, Any]:
    """Everything as one JSON-able document."""
    return {
        "recipe": done.recipe.name,
        "title": done.recipe.title,
        "source": done.recipe.source,
        "quantity": done.recipe.quantity,
        "folder": str(done.folder),
        "data": done.images,
        "not_as_published": list(done.remarks),
        "cells": [record(done, one) for one in done.cells],
        "findings": list(done.findings),
        "problems": [vars(problem) for problem in done.problems],
        "command": done.command,
    }


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


def pair(one: ReproducedCell | None, quantity: str) -> str:
    """Both, or ours alone where the quantity is not accuracy; "" where the table has no cell."""
    if one is None:
        return ""
    mine = ours(one.ours, quantity)
    return f"{mine} / {theirs(one.published.value)}" if quantity == ACCURACY else mine


def caption(done: Reproduction) -> list[str]:
    """What the table is, and what of it differs from the published run."""
    recipe = done.recipe
    counts = sorted({(one.ours.sets, one.ours.n / one.ours.sets) for one in done.cells if one.ours})
    shown = ", ".join(f"{sets} x {each:g}" for sets, each in counts) or "none"
    if recipe.quantity == ACCURACY:
        theirs = f"{count(recipe.sets, 'set')} x {count(recipe.networks, 'network')}"
        each = f"ours / published ({recipe.source}: {theirs}; ours {shown})"
    else:
        each = f"ours, sets x values {shown} ({recipe.source} draws it and prints no numbers)"
    return [
        f"{recipe.name}: {recipe.title}",
        f"{recipe.quantity[0].upper()}{recipe.quantity[1:]}, {each}",
        *(f"Not as published: {line}" for line in done.remarks),
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


def record(done: Reproduction, one: ReproducedCell) -> dict[str, Any]:
    """A cell as plain values; None where nothing is known."""
    cell, value, found = one.published, one.ours, one.ours and one.ours.measurement
    return {
        "recipe": done.recipe.name,
        "source": done.recipe.source,
        "quantity": done.recipe.quantity,
        "row": cell.row,
        "column": cell.column,
        "data": done.images,
        "published_data": cell.data,
        "method": cell.method,
        "fields": dict(cell.fields),
        "ipc": cell.ipc,
        "condensed_with": cell.condensed_with,
        "network": cell.network,
        "protocol": cell.protocol,
        "mean": value and value.mean,
        "std": value and value.std,
        "n": value and value.n,
        "sets": value and value.sets,
        "accuracies": found and found.accuracies,
        "steps": found and found.steps,
        "published_mean": cell.value and cell.value.mean,
        "published_std": cell.value and cell.value.std,
        "not_as_published": list(done.remarks),
        "commands": list(found.commands) if found else [],
        "images": found and found.images,
        "stored_images": found and stored_images(found),
        "bytes": found and found.bytes,
    }


def _csv_text(cells: list[dict[str, Any]]) -> str:
    """A line for each cell without its single accuracies and commands, fields and remarks as text."""
    columns = [name for name in cells[0] if name not in ("accuracies", "commands")]
    buffer = io.StringIO()
    writer = csv.DictWriter(buffer, columns, extrasaction="ignore", lineterminator="\n")
    writer.writeheader()
    for cell in cells:
        fields = " ".join(f"{name}={value}" for name, value in cell["fields"].items())
        writer.writerow({**cell, "fields": fields, "not_as_published": "; ".join(cell["not_as_published"])})
    return buffer.getvalue()
