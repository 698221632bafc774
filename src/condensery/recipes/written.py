"""The files of a recipe that was run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from condensery import artifact
from condensery.recipes import grid
from condensery.recipes.filled import Reproduction
from condensery.report.writing import write_report


def write(done: Reproduction) -> list[Path]:
    """Write table.md, table.csv and table.jsonl, and report.html with the images; older ones are replaced.

    Raises:
        BadInput: the folder cannot be written.
    """
    texts = {
        "table.md": grid.markdown(done),
        "table.csv": grid.csv_text(done),
        "table.jsonl": grid.json_lines(done),
    }
    try:
        done.folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise artifact.unwritable(done.folder, error) from error
    for name, text in texts.items():
        artifact.write_text(done.folder / name, text)
    page = done.folder / "report.html"
    write_report(done.report(), page)
    return [*(done.folder / name for name in texts), page]


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
        "cells": [grid.record(done, one) for one in done.filled],
        "findings": list(done.findings),
        "problems": [vars(problem) for problem in done.problems],
        "command": done.command,
    }
