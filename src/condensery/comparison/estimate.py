"""What is known before any work: cells that cannot be done, what methods say, and how long the rest will take."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch

from condensery import artifact, driver
from condensery.budgets import in_record
from condensery.comparison.folder import Problem
from condensery.comparison.jobs import MAKE, ON_THE_WAY, ComparisonJob
from condensery.comparison.perform import evaluation_options
from condensery.comparison.plan import Plan
from condensery.coresets import SelectionTask, get_selector, random_selection
from condensery.data import ClassPool
from condensery.data.sources import silent
from condensery.errors import BadInput, FailedWork
from condensery.evaluation import Protocol
from condensery.evaluation.cost import EvaluationTimer
from condensery.method import Method, Task, images_per_class
from condensery.methods import METHODS, get_method
from condensery.models.registry import resolve
from condensery.pretraining import KeptNetwork
from condensery.provenance import pick_device
from condensery.records import ImageData, SyntheticSet
from condensery.rng import Rng
from condensery.selection import as_many_as_there
from condensery.training import default_chunk

# ---- cells that cannot be done


def impossible(
    rows: Mapping[str, Sequence[ComparisonJob]], images: ImageData
) -> tuple[dict[str, Problem], list[str]]:
    """Of cells by row: those that cannot be done, by key, and what methods say about their settings, for people.

    Cells of a row that share a reason are named together.
    """
    pool = ClassPool(images.train, images.spec, torch.device("cpu"))
    found: dict[str, Problem] = {}
    notes: dict[str, None] = {}
    for row, cells in rows.items():
        made = cells[0].made
        of_set = _refusal(lambda made=made: notes.update(_notes(made, pool))) if made else ""
        tested = dict.fromkeys(cell.record["network"] for cell in cells)
        reasons = {n: of_set or _refusal(lambda n=n: resolve(n).parameter_count(images.spec)) for n in tested}
        several = len(set(reasons.values())) > 1
        for cell in cells:
            network = cell.record["network"]
            if reason := reasons[network]:
                found[cell.key] = Problem(f"{row} on {network}" if several else row, reason, foreseen=True)
    return found, list(notes)


def _refusal(check: Callable[[], object]) -> str:
    """Why a check refuses, "" if it does not."""
    try:
        check()
    except BadInput as error:
        return str(error)
    return ""


def _notes(made: ComparisonJob, pool: ClassPool) -> dict[str, None]:
    """Of the method on its settings, in order. Raises BadInput if the set cannot be made."""
    if made.given:  # checked when it was read
        return {}
    if made.record["network"]:
        resolve(made.record["network"]).parameter_count(pool.spec)
    lines: list[str] = []
    algorithm, task = _algorithm(made, pool, lines.append)
    return {f"{made.label}: {note}": None for note in [*lines, *algorithm.check(task)]}


def _algorithm(
    made: ComparisonJob, pool: ClassPool, announce: Callable[[str], None] = silent, **of_selection: Any
) -> tuple[Any, Any]:
    """The method or the selector of a set, and the task that it gets; what it gets too few images for is said."""
    record, device = made.record, pool.device
    counts, network = in_record(record["ipc"], pool.spec.num_classes), resolve(record["network"] or "convnet")
    place = (device, default_chunk(device))
    if record["method"] in METHODS:
        task = Task(pool, network, counts, *place, record["steps"])
        return get_method(record["method"], **record["fields"]), task
    counts = as_many_as_there(counts, pool, announce)
    selection = SelectionTask(pool, network, counts, *place, **of_selection)
    return get_selector(record["method"], **record["fields"]), selection


# ---- time


class Stopwatch:
    """Measures jobs of a plan. Each kind of work is measured once; everything it makes is thrown away."""

    def __init__(self, plan: Plan, images: ImageData, device: str) -> None:
        self.pool = ClassPool(images.train, images.spec, pick_device(device))
        self.protocol = Protocol.from_json(plan.protocol)
        self.timer = EvaluationTimer(images, self.protocol, self.pool.device, self._to_train)
        self.rng = Rng(0).fork("estimate")
        self._steps: dict[object, float] = {}  # seconds of an update, by method and task
        self._samples: dict[str, SyntheticSet] = {}  # by row
        self._foreseen: set[str] = set()  # networks that an earlier job will have trained

    def judge_by(self, protocol: Protocol) -> None:
        """Evaluations are by this protocol from now on; what was timed of its steps is kept."""
        self.protocol = self.timer.protocol = protocol

    def seconds(self, job: ComparisonJob) -> float:
        """Of work on this machine. Ask for jobs in the order in which they will be done."""
        record = job.record
        if job.kind == MAKE:
            return self._make(job) if record["method"] in METHODS else self._select(job)
        network, repeats = resolve(record["network"]), record["repeats"]
        if job.made is None:
            return self.timer.of_whole(network, repeats, record["epochs"])
        options = evaluation_options(job)
        return self.timer.of_set(network, self._sample(job.made), repeats, record["seed"], **options)

    def _make(self, job: ComparisonJob) -> float:
        record, (method, task), seconds = job.record, _algorithm(job, self.pool), 0.0
        needed = driver.preparation(method, task, driver.source(record["seed"]))
        for part in needed.parts if needed else ():
            if pieces := sum(map(self._first, part.missing)):
                trained = resolve(part.network) if part.network else task.network
                seconds += pieces * part.work * self.timer.per_image(trained)
        if judged := record.get(ON_THE_WAY):
            network, like = self.protocol.network(task.network), self._sample(job)
            each = self.timer.of_set(network, like, judged["repeats"], record["seed"])
            seconds += len(judged["steps"]) * each
        if plain := needed.without if needed else method:
            kind = (
                plain,
                task.network.kept_as,
                task.counts,
            )  # many rows may differ in what is trained first alone
            if kind not in self._steps:
                self._steps[kind] = self._step(plain, task)
            seconds += record["steps"] * self._steps[kind]
        return seconds

    def _select(self, job: ComparisonJob) -> float:
        """The selector's own measure of its work, in images that go through a training step."""
        selector, task = _algorithm(job, self.pool, to_train=self._to_train)
        work = selector.work(task, Rng(job.record["seed"]).fork("select"))
        return work * self.timer.per_image(task.network) if work else 0.0

    def _step(self, method: Method, task: Task) -> float:
        """Seconds of one update."""
        try:
            return driver.estimate(method, task, self.rng, 1).seconds
        except FailedWork:  # the job itself will say so
            return 0.0

    def _sample(self, made: ComparisonJob) -> SyntheticSet:
        """A set with as many images, and labels and a recipe of the same kind, as that which the job makes."""
        if made.row not in self._samples:
            self._samples[made.row] = self._new_sample(made)
        return self._samples[made.row]

    def _new_sample(self, made: ComparisonJob) -> SyntheticSet:
        record = made.record
        if made.given:
            return artifact.load(record["file"])
        method, task = _algorithm(made, self.pool)
        if record["method"] not in METHODS:
            return random_selection(self.pool, record["ipc"], self.rng)
        needed = driver.preparation(method, task, driver.source(record["seed"]))
        if not (plain := needed.without if needed else method):
            counts = [images_per_class(record["fields"], n) for n in task.counts]
            return random_selection(self.pool, counts, self.rng)
        found = driver.content(plain, task, driver.begin(plain, task, self.rng))
        own = {name: getattr(found, name) for name in ("targets", "stored", "training")}
        return SyntheticSet(found.images, found.labels, self.pool.spec, **own)

    def _to_train(self, kept: KeptNetwork) -> bool:
        """Whether a network will have to be trained, since neither the cache has it nor an earlier job will."""
        return kept.file is None or (not kept.is_there and self._first(str(kept.file)))

    def _first(self, name: str) -> bool:
        """Whether this is asked for the first time."""
        first = name not in self._foreseen
        self._foreseen.add(name)
        return first
