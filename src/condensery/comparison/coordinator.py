"""One start of a comparison: looks ahead, says what it will cost, hands out jobs and keeps what comes back."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

from condensery.comparison import board as states
from condensery.comparison.board import Board, News
from condensery.comparison.engines.work import torch_threads
from condensery.comparison.estimate import Cost, Stopwatch
from condensery.comparison.foresight import Foresight
from condensery.comparison.jobs import Engine, Job, Outcome
from condensery.comparison.measured import measured
from condensery.comparison.outcome import Comparison, Problem
from condensery.comparison.perform import SET
from condensery.comparison.plan import Cell, Plan, SetJob, cells
from condensery.comparison.store import Store
from condensery.errors import BadInput
from condensery.records import ImageData
from condensery.session import Interrupted
from condensery.words import count, readable_seconds

Listener = Callable[[News], None]


class NothingToDo(BadInput):
    """Every cell of a comparison is known beforehand to be impossible."""


class Start:
    """One start of a comparison.

    Attributes:
        cells: of the plan, by key.
        problems: cells without a number, by key.
    """

    def __init__(
        self, plan: Plan, images: ImageData, store: Store, device: str, announce: Callable[[str], None]
    ) -> None:
        self.plan, self.images, self.store, self.device, self.announce = plan, images, store, device, announce
        self.cells = {cell.key: cell for cell in cells(plan)}
        self.problems: dict[str, Problem] = {}

    def look_ahead(self) -> None:
        """Find the cells that cannot be done, and say so.

        Raises:
            BadInput: that is all of them, or a file that says what came of one is damaged.
        """
        jobs = {cell.made.key: cell.made for cell in self.cells.values() if cell.made} | self.cells
        self.store.require_readable(jobs.values())
        foresight = Foresight(self.plan, self.images)
        self.problems = foresight.problems(self.cells.values())
        for note in foresight.notes:
            self.announce(note)
        of_sets = [cell.key for cell in self.cells.values() if cell.made]
        if all(key in self.problems for key in of_sets):
            first = self.problems[of_sets[0]]
            raise NothingToDo(f"no cell can be done; {first.cell}: {first.reason}")
        for problem in dict.fromkeys(self.problems.values()):
            self.announce(f"skipped: {problem.cell}: {problem.reason}")

    def to_do(self) -> tuple[list[SetJob], list[Cell]]:
        """The sets and cells that are not there yet."""
        missing = [
            cell
            for cell in self.cells.values()
            if cell.key not in self.problems and self.store.document(cell) is None
        ]
        needed = {cell.made.key: cell.made for cell in missing if cell.made}
        return [made for made in needed.values() if self.store.document(made) is None], missing

    def say_cost(self, slots: int, measure: bool = True) -> Cost:
        """Announce what is left to do and, measured, how long it will take."""
        open_sets, open_cells = self.to_do()
        total = len(self.cells) - len(self.problems)
        if len(open_cells) < total:
            self.announce(f"{total - len(open_cells)} of {total} cells are done already")
        if not measure or not open_cells:
            return Cost({}, {})
        cost = Stopwatch(self.plan, self.images, self.device).cost(open_sets, open_cells)
        make, test = (readable_seconds(sum(part.values()) / slots) for part in (cost.sets, cost.cells))
        self.announce(
            f"about {readable_seconds(cost.seconds / slots)} for {count(len(open_cells), 'cell')} (make "
            f"{count(len(open_sets), 'set')} {make}, train and test networks {test}; {slots} at a time)"
        )
        return cost

    def work(self, engine: Engine, threads: int, estimate: bool, callback: Listener | None) -> None:
        """Do what is left to do. Raises Interrupted after Ctrl-C."""
        try:
            with torch_threads(threads):  # measured as the jobs are run
                cost = self.say_cost(engine.slots, estimate)
        except KeyboardInterrupt as stop:
            raise Interrupted(
                "stopped before the first cell; nothing is lost: the same command goes on"
            ) from stop
        self.write_problems()  # those that are known already, in case the rest does not come to its end
        Coordinator(self, engine, threads, cost, callback).run()
        self.write_problems()
        if others := self.store.of_other_commands(self.cells):
            self.announce(
                f"{count(others, 'more finished cell')} of other commands in {self.store.path}: "
                f"condense report {self.store.path} shows all"
            )

    def write_problems(self) -> None:
        """Keep what has no number, and which cells are meant."""
        keys: dict[Problem, list[str]] = {}
        for key, problem in self.problems.items():
            keys.setdefault(problem, []).append(key)
        listed = [{**problem.to_json(), "keys": meant} for problem, meant in keys.items()]
        self.store.write_problems(listed, self.cells)

    def result(self, command: str, threads: int | None) -> Comparison:
        """What is there by now."""
        found = measured(list(self.cells.values()), self.store, threads)
        problems = tuple(dict.fromkeys(self.problems.values()))
        return Comparison(self.plan, self.store.path, found, problems, command)


class Coordinator:
    """Hands out jobs as workers get free and their sets are there, and keeps what comes back."""

    def __init__(
        self, start: Start, engine: Engine, threads: int, cost: Cost, callback: Listener | None
    ) -> None:
        self.start, self.engine, self.threads, self.callback = start, engine, threads, callback
        self.board = Board(start.plan, start.problems, engine.slots)
        self.board.expect({**cost.sets, **cost.cells})
        open_sets, open_cells = start.to_do()
        unmade = {made.key for made in open_sets}
        self.sets = deque(open_sets)
        self.ready = deque(cell for cell in open_cells if cell.made and cell.made.key not in unmade)
        self.last = deque(cell for cell in open_cells if cell.made is None)
        self.blocked = [cell for cell in open_cells if cell.made and cell.made.key in unmade]
        self.running: dict[str, SetJob | Cell] = {}
        for cell in start.cells.values():
            if cell.key not in start.problems and (document := start.store.document(cell)) is not None:
                self.board.settle(cell, document)

    def run(self) -> None:
        """Until nothing is left. Raises Interrupted after Ctrl-C."""
        self._tell("")
        try:
            while True:
                while len(self.running) < self.engine.slots and (job := self._next()) is not None:
                    self.engine.submit(self._job(job))
                    self.running[job.key] = job
                if not self.running:
                    return
                self._settle(self.engine.next())
        except (KeyboardInterrupt, Interrupted) as stop:
            raise Interrupted(
                f"stopped with {self.board.done} of {self.board.total} cells done; nothing is lost: "
                "the same command goes on"
            ) from stop

    def _next(self) -> SetJob | Cell | None:
        """Networks are trained as soon as their set is there; the whole set comes last."""
        for queue in (self.ready, self.sets, self.last):
            if queue:
                return queue.popleft()
        return None

    def _job(self, job: SetJob | Cell) -> Job:
        store, device = self.start.store, self.start.device
        if isinstance(job, SetJob):
            self.board.set_state(self._waiting_for(job), states.MAKING)
            folder = str(store.prepare(job))
            return Job(job.key, "make", job.record, {}, folder, device, self.threads)
        self.board.set_state([job], states.TESTING)
        files = {SET: store.set_bytes(job.made)} if job.made else {}
        return Job(job.key, job.kind, job.record, files, None, device, self.threads)

    def _waiting_for(self, made: SetJob) -> list[Cell]:
        return [cell for cell in self.blocked if cell.made and cell.made.key == made.key]

    def _settle(self, outcome: Outcome) -> None:
        job = self.running.pop(outcome.key)
        self.board.took(job.key, outcome.seconds)
        if outcome.skipped or outcome.failed:
            line = self._give_up(job, outcome)
        else:
            self.start.store.keep(job, outcome)
            line = self._made(job) if isinstance(job, SetJob) else self._measured(job)
        self._tell(line)

    def _made(self, made: SetJob) -> str:
        unblocked = self._waiting_for(made)
        self.blocked = [cell for cell in self.blocked if cell not in unblocked]
        self.board.set_state(unblocked, states.WAITING)
        self.ready.extend(unblocked)
        return f"{made.name}: made"

    def _measured(self, cell: Cell) -> str:
        document = self.start.store.document(cell)
        assert document is not None
        self.board.settle(cell, document)
        score = document["scores"][0]
        spread = f" ± {100 * score['std']:.1f}" if score["n"] > 1 else ""
        return f"{cell.name}: {100 * score['mean']:.1f}{spread} % (n = {score['n']})"

    def _give_up(self, job: SetJob | Cell, outcome: Outcome) -> str:
        """Without a set, its cells have no number either."""
        reason, failed = outcome.skipped or outcome.failed, bool(outcome.failed)
        lost = self._waiting_for(job) if isinstance(job, SetJob) else [job]
        self.blocked = [cell for cell in self.blocked if cell not in lost]
        self.board.set_state(lost, states.FAILED if failed else states.SKIPPED)
        for cell in lost:
            self.start.problems[cell.key] = Problem(cell.name, reason, failed=failed)
        return f"{job.name}: {'failed' if failed else 'skipped'}: {reason}"

    def _tell(self, line: str) -> None:
        self.board.slots = self.engine.slots
        if self.callback:
            self.callback(News(line, self.board.done, self.board.total, self.board.left, self.board))
