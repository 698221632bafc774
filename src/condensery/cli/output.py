"""Where printed results go: lines for a person, or one JSON document for a machine.

Names of classes and sources, and whole records, come out of strangers' files. What a person is shown of them goes
through `visible` on its way to the terminal, which happens in this module alone.
"""

from __future__ import annotations

import errno
import io
import json
import math
import os
import sys
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from rich.text import Text

from condensery.cli.flags import Options
from condensery.text import readable_bytes

if TYPE_CHECKING:
    from condensery.records import SyntheticSet

_GONE, _FULL = {errno.EPIPE, errno.EIO}, {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
SPARE = ("to make", "to learn", "to train", "time", "images", "epochs", "steps", "size", "HLR", "LRS")
"""Columns that narrow terminals can do without, the first one first; files hold them."""
_lost: list[str] = []
_WIDTH_OF_A_FILE = 120  # columns where the output is not a terminal and COLUMNS says nothing
_NARROWEST = 7  # signs that a column keeps, if it has them
_UNSEEN = {"Cc", "Cf", "Cs", "Zl", "Zp"}  # Unicode's control, format, surrogate, line and paragraph signs
_JOINERS = "\u200c\u200d"  # format signs too, but scripts and emoji need them, and they move nothing


def visible(text: str) -> str:
    """`text` as one line that cannot steer a terminal: unseen signs (ESC, newline, direction marks) as escapes."""
    return "".join(
        sign.encode("unicode_escape").decode()
        if unicodedata.category(sign) in _UNSEEN and sign not in _JOINERS
        else sign
        for sign in text
    )


def plain(*lines: str) -> Text:
    """Lines for rich, without markup and with nothing that steers a terminal."""
    return Text("\n".join(map(visible, lines)))


def table(rows: Iterable[Mapping[str, str | Sequence[str]]], title: str = "") -> Table:
    """A table in the one style: of each row its texts by column, several lines as a sequence of them.

    The heads are the names of the columns, a line below another one after a line break. A name that starts with ">"
    is not shown so: its column is set flush right, and its lines are not broken.
    """
    texts = [
        {name: plain(*([cell] if isinstance(cell, str) else cell)) for name, cell in row.items()}
        for row in rows
    ]
    look = {"pad_edge": False, "show_edge": False, "collapse_padding": True, "title_justify": "left"}
    found = Table(title=plain(title) if title else None, box=SIMPLE_HEAD, **look)
    names = list(dict.fromkeys(name for row in texts for name in row))
    for name in names:
        flush = {"justify": "right", "no_wrap": True} if name.startswith(">") else {"overflow": "fold"}
        head = plain(*name.lstrip(">").split("\n"))
        every = [head, *(row[name] for row in texts if name in row)]
        widest = max(line.cell_len for cell in every for line in cell.split("\n"))
        # numbers and their heads are not cut
        least = widest if name.startswith(">") else min(_NARROWEST, widest)
        found.add_column(head, min_width=least, **flush)  # type: ignore[arg-type]
    for row in texts:
        found.add_row(*(row.get(name, "") for name in names))
    return found


def facts(pairs: Iterable[tuple[str, str]]) -> Table:
    """Names and values, a row each."""
    found = Table(box=None, show_header=False, pad_edge=False, padding=(0, 2, 0, 0))
    found.add_column(style="bold", no_wrap=True)
    found.add_column(overflow="fold")
    for name, value in pairs:
        found.add_row(plain(name), plain(value))
    return found


class Output(Options):
    """Lines for people go to stdout; with `--json` to stderr, so that stdout holds one JSON document."""

    json: bool = False
    """Print one JSON document, and lines for people on stderr."""

    @property
    def stream(self) -> TextIO:
        """Where lines for a person go."""
        return sys.stderr if self.json else sys.stdout

    def say(self, line: str = "") -> None:
        """One line for a person."""
        say(self.stream, line)

    def show(self, found: Table, spare: Sequence[str] = ()) -> None:
        """A table as wide as the terminal. Where it is wider, columns named in `spare` are left out, the first one
        first, which a line says; then texts are broken.
        """
        terminal = self.stream.isatty()
        wide = None if terminal or os.environ.get("COLUMNS") else _WIDTH_OF_A_FILE
        text = io.StringIO()
        console = Console(file=text, force_terminal=terminal, width=wide, highlight=False)
        left_out = _made_to_fit(found, console, spare)
        console.print(found)
        write(self.stream, "\n".join(line.rstrip() for line in text.getvalue().splitlines()) + "\n")
        if left_out:
            self.say(f"{console.width} columns have no room for: {', '.join(left_out)}")

    def result(self, document: Any) -> None:
        """The JSON document, if one is wanted."""
        if self.json:
            text = json.dumps(_strict(document), indent=2, allow_nan=False)
            write(sys.stdout, text.replace("\x7f", "\\u007f") + "\n")

    def tell_set(self, out: Path, made: SyntheticSet, what: str, fact: tuple[str, str]) -> None:
        """The new set in the folder `out`: where it is, how large, one more `fact`, and what to do with it."""
        picture = str(out / "set.png") if (out / "set.png").exists() else None
        place, size = str(out / "set.safetensors"), readable_bytes(made.bytes)
        rows = [("Result", f"{place}  ({len(made)} {what}, {size})"), ("Picture", picture or "none"), fact]
        self.show(facts([*rows, ("Next", f"condense evaluate {out}")]))
        known = {"images": len(made), "bytes": made.bytes, "record": made.record}
        self.result({"out": str(out), "set": place, "picture": picture, **known})


def say(stream: TextIO, line: str) -> None:
    """One line for a person."""
    write(stream, visible(line) + "\n")


def complain(message: str) -> None:
    """One line on stderr, in the name of the command."""
    say(sys.stderr, f"condense: {' '.join(message.split())}")


def _made_to_fit(found: Table, console: Console, spare: Sequence[str]) -> list[str]:
    """Take columns out of a table that is too wide. Returns their names."""
    left_out, boundless = [], console.options.update(max_width=10_000)
    for name in spare:
        if console.measure(found, options=boundless).maximum <= console.width:
            break
        kept = [column for column in found.columns if str(column.header) != name]
        if len(kept) < len(found.columns):
            left_out.append(name)
            found.columns = kept
    return left_out


def _strict(value: Any) -> Any:
    """`value` as JSON has it: null for numbers that are not finite."""
    if isinstance(value, Mapping):
        return {key: _strict(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [_strict(one) for one in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def write(stream: TextIO, text: str) -> None:
    """Write and flush. What stops a stream does not stop the work: a reader who has gone (`condense ... | head`, a
    closed terminal), or a full disk, which `lost` tells.
    """
    try:
        stream.write(text)
        stream.flush()
    except OSError as error:
        if error.errno in _FULL:
            _lost.append(error.strerror or "the disk is full")
        elif error.errno not in _GONE:
            raise
        discard(stream)


def lost() -> str | None:
    """Why some of what was printed since the last call could not be written; None if nothing is missing."""
    reasons = list(_lost)
    _lost.clear()
    return reasons[0] if reasons else None


class Lasting:
    """A stream whose reader may go: see `write`."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def write(self, text: str) -> int:
        write(self._stream, text)
        return len(text)

    def flush(self) -> None:
        write(self._stream, "")


def discard(stream: TextIO) -> None:
    """Let everything that is still written to `stream` vanish."""
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, stream.fileno())
    os.close(null)
