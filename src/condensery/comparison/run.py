"""One start of a comparison: says what is missing and how long it will take, does it, and keeps what comes back."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

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
from condensery.text import accuracy, count, readable_seconds

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
        self.device, self.announce, self.cells = device, announce, cells(plan)
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

    def missing(self) -> list[Job]:
        """The cells that are not there yet, and before them the sets that they need."""
        open_cells = [c for c in self.cells if c.key not in self.problems and not self.folder.is_done(c)]
        made = {cell.made.key: cell.made for cell in open_cells if cell.made}
        return [*(one for one in made.values() if not self.folder.is_done(one)), *open_cells]

    def expected(self, slots: int, measure: bool = True) -> dict[str, float]:
        """Say what is missing and, measured, how long it will take. Returns seconds of jobs by key."""
        missing, total = self.missing(), len(self.cells) - len(self.problems)
        sets = [job.key for job in missing if job.kind == MAKE]
        open_cells = len(missing) - len(sets)
        if open_cells < total:
            self.announce(f"{total - open_cells} of {total} cells are done already")
        if not measure or not missing:
            return {}
        stopwatch = Stopwatch(self.plan, self.images, self.device)
        seconds = {job.key: stopwatch.seconds(job) for job in missing}
        whole, make = sum(seconds.values()) / slots, sum(seconds[key] for key in sets) / slots
        self.announce(
            f"about {readable_seconds(whole)} for {count(open_cells, 'cell')} (make "
            f"{count(len(sets), 'set')} {readable_seconds(make)}, train and test networks "
            f"{readable_seconds(whole - make)}; {slots} at a time)"
        )
        return seconds

    def work(self, engine: Engine, threads: int, estimate: bool, callback: Listener | None) -> None:
        """Do what is missing. Raises Interrupted after Ctrl-C."""
        where = "before the first cell"
        try:
            with torch_threads(threads):  # measured as the jobs are run
                expected = self.expected(engine.slots, estimate)
            self._write_problems()  # those that are known already, in case the rest does not come to its end
            self.progress = progress = Progress(self.cells, self.problems, engine.slots, expected)
            for cell in self.cells:
                if cell.key not in self.problems and (document := self.folder.document(cell)):
                    progress.measured(cell.key, document["scores"][0]["accuracies"])
            for _ in self._steps(engine, threads):
                where = f"with {progress.done} of {progress.total} cells done"
                if callback:
                    callback(progress)
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
        progress, missing = self.progress, {job.key: job for job in self.missing()}
        unmade = {job.key for job in missing.values() if job.kind == MAKE}

        def next_job() -> Job | None:
            ready = [job for job in missing.values() if not job.made or job.made.key not in unmade]
            if not ready:
                return None
            job = missing.pop(min(ready, key=lambda job: _ORDER[job.kind]).key)
            progress.running.add(job.key)
            folder = str(self.folder.free_folder(job)) if job.kind == MAKE else ""
            files = {SET: self.folder.set_bytes(job.made)} if job.made else {}
            return replace(job, files=files, folder=folder, device=self.device, threads=threads)

        yield
        for job, result in results(engine, next_job):
            progress.slots = engine.slots
            progress.running.discard(job.key)
            progress.took[job.key] = result.seconds
            if result.skipped or result.failed:
                progress.line = self._without_number(job, result)
            else:
                self.folder.keep(job, result)
                unmade.discard(job.key)
                progress.line = self._done(job, result)
            yield

    def _done(self, job: Job, result: Result) -> str:
        if job.kind == MAKE:
            return f"{job.name}: made"
        score = result.document["scores"][0]
        self.progress.measured(job.key, score["accuracies"])
        return f"{job.name}: {accuracy(score['mean'], score['std'], score['n'])} % (n = {score['n']})"

    def _without_number(self, job: Job, result: Result) -> str:
        """Without a set, its cells have no number either."""
        reason, failed = result.skipped or result.failed, bool(result.failed)
        lost = [cell for cell in self.cells if job.key in (cell.key, cell.made and cell.made.key)]
        for cell in lost:
            if cell.key not in self.progress.accuracies:
                self.problems.setdefault(cell.key, Problem(cell.name, reason, failed=failed))
        return f"{job.name}: {'failed' if failed else 'skipped'}: {reason}"

    def _write_problems(self) -> None:
        self.folder.write_problems(self.problems, (cell.key for cell in self.cells))
