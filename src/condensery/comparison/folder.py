"""The folder of a comparison, for those that write it and those that read it.

comparison.json        what was asked for last, and the labels of all sets that were ever asked for
sets/KEY/              a run folder for each set; `condense evaluate`, `show` and `report` read it
sets/KEY/made.json     says that the set is done
cells/KEY.json         an evaluation, as `condense evaluate` writes it
problems.json          cells that were skipped or failed, and why
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from condensery.errors import BadFile

FORMAT = 1
SETTINGS, SETS, CELLS, PROBLEMS = "comparison.json", "sets", "cells", "problems.json"

DO_AGAIN = "delete it, and its cell is done again"
_GO_ON = "delete it, and the same command goes on with the cells that are there"


def is_comparison(path: Path) -> bool:
    """Whether a folder looks like that of a comparison."""
    return (path / SETS).is_dir() or (path / CELLS).is_dir()


def read_settings(folder: Path) -> dict[str, Any] | None:
    """What comparison.json says; None if there is none.

    Raises:
        BadFile: it is damaged, or was written by a newer version.
    """
    path = folder / SETTINGS
    if not path.exists():
        return None
    settings = read_document(path, _GO_ON)
    written = settings.get("format")
    if type(written) is not int or not isinstance(settings.get("plan"), dict):
        raise damaged_settings(folder)
    if written > FORMAT:
        raise BadFile(f"{path} was written by a newer condensery: upgrade condensery")
    return settings


def damaged_settings(folder: Path) -> BadFile:
    """The error for a comparison.json that makes no sense."""
    return BadFile(f"{folder / SETTINGS} is damaged: {_GO_ON}")


def read_document(path: Path, fix: str = DO_AGAIN) -> dict[str, Any]:
    """A JSON object. Raises BadFile, with the `fix`, if the file holds anything else."""
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise BadFile(f"{path} is damaged: {fix}") from error
    if not isinstance(document, dict):
        raise BadFile(f"{path} is damaged: {fix}")
    return document
