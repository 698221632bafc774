"""How far a comparison is: a table on a terminal, a line for every finished job elsewhere."""

from __future__ import annotations

import sys
from types import TracebackType
from typing import Self

import numpy as np
from rich.console import Console, RenderableType
from rich.live import Live
from rich.table import Table

from condensery.cli.output import Output, plain_table
from condensery.comparison.board import DONE, Board, News
from condensery.words import accuracy, readable_seconds


class CompareProgress:
    """Shows the news of a comparison."""

    def __init__(self, output: Output) -> None:
        self.output = output
        self.live: Live | None = None
        self.board: Board | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self.live:
            self.live.stop()

    def say(self, line: str) -> None:
        """One line, above the table if there is one."""
        self.output.say(line, self.live)

    def news(self, news: News) -> None:
        """Callback for `condensery.compare`."""
        self.board = news.board
        if not sys.stderr.isatty():
            if news.line:
                left = "" if news.left is None else f", about {readable_seconds(news.left)} left"
                self.output.say(f"[{news.done}/{news.total}{left}] {news.line}")
        elif self.live is None:
            console = Console(stderr=True)
            # Redirecting would send piped stdout to stderr; `say` does what redirecting is for.
            self.live = Live(
                get_renderable=self._drawn,
                console=console,
                refresh_per_second=2,
                transient=True,
                redirect_stdout=False,
                redirect_stderr=False,
            )
            self.live.start()

    def _drawn(self) -> RenderableType:
        return progress_table(self.board) if self.board else ""


def progress_table(board: Board) -> Table:
    """Rows are sets, columns architectures; each cell says what is going on or what was found."""
    left = board.left
    time = f"{readable_seconds(board.elapsed)} so far"
    if left is not None:
        time += f", about {readable_seconds(left)} left"
    table = plain_table("", *(f">{network}" for network in board.columns))
    table.title = f"{board.done} of {board.total} cells done, {time}"
    table.title_justify = "left"
    for row in board.rows:
        table.add_row(row, *(_cell(*board.at(row, network)) for network in board.columns))
    return table


def _cell(state: str, accuracies: list[float]) -> str:
    """ "89.3 ± 0.5", "89.3 ± 0.5 (testing)", "waiting" """
    if not accuracies:
        return state
    found = accuracy(float(np.mean(accuracies)), float(np.std(accuracies)), len(accuracies))
    return found if state == DONE else f"{found} ({state})"
