"""Where printed results go: lines for a person, or one JSON document for a machine."""

from __future__ import annotations

import io
import json
import os
import sys
from typing import Any, TextIO

from rich.box import SIMPLE_HEAD
from rich.console import Console, RenderableType
from rich.table import Table

_WIDTH_OF_A_FILE = 120  # columns where the output is not a terminal and COLUMNS says nothing


class Output:
    """Lines for people go to stdout; with `--json` to stderr, so that stdout holds one JSON document."""

    def __init__(self, machine: bool) -> None:
        self.machine = machine

    @property
    def stream(self) -> TextIO:
        """Where lines for a person go."""
        return sys.stderr if self.machine else sys.stdout

    def say(self, line: str = "") -> None:
        """One line for a person."""
        write(self.stream, line + "\n")

    def show(self, renderable: RenderableType) -> None:
        """A table or anything else that rich can draw, as wide as the terminal."""
        terminal = self.stream.isatty()
        wide = None if terminal or os.environ.get("COLUMNS") else _WIDTH_OF_A_FILE
        text = io.StringIO()
        Console(
            file=text, force_terminal=terminal, width=wide, highlight=False, markup=False, emoji=False
        ).print(renderable)
        write(self.stream, "\n".join(line.rstrip() for line in text.getvalue().splitlines()) + "\n")

    def result(self, document: Any) -> None:
        """The JSON document, if one is wanted."""
        if self.machine:
            write(sys.stdout, json.dumps(document, indent=2) + "\n")


def write(stream: TextIO, text: str) -> None:
    """Write and flush. A reader who has gone (`condense ... | head`) does not stop the work."""
    try:
        stream.write(text)
        stream.flush()
    except BrokenPipeError:
        discard(stream)


def discard(stream: TextIO) -> None:
    """Let everything that is still written to `stream` vanish."""
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, stream.fileno())
    os.close(null)


def plain_table(*columns: str) -> Table:
    """An empty table in the one style; a column whose name starts with ">" is set flush right."""
    table = Table(box=SIMPLE_HEAD, pad_edge=False, show_edge=False, collapse_padding=True)
    for name in columns:
        table.add_column(name.lstrip(">"), justify="right" if name.startswith(">") else "left")
    return table


def facts_table(facts: list[tuple[str, str]]) -> Table:
    """Names and values, a row each."""
    table = Table(box=None, show_header=False, pad_edge=False, padding=(0, 2, 0, 0))
    table.add_column(style="bold", no_wrap=True)
    table.add_column(overflow="fold")
    for name, value in facts:
        table.add_row(name, value)
    return table
