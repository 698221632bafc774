"""How long a comparison will take, measured on a few steps of each kind of job that it has."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import Any

import torch

from condensery import driver
from condensery.comparison.plan import ON_THE_WAY, Cell, Plan, SetJob
from condensery.comparison.protocol_record import protocol_from
from condensery.coresets import SelectionTask, get_selector
from condensery.data import ClassPool
from condensery.data.pool import batches
from condensery.evaluation import Protocol, SoftLabels
from condensery.evaluation.scoring import Scorer, TrainingSetting
from condensery.evaluation.teacher import teacher_to_train
from condensery.method import Method, Task
from condensery.methods import get_method
from condensery.models.registry import NetworkFactory, resolve
from condensery.pretraining import KeptNetwork
from condensery.provenance import pick_device
from condensery.records import ImageData
from condensery.rng import Rng
from condensery.training import Recipe, TensorImages, accuracy, default_chunk, fit, forward_layout

_TEST_BATCH = 256


@dataclass(frozen=True)
class Cost:
    """Seconds of work on this machine, on one worker.

    Attributes:
        sets: of each set's job by key.
        cells: of each cell's job by key.
    """

    sets: dict[str, float]
    cells: dict[str, float]

    @property
    def seconds(self) -> float:
        return sum(self.sets.values()) + sum(self.cells.values())


class Stopwatch:
    """Measures jobs of a plan. Each kind of job is measured once; everything it makes is thrown away."""

    def __init__(self, plan: Plan, images: ImageData, device: str) -> None:
        self.plan, self.images, self.device = plan, images, pick_device(device)
        self.pool = ClassPool(images.train, images.spec, self.device)
        self.protocol: Protocol = protocol_from(plan.protocol)
        self.rng = Rng(0).fork("estimate")
        self._measured: dict[tuple[Any, ...], float] = {}
        self._foreseen: set[str] = set()  # networks that an earlier job will have trained

    def cost(self, sets: Iterable[SetJob], cells: Iterable[Cell]) -> Cost:
        """Of these jobs."""
        return Cost({made.key: self._make(made) for made in sets}, {c.key: self._cell(c) for c in cells})

    def _make(self, made: SetJob) -> float:
        if not made.contender.condenses:
            return self._select(made)
        kind = ("make", made.contender.label, made.ipc, made.condensed_with)
        network = resolve(str(made.condensed_with))
        task = Task(self.pool, network, made.ipc, self.device, default_chunk(self.device))
        method = get_method(made.contender.method, **made.contender.fields)
        needed = driver.preparation(method, task, driver.source(made.seed))
        before = 0.0
        if needed is not None:
            pieces = sum(self._first(name) for name in needed.missing)
            before = pieces * needed.work * self._training(network)
            method = needed.without
        judged = made.record.get(ON_THE_WAY, {"steps": (), "repeats": 0})
        count = made.ipc * self.images.spec.num_classes
        if judged["steps"]:
            tested = self.protocol.network(network)
            before += len(judged["steps"]) * judged["repeats"] * self._network(tested, count, None, True)
        return before + made.record["steps"] * self._once(kind, lambda: self._step(method, task))

    def _select(self, made: SetJob) -> float:
        """The selector's own measure of its work, in images that go through a training step."""
        network = resolve(made.condensed_with or "convnet")
        task = SelectionTask(
            self.pool, network, made.ipc, self.device, default_chunk(self.device), to_train=self._to_train
        )
        selector = get_selector(made.contender.method, **made.contender.fields)
        work = selector.work(task, Rng(made.seed).fork("select"))
        return work * self._training(network) if work else 0.0

    def _step(self, method: Method, task: Task) -> float:
        """Seconds of one update."""
        try:
            return driver.estimate(method, task, self.rng, 1).seconds
        except driver.NonFinite:  # the job itself will say so
            return 0.0

    def _cell(self, cell: Cell) -> float:
        """Networks times (epochs times optimiser steps, and one test) in every setting, and their teacher."""
        network = resolve(cell.network)
        if cell.made is None:
            count, settings, before = len(self.images.train), [TrainingSetting()], 0.0
        else:
            soft = cell.record["soft_labels"] and SoftLabels(**cell.record["soft_labels"])
            scorer = Scorer(self.images, self.protocol, cell.record["seed"], self.device, soft or None, None)
            settings = scorer.settings(network, cell.record["augmentation_robustness"])
            count = cell.made.ipc * self.images.spec.num_classes
            before = self._teacher(network, soft, cell.record["seed"]) if soft else 0.0
        epochs = cell.record.get("epochs")
        each = (
            self._network(network, count, epochs, setting.augmentation == "protocol") for setting in settings
        )
        return before + cell.record["repeats"] * sum(each)

    def _network(self, network: NetworkFactory, count: int, epochs: int | None, augmented: bool) -> float:
        """To train one network on `count` images by the protocol, for `epochs` or its own number, and test it."""
        recipe = self.protocol.recipe(self.images.spec, network)
        full, rest = divmod(count, recipe.batch_size)
        steps = [(recipe.batch_size, full), (rest, 1 if rest else 0)]
        epoch = sum(
            times
            * self._once(
                ("train", network.canonical, size, augmented),
                lambda s=size: self._train(network, recipe, s, augmented),
            )
            for size, times in steps
            if times
        )
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

    def _once(self, kind: tuple[Any, ...], measure: Callable[[], float]) -> float:
        if kind not in self._measured:
            self._measured[kind] = measure()
        return self._measured[kind]
