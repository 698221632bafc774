"""How long a comparison will take, measured on a few steps of each kind of job that it has."""

from __future__ import annotations

from condensery import driver
from condensery.comparison.jobs import MAKE, ON_THE_WAY, Job, Plan
from condensery.comparison.perform import evaluation_options
from condensery.coresets import SelectionTask, get_selector, random_selection
from condensery.data import ClassPool
from condensery.errors import FailedWork
from condensery.evaluation import Protocol
from condensery.evaluation.cost import EvaluationTimer
from condensery.method import Method, Task, images_per_class
from condensery.methods import METHODS, get_method
from condensery.models.registry import resolve
from condensery.pretraining import KeptNetwork
from condensery.provenance import pick_device
from condensery.records import ImageData, SyntheticSet
from condensery.rng import Rng
from condensery.training import default_chunk


class Stopwatch:
    """Measures jobs of a plan. Each kind of work is measured once; everything it makes is thrown away."""

    def __init__(self, plan: Plan, images: ImageData, device: str) -> None:
        self.device = pick_device(device)
        self.pool = ClassPool(images.train, images.spec, self.device)
        self.protocol = Protocol.from_json(plan.protocol)
        self.timer = EvaluationTimer(images, self.protocol, self.device, self._to_train)
        self.rng = Rng(0).fork("estimate")
        self._steps: dict[object, float] = {}  # seconds of an update
        self._samples: dict[object, SyntheticSet] = {}
        self._foreseen: set[str] = set()  # networks that an earlier job will have trained

    def seconds(self, job: Job) -> float:
        """Of work on this machine. Ask for jobs in the order in which they will be done."""
        record = job.record
        if job.kind == MAKE:
            return self._make(job) if record["method"] in METHODS else self._select(job)
        network, repeats = resolve(record["network"]), record["repeats"]
        if job.made is None:
            return self.timer.of_whole(network, repeats, record["epochs"])
        options = evaluation_options(job)
        return self.timer.of_set(network, self._sample(job.made), repeats, record["seed"], **options)

    def _make(self, job: Job) -> float:
        record, task, seconds = job.record, self._task(job), 0.0
        method = get_method(record["method"], **record["fields"])
        if needed := driver.preparation(method, task, driver.source(record["seed"])):
            pieces = sum(map(self._first, needed.missing))
            seconds = pieces * needed.work * self.timer.per_image(task.network) if pieces else 0.0
        if judged := record.get(ON_THE_WAY):
            network, like = self.protocol.network(task.network), self._sample(job)
            each = self.timer.of_set(network, like, judged["repeats"], record["seed"])
            seconds += len(judged["steps"]) * each
        if plain := self._unprepared(job):
            kind = _kind(job)
            if kind not in self._steps:
                self._steps[kind] = self._step(plain, task)
            seconds += record["steps"] * self._steps[kind]
        return seconds

    def _select(self, job: Job) -> float:
        """The selector's own measure of its work, in images that go through a training step."""
        record, network = job.record, resolve(job.record["network"] or "convnet")
        place = (self.pool, network, record["ipc"], self.device, default_chunk(self.device))
        task = SelectionTask(*place, to_train=self._to_train)
        selector = get_selector(record["method"], **record["fields"])
        work = selector.work(task, Rng(record["seed"]).fork("select"))
        return work * self.timer.per_image(network) if work else 0.0

    def _step(self, method: Method, task: Task) -> float:
        """Seconds of one update."""
        try:
            return driver.estimate(method, task, self.rng, 1).seconds
        except FailedWork:  # the job itself will say so
            return 0.0

    def _task(self, job: Job) -> Task:
        record, chunk = job.record, default_chunk(self.device)
        network = resolve(record["network"])
        return Task(self.pool, network, record["ipc"], self.device, chunk, record["steps"])

    def _unprepared(self, job: Job) -> Method | None:
        """The method of a job, without what it has to prepare; None where its steps take no time beside that."""
        method = get_method(job.record["method"], **job.record["fields"])
        needed = driver.preparation(method, self._task(job), driver.source(job.record["seed"]))
        return needed.without if needed else method

    def _sample(self, made: Job) -> SyntheticSet:
        """A set with as many images, and labels and a recipe of the same kind, as that which the job makes."""
        kind = _kind(made)
        if kind not in self._samples:
            self._samples[kind] = self._new_sample(made)
        return self._samples[kind]

    def _new_sample(self, made: Job) -> SyntheticSet:
        record, count = made.record, made.record["ipc"]
        if record["method"] in METHODS:
            if method := self._unprepared(made):
                task = self._task(made)
                found = driver.content(method, task, driver.begin(method, task, self.rng))
                return SyntheticSet(
                    found.images,
                    found.labels,
                    self.pool.spec,
                    targets=found.targets,
                    training=found.training,
                )
            count = images_per_class(record["fields"], count)
        return random_selection(self.pool, count, self.rng)

    def _to_train(self, kept: KeptNetwork) -> bool:
        """Whether a network will have to be trained, since neither the cache has it nor an earlier job will."""
        return kept.file is None or (not kept.is_there and self._first(str(kept.file)))

    def _first(self, name: str) -> bool:
        """Whether this is asked for the first time."""
        first = name not in self._foreseen
        self._foreseen.add(name)
        return first


def _kind(made: Job) -> object:
    """What decides the cost of an update, and the form of the set."""
    return made.label, made.record["ipc"], made.record["network"]
