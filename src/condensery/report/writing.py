"""A report as a file: the ending of its name says which kind."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from condensery.disk import unwritable, write_bytes
from condensery.errors import BadInput
from condensery.report.contents import Report
from condensery.report.page import MARK, html
from condensery.report.tables import COLUMNS, JSON_MARK, MARKDOWN_MARK, csv_text, json_lines, markdown

_KINDS: dict[str, tuple[Callable[[Report], str], str]] = {  # how it is made, and what it begins with
    ".html": (html, f"<!doctype html>\n{MARK}"),
    ".md": (markdown, MARKDOWN_MARK),
    ".csv": (csv_text, ",".join(COLUMNS[:10])),  # later columns came with later versions
    ".jsonl": (json_lines, f'{{"kind": "{JSON_MARK}"'),
}


def require_writable(path: str | Path) -> None:
    """Fail before the work, not after it.

    Raises:
        BadInput: the ending is none of ours, the folder is missing, or there is a file that is not a report.
    """
    path = Path(path)
    if path.suffix.lower() not in _KINDS:
        raise BadInput(f"a report is written as {', '.join(_KINDS)}: choose another name than {path}")
    if path.is_dir():
        raise BadInput(f"{path} is a folder: name a file in it, such as {path / 'report.html'}")
    if path.exists() and not _is_report(path):
        raise BadInput(f"{path} exists and is not a report of condensery: choose another --out")
    if not path.exists() and not path.parent.is_dir():
        raise BadInput(
            f"cannot write {path}: there is no folder {path.parent} to write to; choose another place"
        )
    if not os.access(path.parent, os.W_OK | os.X_OK):
        raise BadInput(
            f"cannot write {path}: the folder {path.parent} is read-only; choose another place with --out"
        )


def _is_report(path: Path) -> bool:
    """Whether we wrote it, as far as its beginning tells. An empty file is nobody's."""
    begin = _KINDS[path.suffix.lower()][1].encode()
    try:
        with path.open("rb") as file:
            return file.read(len(begin)) in (begin, b"")
    except OSError as error:
        raise unwritable(path, error) from error


def write_report(report: Report, path: str | Path) -> int:
    """Write `report` atomically; returns its size in bytes. An older report at `path` is replaced.

    Raises:
        BadInput: as `require_writable`, or the disk is full.
    """
    require_writable(path)
    make, _ = _KINDS[Path(path).suffix.lower()]
    content = make(report).encode("utf-8", "replace")
    write_bytes(path, content)
    return len(content)
