"""One start of a comparison: what is missing and how long it will take, how far it is, and what comes back, kept."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

import numpy as np

from condensery.comparison.estimate import Stopwatch, impossible
from condensery.comparison.folder import CELLS, Folder, Problem
from condensery.comparison.given import as_made
from condensery.comparison.jobs import MAKE, ComparisonJob, cells, sets
from condensery.comparison.plan import Plan
from condensery.comparison.reports import Comparison
from condensery.comparison.rows import measurements
from condensery.errors import BadInput, Interrupted
from condensery.jobs.engines import Engine
from condensery.jobs.engines.engine import torch_threads
from condensery.jobs.images import remember
from condensery.jobs.job import Job, Result
from condensery.jobs.work import do_missing
from condensery.provenance import pick_device
from condensery.records import ImageData
from condensery.text import accuracy, count, readable_seconds

WAITING, MAKING, TESTING, DONE, SKIPPED, FAILED = "waiting", "making", "testing", "done", "skipped", "failed"


class NothingToDo(BadInput):
    """Every cell of a comparison is known beforehand to be impossible."""


class Run:
    """One start of a comparison. A callback is told of it once before the first job, and after each.

    Attributes:
        cells: of the plan.
        rows: the same by row, under its name.
        problems: cells without a number, by key.
        accuracies: of all networks of the cells that are done, by key.
        line: what came of the last job, for people; "" at first.
        running: keys of the jobs that are being done.
        slots: jobs at a time.
        expected: seconds of the jobs that were to be done, by key; {} without an estimate.
        took: seconds of those that were done by now.

    Raises:
        NothingToDo: no cell can be done.
        BadInput: there is no such device.
        BadFile: a file that says what came of one is damaged.
    """

    def __init__(
        self, plan: Plan, images: ImageData, folder: Folder, device: str, announce: Callable[[str], None]
    ) -> None:
        pick_device(device)
        self.plan, self.images, self.folder = plan, images, folder
        self.device, self.announce, self.cells = device, announce, cells(plan)
        self.line, self.slots = "", 1
        self.rows: dict[str, list[ComparisonJob]] = {}
        self.accuracies: dict[str, list[float]] = {}
        self.running: set[str] = set()
        self.expected: dict[str, float] = {}
        self.took: dict[str, float] = {}
        for cell in self.cells:
            self.rows.setdefault(cell.row, []).append(cell)
        made = {cell.made.key: cell.made for cell in self.cells if cell.made}
        folder.require_readable([*made.values(), *self.cells])
        self.problems, notes = impossible(self.rows, images)
        for note in notes:
            announce(note)
        of_sets = [cell.key for cell in self.cells if cell.made]
        if all(key in self.problems for key in of_sets):
            first = self.problems[of_sets[0]]
            raise NothingToDo(f"no cell can be done; {first.cell}: {first.reason}")
        for problem in dict.fromkeys(self.problems.values()):
            announce(f"skipped: {problem.cell}: {problem.reason}")
        self.total = len(self.cells) - len(self.problems)
        self._started = time.monotonic()

    # ---- how far it is

    @property
    def done(self) -> int:
        """Cells of the `total` that could be expected to work that have a number, or a reason why they have none."""
        return len(self.accuracies) + sum(not problem.foreseen for problem in self.problems.values())

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

    def at(self, row: str, network: str) -> tuple[str, list[float]]:
        """State and accuracies so far of the cells of a row under one network: one for each seed."""
        here = [cell for cell in self.rows[row] if cell.record["network"] == network]
        states = {self._state(cell) for cell in here}
        found = [value for cell in here for value in self.accuracies.get(cell.key, [])]
        worst = (state for state in (FAILED, TESTING, MAKING, WAITING, SKIPPED) if state in states)
        return next(worst, DONE), found

    def _state(self, cell: ComparisonJob) -> str:
        if cell.key in self.accuracies:
            return DONE
        if cell.key in self.problems:
            return FAILED if self.problems[cell.key].failed else SKIPPED
        if cell.key in self.running:
            return TESTING
        return MAKING if cell.made and cell.made.key in self.running else WAITING

    # ---- the work

    def carry_out(
        self,
        engine: Engine,
        threads: int | None = None,
        estimate: bool = True,
        dry_run: bool = False,
        command: str = "",
        callback: Callable[[Run], None] | None = None,
    ) -> Comparison:
        """Do what is missing. See `condensery.compare`. Raises Interrupted after Ctrl-C."""
        self.slots = engine.slots
        if dry_run:
            self._expect(True)
        else:
            remember(self.images)
            with self.folder.opened(self.plan, threads, engine.slots, command) as threads:
                self._work(engine, threads, estimate, callback)
        found = measurements(self.cells, self.folder, threads)
        problems = tuple(dict.fromkeys(self.problems.values()))
        return Comparison(self.folder.path, self.plan, sets(self.plan), self.cells, found, problems, command)

    def _missing(self) -> list[ComparisonJob]:
        """The cells that are not there yet, and before them the sets that they need."""
        open_cells = [c for c in self.cells if c.key not in self.problems and not self.folder.is_done(c)]
        made = {cell.made.key: cell.made for cell in open_cells if cell.made and not cell.made.given}
        return [*(one for one in made.values() if not self.folder.is_done(one)), *open_cells]

    def _expect(self, measure: bool) -> None:
        """Say what is missing and, measured, how long it will take."""
        missing = self._missing()
        sets = [job.key for job in missing if job.kind == MAKE]
        open_cells = len(missing) - len(sets)
        if open_cells < self.total:
            self.announce(f"{self.total - open_cells} of {self.total} cells are done already")
        if not measure or not missing:
            return
        self.announce("timing one of each kind of work, to say how long all of it takes")
        stopwatch = Stopwatch(self.plan, self.images, self.device)
        self.expected = seconds = {job.key: stopwatch.seconds(job) for job in missing}
        whole, make = (sum(seconds[key] for key in keys) / self.slots for keys in (seconds, sets))
        self.announce(
            f"about {readable_seconds(whole)} for {count(open_cells, 'cell')} (make "
            f"{count(len(sets), 'set')} {readable_seconds(make)}, train and test networks "
            f"{readable_seconds(whole - make)}; {self.slots} at a time)"
        )

    def _work(
        self, engine: Engine, threads: int, estimate: bool, callback: Callable[[Run], None] | None
    ) -> None:
        where = "before the first cell"
        try:
            for one in sets(self.plan):
                if one.given and not self.folder.is_done(one):
                    self.folder.keep(one, as_made(one))
            with torch_threads(threads):  # measured as the jobs are run
                self._expect(estimate)
            self._write_problems()  # those that are known already, in case the rest does not come to its end
            for cell in self.cells:
                if cell.key not in self.problems and (document := self.folder.document(cell)):
                    self._measured(cell, document["scores"][0]["accuracies"])
            self._started = time.monotonic()
            for _ in self._steps(engine, threads):
                where = f"with {self.done} of {self.total} cells done"
                if callback:
                    callback(self)
        except (KeyboardInterrupt, Interrupted) as stop:
            raise Interrupted(f"stopped {where}; nothing is lost: the same command goes on") from stop
        self._write_problems()
        keys = {cell.key for cell in self.cells}
        if others := sum(file.stem not in keys for file in (self.folder.path / CELLS).glob("*.json")):
            self.announce(
                f"{count(others, 'more finished cell')} of other commands in {self.folder.path}: "
                f"condense report {self.folder.path} shows all"
            )

    def _steps(self, engine: Engine, threads: int) -> Iterator[None]:
        """Goes on before the first job, and after each."""
        missing = {job.key: job for job in self._missing()}

        def begun(job: Job) -> None:
            self.running.add(job.key)

        yield
        for done, result in do_missing(
            list(missing.values()), self.folder, engine, self.device, threads, begun
        ):
            job = missing[done.key]
            self.slots = engine.slots
            self.running.discard(job.key)
            self.took[job.key] = result.seconds
            in_vain = result.skipped or result.failed
            self.line = self._without_number(job, result) if in_vain else self._with_result(job, result)
            yield

    def _with_result(self, job: ComparisonJob, result: Result) -> str:
        if job.kind == MAKE:
            return f"{job.name}: made"
        score = result.document["scores"][0]
        self._measured(job, score["accuracies"])
        return f"{job.name}: {accuracy(score['mean'], score['std'], score['n'])} % (n = {score['n']})"

    def _measured(self, cell: ComparisonJob, accuracies: list[list[float]]) -> None:
        self.accuracies[cell.key] = [float(value) for value in np.concatenate(accuracies)]

    def _without_number(self, job: ComparisonJob, result: Result) -> str:
        """Without a set, its cells have no number either."""
        reason, failed = result.skipped or result.failed, bool(result.failed)
        lost = [cell for cell in self.cells if job.key in (cell.key, cell.made and cell.made.key)]
        for cell in lost:
            if cell.key not in self.accuracies:
                self.problems.setdefault(cell.key, Problem(cell.name, reason, failed=failed))
        return f"{job.name}: {'failed' if failed else 'skipped'}: {reason}"

    def _write_problems(self) -> None:
        self.folder.write_problems(self.problems, (cell.key for cell in self.cells))
