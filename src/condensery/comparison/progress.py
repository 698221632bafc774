"""How far a comparison is: the state of every cell, and the time that is left."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence

import numpy as np

from condensery.comparison.folder import Problem
from condensery.comparison.jobs import Job

WAITING, MAKING, TESTING, DONE, SKIPPED, FAILED = "waiting", "making", "testing", "done", "skipped", "failed"


class Progress:
    """What a callback is told after every job, and once before the first. It goes on changing.

    Attributes:
        line: what came of the last job, for people; "" at first.
        rows: the cells of each row of the comparison, by name.
        problems: of cells that have no number, by key.
        expected: seconds of the jobs that were to be done, by key; {} without an estimate.
        took: seconds of those that were done by now.
        running: keys of the jobs that are being done.
        slots: jobs at a time.
        total: cells that could be expected to work.
    """

    def __init__(
        self, cells: Sequence[Job], problems: Mapping[str, Problem], slots: int, expected: dict[str, float]
    ) -> None:
        self.line, self.problems, self.slots, self.expected = "", problems, slots, expected
        self.total, self._impossible = len(cells) - len(problems), len(problems)
        self.rows: dict[str, list[Job]] = {}
        for cell in cells:
            self.rows.setdefault(cell.row, []).append(cell)
        self.accuracies: dict[str, list[float]] = {}
        self.took: dict[str, float] = {}
        self.running: set[str] = set()
        self._started = time.monotonic()

    def measured(self, key: str, accuracies: Sequence[Sequence[float]]) -> None:
        """A cell is done."""
        self.accuracies[key] = [float(value) for value in np.concatenate(accuracies)]

    @property
    def done(self) -> int:
        """Cells of the total that have a number, or a reason why they have none."""
        return len(self.accuracies) + len(self.problems) - self._impossible

    @property
    def elapsed(self) -> float:
        """Seconds so far."""
        return time.monotonic() - self._started

    @property
    def left(self) -> float | None:
        """Seconds until the end, None without an estimate: what was expected, at the pace of the jobs by now."""
        if not self.expected:
            return None
        whole = sum(self.expected.values())
        foreseen = sum(self.expected.get(key, 0.0) for key in self.took)
        prior = 0.1 * whole  # a few short jobs say little
        pace = (sum(self.took.values()) + prior) / (foreseen + prior) if prior else 1.0
        return (whole - foreseen) * pace / self.slots

    def state(self, cell: Job) -> str:
        if cell.key in self.accuracies:
            return DONE
        if cell.key in self.problems:
            return FAILED if self.problems[cell.key].failed else SKIPPED
        if cell.key in self.running:
            return TESTING
        return MAKING if cell.made and cell.made.key in self.running else WAITING

    def at(self, row: str, network: str) -> tuple[str, list[float]]:
        """State and accuracies so far of the cells of a row under one network: one for each seed."""
        here = [cell for cell in self.rows[row] if cell.record["network"] == network]
        states = {self.state(cell) for cell in here}
        found = [value for cell in here for value in self.accuracies.get(cell.key, [])]
        worst = (state for state in (FAILED, TESTING, MAKING, WAITING, SKIPPED) if state in states)
        return next(worst, DONE), found
