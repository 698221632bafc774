"""How far a comparison is: the state of every cell, and the time that is left."""

from __future__ import annotations

import time
from collections.abc import Container, Iterable, Sequence
from typing import Any

import numpy as np

from condensery.comparison.jobs import Job

WAITING, MAKING, TESTING, DONE, SKIPPED, FAILED = "waiting", "making", "testing", "done", "skipped", "failed"


class Progress:
    """What a callback is told after every job, and once before the first. It goes on changing.

    Attributes:
        line: what came of the last job, for people; "" at first.
        rows: the cells of each row of the comparison, by name.
        states, accuracies: of cells, by key.
        expected: seconds of the jobs that were to be done, by key; {} without an estimate.
        slots: jobs at a time.
        total: cells that could be expected to work.
    """

    def __init__(
        self, cells: Sequence[Job], impossible: Container[str], slots: int, expected: dict[str, float]
    ) -> None:
        self.line, self.slots, self.expected = "", slots, expected
        self.rows: dict[str, list[Job]] = {}
        self.states: dict[str, str] = {}
        self.accuracies: dict[str, list[float]] = {}
        self._started = time.monotonic()
        self._left = dict(expected)
        self._spent = self._foreseen = 0.0
        for cell in cells:
            self.rows.setdefault(cell.row, []).append(cell)
            self.states[cell.key] = SKIPPED if cell.key in impossible else WAITING
        self.total = sum(state == WAITING for state in self.states.values())

    def set_state(self, cells: Iterable[Job], state: str) -> None:
        self.states |= {cell.key: state for cell in cells}

    def measured(self, cell: Job, document: dict[str, Any]) -> None:
        """A cell is done."""
        self.states[cell.key] = DONE
        self.accuracies[cell.key] = list(np.concatenate(document["scores"][0]["accuracies"]))

    def took(self, key: str, seconds: float) -> None:
        """A job is over: measured against what was expected of it, that tells how long the others will take."""
        self._left.pop(key, None)
        if key in self.expected:
            self._spent += seconds
            self._foreseen += self.expected[key]

    @property
    def done(self) -> int:
        """Cells of the total that are done, or that met with a reason why they cannot be."""
        settled = sum(state in (DONE, SKIPPED, FAILED) for state in self.states.values())
        return settled - (len(self.states) - self.total)

    @property
    def elapsed(self) -> float:
        """Seconds so far."""
        return time.monotonic() - self._started

    @property
    def left(self) -> float | None:
        """Seconds until the end, None without an estimate."""
        if not self.expected:
            return None
        prior = 0.1 * sum(self.expected.values())  # a few short jobs say little
        pace = (self._spent + prior) / (self._foreseen + prior) if prior else 1.0
        return sum(self._left.values()) * pace / self.slots

    def at(self, row: str, network: str) -> tuple[str, list[float]]:
        """State and accuracies so far of the cells of a row under one network: one for each seed."""
        here = [cell.key for cell in self.rows[row] if cell.record["network"] == network]
        states = [self.states[key] for key in here]
        found = [value for key in here for value in self.accuracies.get(key, [])]
        worst = (state for state in (FAILED, TESTING, MAKING, WAITING, SKIPPED) if state in states)
        return next(worst, DONE), found
