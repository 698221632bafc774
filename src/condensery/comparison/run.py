"""One start of a comparison: says what is missing and how long it will take, does it, and keeps what comes back."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from condensery.comparison import progress as states
from condensery.comparison.engines import Engine, results
from condensery.comparison.engines.engine import torch_threads
from condensery.comparison.estimate import Stopwatch
from condensery.comparison.folder import CELLS, SET, Folder, Problem
from condensery.comparison.impossible import impossible
from condensery.comparison.jobs import EVALUATE, MAKE, Job, Plan, Result, cells
from condensery.comparison.progress import Progress
from condensery.errors import BadInput
from condensery.records import ImageData
from condensery.report.contents import WHOLE
from condensery.session import Interrupted
from condensery.words import count, readable_seconds

Listener = Callable[[Progress], None]
_ORDER = {
    EVALUATE: 0,
    MAKE: 1,
    WHOLE: 2,
}  # networks are trained as soon as their set is there; the whole set is last


class NothingToDo(BadInput):
    """Every cell of a comparison is known beforehand to be impossible."""


class Run:
    """One start of a comparison.

    Attributes:
        cells: of the plan.
        problems: cells without a number, by key.

    Raises:
        BadInput: no cell can be done, or a file that says what came of one is damaged.
    """

    def __init__(
        self, plan: Plan, images: ImageData, folder: Folder, device: str, announce: Callable[[str], None]
    ) -> None:
        self.plan, self.images, self.folder = plan, images, folder
        self.device, self.announce = device, announce
        self.cells = cells(plan)
        made = {cell.made.key: cell.made for cell in self.cells if cell.made}
        folder.require_readable([*made.values(), *self.cells])
        self.problems, notes = impossible(self.cells, images)
        for note in notes:
            announce(note)
        of_sets = [cell.key for cell in self.cells if cell.made]
        if all(key in self.problems for key in of_sets):
            first = self.problems[of_sets[0]]
            raise NothingToDo(f"no cell can be done; {first.cell}: {first.reason}")
        for problem in dict.fromkeys(self.problems.values()):
            announce(f"skipped: {problem.cell}: {problem.reason}")

    def missing(self) -> dict[str, Job]:
        """The cells that are not there yet, and before them the sets that they need, by key."""
        possible = [cell for cell in self.cells if cell.key not in self.problems]
        missing = {cell.key: cell for cell in possible if not self._is_done(cell)}
        made = {cell.made.key: cell.made for cell in missing.values() if cell.made}
        return {key: one for key, one in made.items() if not self._is_done(one)} | missing

    def expected(self, slots: int, measure: bool = True) -> dict[str, float]:
        """Say what is left to do and, measured, how long it will take. Returns seconds of jobs by key."""
        missing, total = self.missing(), len(self.cells) - len(self.problems)
        sets = [job for job in missing.values() if job.kind == MAKE]
        open_cells = len(missing) - len(sets)
        if open_cells < total:
            self.announce(f"{total - open_cells} of {total} cells are done already")
        if not measure or not missing:
            return {}
        stopwatch = Stopwatch(self.plan, self.images, self.device)
        cost = {key: stopwatch.seconds(job) for key, job in missing.items()}
        make = sum(cost[job.key] for job in sets) / slots
        whole = sum(cost.values()) / slots
        self.announce(
            f"about {readable_seconds(whole)} for {count(open_cells, 'cell')} (make "
            f"{count(len(sets), 'set')} {readable_seconds(make)}, train and test networks "
            f"{readable_seconds(whole - make)}; {slots} at a time)"
        )
        return cost

    def work(self, engine: Engine, threads: int, estimate: bool, callback: Listener | None) -> None:
        """Do what is missing. Raises Interrupted after Ctrl-C."""
        try:
            with torch_threads(threads):  # measured as the jobs are run
                expected = self.expected(engine.slots, estimate)
        except KeyboardInterrupt as stop:
            raise Interrupted(
                "stopped before the first cell; nothing is lost: the same command goes on"
            ) from stop
        self.write_problems()  # those that are known already, in case the rest does not come to its end
        self.progress = Progress(self.cells, self.problems, engine.slots, expected)
        for cell in self.cells:
            if cell.key not in self.problems and (document := self.folder.document(cell)) is not None:
                self.progress.measured(cell, document)
        try:
            self._do(engine, threads, callback or (lambda progress: None))
        except (KeyboardInterrupt, Interrupted) as stop:
            raise Interrupted(
                f"stopped with {self.progress.done} of {self.progress.total} cells done; nothing is lost: "
                "the same command goes on"
            ) from stop
        self.write_problems()
        keys = {cell.key for cell in self.cells}
        others = sum(file.stem not in keys for file in (self.folder.path / CELLS).glob("*.json"))
        if others:
            self.announce(
                f"{count(others, 'more finished cell')} of other commands in {self.folder.path}: "
                f"condense report {self.folder.path} shows all"
            )

    def write_problems(self) -> None:
        self.folder.write_problems(self.problems, {cell.key for cell in self.cells})

    def _do(self, engine: Engine, threads: int, tell: Listener) -> None:
        missing = self.missing()
        unmade = {key for key, job in missing.items() if job.kind == MAKE}

        def next_job() -> Job | None:
            ready = [job for job in missing.values() if job.made is None or job.made.key not in unmade]
            if not ready:
                return None
            job = missing.pop(min(ready, key=lambda job: _ORDER[job.kind]).key)
            self.progress.set_state(*self._making(job, missing))
            folder = str(self.folder.free_folder(job)) if job.kind == MAKE else None
            files = {SET: self.folder.set_bytes(job.made)} if job.made else {}
            return replace(job, files=files, folder=folder, device=self.device, threads=threads)

        tell(self.progress)
        for job, result in results(engine, next_job):
            waiting, _ = self._making(job, missing)
            self.progress.slots = engine.slots
            self.progress.took(job.key, result.seconds)
            if result.skipped or result.failed:
                for cell in waiting:
                    missing.pop(cell.key, None)
                self.progress.line = self._give_up(job, result, waiting)
            else:
                self.folder.keep(job, result)
                unmade.discard(job.key)
                self.progress.line = self._kept(job, result, waiting)
            tell(self.progress)

    @staticmethod
    def _making(job: Job, missing: dict[str, Job]) -> tuple[list[Job], str]:
        """The cells that wait for a job, and their state while it is done."""
        if job.kind != MAKE:
            return [job], states.TESTING
        return [cell for cell in missing.values() if cell.made and cell.made.key == job.key], states.MAKING

    def _kept(self, job: Job, result: Result, waiting: list[Job]) -> str:
        if job.kind == MAKE:
            self.progress.set_state(waiting, states.WAITING)
            return f"{job.name}: made"
        self.progress.measured(job, result.document)
        score = result.document["scores"][0]
        spread = f" ± {100 * score['std']:.1f}" if score["n"] > 1 else ""
        return f"{job.name}: {100 * score['mean']:.1f}{spread} % (n = {score['n']})"

    def _give_up(self, job: Job, result: Result, lost: list[Job]) -> str:
        """Without a set, its cells have no number either."""
        reason, failed = result.skipped or result.failed, bool(result.failed)
        self.progress.set_state(lost, states.FAILED if failed else states.SKIPPED)
        self.problems |= {cell.key: Problem(cell.name, reason, failed=failed) for cell in lost}
        return f"{job.name}: {'failed' if failed else 'skipped'}: {reason}"

    def _is_done(self, job: Job) -> bool:
        return self.folder.result_file(job).exists()
