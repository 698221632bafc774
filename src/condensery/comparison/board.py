"""How far a comparison is: what a progress table shows while it runs."""

from __future__ import annotations

import time
from collections.abc import Container, Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np

from condensery.comparison.plan import Cell, Plan, cells

WAITING, MAKING, TESTING, DONE, SKIPPED, FAILED = "waiting", "making", "testing", "done", "skipped", "failed"


@dataclass(frozen=True)
class News:
    """One job is done, or could not be; or, at first, nothing is.

    Attributes:
        line: for people; "" at first.
        done, total: cells that are settled (done, skipped or failed), and all that could be expected to work.
        left: seconds until the end, None if it is not known.
        board: the state of everything.
    """

    line: str
    done: int
    total: int
    left: float | None
    board: Board


class Board:
    """The state of every cell, and the time that is left."""

    def __init__(self, plan: Plan, impossible: Container[str], slots: int) -> None:
        """`impossible` are the keys of cells that are known not to work."""
        self.plan, self.slots = plan, slots
        self.started = time.monotonic()
        self.columns = plan.networks
        self.rows: dict[str, list[Cell]] = {}  # by name, in order
        self.states: dict[str, str] = {}  # by key of the cell
        self.accuracies: dict[str, list[float]] = {}
        self.expected: dict[str, float] = {}  # seconds of jobs, by key
        self._left: dict[str, float] = {}
        self._spent = self._foreseen = 0.0
        for cell in cells(plan):
            self.rows.setdefault(cell.row, []).append(cell)
            self.states[cell.key] = SKIPPED if cell.key in impossible else WAITING
        self.total = sum(state == WAITING for state in self.states.values())
        self._impossible = len(self.states) - self.total

    def expect(self, seconds: dict[str, float]) -> None:
        """What jobs that are still to be done will take."""
        self.expected = dict(seconds)
        self._left = dict(seconds)

    def set_state(self, those: Iterable[Cell], state: str) -> None:
        for cell in those:
            self.states[cell.key] = state

    def settle(self, cell: Cell, document: dict[str, Any]) -> None:
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
        """Cells that are settled."""
        settled = sum(state in (DONE, SKIPPED, FAILED) for state in self.states.values())
        return settled - self._impossible

    @property
    def elapsed(self) -> float:
        return time.monotonic() - self.started

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
        here = [cell for cell in self.rows[row] if cell.network == network]
        states = [self.states[cell.key] for cell in here]
        found = [value for cell in here for value in self.accuracies.get(cell.key, [])]
        for state in (FAILED, TESTING, MAKING, WAITING, SKIPPED):
            if state in states:
                return state, found
        return DONE, found
