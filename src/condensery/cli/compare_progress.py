"""How far a comparison is: a table on a terminal, a line for every finished job elsewhere."""

from __future__ import annotations

import sys
from types import TracebackType
from typing import Self

import numpy as np
from rich.console import Console
from rich.live import Live
from rich.table import Table

from condensery.cli.output import Output, plain_table
from condensery.comparison.run import DONE, Run
from condensery.text import accuracy, readable_seconds


class CompareProgress:
    """Shows the progress of a comparison, or of several one after the other."""

    def __init__(self, output: Output) -> None:
        self.output = output
        self.live: Live | None = None
        self.progress: Run | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self.live:
            self.live.stop()

    def say(self, line: str) -> None:
        """One line, above the table if there is one."""
        self.output.say(line, self.live)

    def update(self, progress: Run) -> None:
        """Callback for `condensery.compare`."""
        self.progress = progress
        if not sys.stderr.isatty():
            if progress.line:
                left = "" if progress.left is None else f", about {readable_seconds(progress.left)} left"
                self.output.say(f"[{progress.done}/{progress.total}{left}] {progress.line}")
        elif self.live is None:
            self.live = Live(
                get_renderable=lambda: progress_table(self.progress) if self.progress else "",
                console=Console(stderr=True),
                refresh_per_second=2,
                transient=True,
                redirect_stdout=False,  # it would send piped stdout to stderr; `say` does what it is for
                redirect_stderr=False,
            )
            self.live.start()


def progress_table(progress: Run) -> Table:
    """Rows are sets, columns architectures; each cell says what is going on or what was found."""
    networks = dict.fromkeys(cell.record["network"] for row in progress.rows.values() for cell in row)
    left = "" if progress.left is None else f", about {readable_seconds(progress.left)} left"
    table = plain_table("", *(f">{network}" for network in networks))
    table.title = (
        f"{progress.done} of {progress.total} cells done, {readable_seconds(progress.elapsed)} so far{left}"
    )
    table.title_justify = "left"
    for row in progress.rows:
        table.add_row(row, *(_cell(*progress.at(row, network)) for network in networks))
    return table


def _cell(state: str, accuracies: list[float]) -> str:
    """ "89.3 ± 0.5", "89.3 ± 0.5 (testing)", "waiting" """
    if not accuracies:
        return state
    found = accuracy(float(np.mean(accuracies)), float(np.std(accuracies)), len(accuracies))
    return found if state == DONE else f"{found} ({state})"
