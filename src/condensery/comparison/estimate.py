"""How long a comparison will take, measured on a few steps of each kind of job that it has."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace

import torch

from condensery import driver
from condensery.comparison.jobs import MAKE, ON_THE_WAY, Job, Plan
from condensery.comparison.perform import evaluation_options
from condensery.coresets import SelectionTask, get_selector
from condensery.data import ClassPool
from condensery.data.pool import batches
from condensery.errors import FailedWork
from condensery.evaluation import Protocol, SoftLabels
from condensery.evaluation.scoring import Scorer, TrainingSetting
from condensery.evaluation.soft_labels import teacher_to_train
from condensery.method import Method, Task
from condensery.methods import METHODS, get_method
from condensery.models.registry import NetworkFactory, resolve
from condensery.pretraining import KeptNetwork
from condensery.provenance import pick_device
from condensery.records import ImageData
from condensery.rng import Rng
from condensery.training import Recipe, TensorImages, accuracy, default_chunk, fit, forward_layout

_TEST_BATCH = 256


class Stopwatch:
    """Measures jobs of a plan. Each kind of work is measured once; everything it makes is thrown away."""

    def __init__(self, plan: Plan, images: ImageData, device: str) -> None:
        self.images, self.device = images, pick_device(device)
        self.pool = ClassPool(images.train, images.spec, self.device)
        self.protocol = Protocol.from_json(plan.protocol)
        self.rng = Rng(0).fork("estimate")
        self._measured: dict[object, float] = {}
        self._foreseen: set[str] = set()  # networks that an earlier job will have trained

    def seconds(self, job: Job) -> float:
        """Of work on this machine. Ask for jobs in the order in which they will be done."""
        if job.kind != MAKE:
            return self._cell(job)
        return self._make(job) if job.record["method"] in METHODS else self._select(job)

    def _make(self, job: Job) -> float:
        record, network = job.record, resolve(job.record["network"])
        chunk = default_chunk(self.device)
        task = Task(self.pool, network, record["ipc"], self.device, chunk, record["steps"])
        method, before = get_method(record["method"], **record["fields"]), 0.0
        needed = driver.preparation(method, task, driver.source(record["seed"]))
        if needed is not None:
            before = sum(map(self._first, needed.missing)) * needed.work * self._training(network)
            method = needed.without
        if judged := record.get(ON_THE_WAY):
            networks = len(judged["steps"]) * judged["repeats"]
            before += networks * self._network(self.protocol.network(network), self._count(job), None, True)
        kind = ("make", job.label, record["ipc"], record["network"])
        return before + record["steps"] * self._once(kind, lambda: self._step(method, task))

    def _select(self, job: Job) -> float:
        """The selector's own measure of its work, in images that go through a training step."""
        record, network = job.record, resolve(job.record["network"] or "convnet")
        place = (self.pool, network, record["ipc"], self.device, default_chunk(self.device))
        task = SelectionTask(*place, to_train=self._to_train)
        selector = get_selector(record["method"], **record["fields"])
        work = selector.work(task, Rng(record["seed"]).fork("select"))
        return work * self._training(network) if work else 0.0

    def _step(self, method: Method, task: Task) -> float:
        """Seconds of one update."""
        try:
            return driver.estimate(method, task, self.rng, 1).seconds
        except FailedWork:  # the job itself will say so
            return 0.0

    def _cell(self, cell: Job) -> float:
        """Networks times (epochs times optimiser steps, and one test) in every setting, and their teacher."""
        record, network = cell.record, resolve(cell.record["network"])
        count, settings, before = len(self.images.train), [TrainingSetting()], 0.0
        if cell.made:
            options = evaluation_options(cell)
            soft = options.get("soft_labels")
            scorer = Scorer(self.images, self.protocol, record["seed"], self.device, soft, None)
            settings = scorer.settings(network, options.get("augmentation_robustness", False))
            count = self._count(cell.made)
            before = self._teacher(network, soft, record["seed"]) if soft else 0.0
        augmented = [setting.augmentation == "protocol" for setting in settings]
        each = (self._network(network, count, record.get("epochs"), one) for one in augmented)
        return before + record["repeats"] * sum(each)

    def _count(self, made: Job) -> int:
        """Images in a set."""
        return made.record["ipc"] * self.images.spec.num_classes

    def _network(self, network: NetworkFactory, count: int, epochs: int | None, augmented: bool) -> float:
        """To train one network on `count` images by the protocol, for `epochs` or its own number, and test it."""
        recipe = self.protocol.recipe(self.images.spec, network)

        def step(size: int) -> float:
            kind = ("train", network.canonical, size, augmented)
            return self._once(kind, lambda: self._train(network, recipe, size, augmented))

        full, rest = divmod(count, recipe.batch_size)
        epoch = (full * step(recipe.batch_size) if full else 0.0) + (step(rest) if rest else 0.0)
        return (epochs or recipe.epochs) * epoch + self._tested(network)

    def _teacher(self, network: NetworkFactory, settings: SoftLabels, seed: int) -> float:
        """To train a teacher that is not kept, and to test it; each is trained once."""
        factory = settings.factory(network)
        kept, epochs = teacher_to_train(self.images, factory, settings, seed, self.device)
        trained = epochs * len(self.images.train) * self._training(factory) if self._to_train(kept) else 0.0
        return trained + self._tested(factory)

    def _to_train(self, kept: KeptNetwork) -> bool:
        """Whether a network will have to be trained, since neither the cache has it nor an earlier job will."""
        return kept.file is None or (not kept.is_there and self._first(str(kept.file)))

    def _first(self, name: str) -> bool:
        """Whether this is asked for the first time."""
        first = name not in self._foreseen
        self._foreseen.add(name)
        return first

    def _training(self, network: NetworkFactory) -> float:
        """Seconds of training for an image, without augmentation."""
        size = min(Recipe(1).batch_size, len(self.images.train))
        kind = ("select", network.canonical)
        return self._once(kind, lambda: self._train(network, Recipe(1), size, augmented=False)) / size

    def _tested(self, network: NetworkFactory) -> float:
        return self._once(("test", network.canonical), lambda: self._test(network))

    def _train(self, network: NetworkFactory, recipe: Recipe, size: int, augmented: bool) -> float:
        """Seconds of one optimiser step on `size` images; a first one warms up."""
        count = min(size, len(self.images.train))
        labels = torch.tensor(self.images.train.labels[:count], device=self.device)
        images = TensorImages(self.pool.images_at(torch.arange(count).numpy()), labels)
        module = network.build(self.images.spec, self.rng.fork("network")).to(self.device)
        augment = self.protocol.augment(self.images.spec, network) if augmented else None
        chunk = default_chunk(self.device)

        def epochs(number: int) -> None:
            with self.rng.seeded(self.device):
                once = replace(recipe, epochs=number, decay_after=())
                fit(module, images, once, self.rng.fork("training"), augment=augment, chunk=chunk)

        epochs(1)
        return self._seconds(lambda: epochs(3)) / 3

    def _test(self, network: NetworkFactory) -> float:
        """Seconds of a pass over all test images, from its first batch."""
        module = network.build(self.images.spec, self.rng.fork("network")).to(self.device)
        images, labels = next(batches(self.images.test, self.images.spec, self.device, _TEST_BATCH))
        images = forward_layout(images) if network.any_layout else images
        seconds = self._seconds(lambda: accuracy(module, [(images, labels)], default_chunk(self.device)))
        return seconds * len(self.images.test) / len(labels)

    def _seconds(self, work: Callable[[], object]) -> float:
        started = time.perf_counter()
        work()
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)
        return time.perf_counter() - started

    def _once(self, kind: object, measure: Callable[[], float]) -> float:
        if kind not in self._measured:
            self._measured[kind] = measure()
        return self._measured[kind]
