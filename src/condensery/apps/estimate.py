"""How long a study will take: each kind of work is measured once, and what it makes is thrown away."""

from __future__ import annotations

from collections.abc import Sequence

from condensery import driver
from condensery.budgets import uniform
from condensery.comparison.jobs import Entry
from condensery.coresets import SelectionTask, get_selector
from condensery.evaluation import get_protocol
from condensery.evaluation.cost import EvaluationTimer
from condensery.method import Task
from condensery.methods import METHODS, get_method
from condensery.models.registry import resolve
from condensery.pretraining import KeptNetwork
from condensery.provenance import pick_device
from condensery.records import ImageData
from condensery.rng import Rng
from condensery.training import default_chunk

_MOST_TIMED = 6  # networks


def always(kept: KeptNetwork) -> bool:
    """Each step of a stream is new to every network."""
    return True


class Stopwatch:
    """Seconds of work on this machine, for images such as `images`."""

    def __init__(self, images: ImageData, device: str) -> None:
        self.timer = EvaluationTimer(images, get_protocol("quick"), pick_device(device), always)
        self.rng = Rng(0).fork("estimate")

    def training(self, networks: Sequence[str], images: float) -> float:
        """To train networks on so many images in all: the mean of a few of these kinds, which are measured."""
        few = networks[:: -(-len(networks) // _MOST_TIMED)]
        return images * sum(self.timer.per_image(resolve(name)) for name in few) / len(few)

    def making(self, entry: Entry, ipc: int, network: str) -> float:
        """To make a set by a method or a selector, or none of both."""
        pool, factory = self.timer.pool, resolve(network)
        counts = uniform(ipc, pool.spec.num_classes)
        place = (pool, factory, counts, pool.device, default_chunk(pool.device))
        if entry.method in METHODS:
            method = get_method(entry.method, **entry.fields)
            steps = method.steps(ipc) if entry.steps is None else entry.steps
            task = Task(*place, steps)
            needed = driver.preparation(method, task, self.rng)
            before = len(needed.missing) * needed.work * self.timer.per_image(factory) if needed else 0.0
            plain = needed.without if needed else method
            return before + (driver.estimate(plain, task, self.rng, steps).seconds if plain else 0.0)
        selector = get_selector(entry.method, **entry.fields)
        work = selector.work(SelectionTask(*place, to_train=always), self.rng)
        return work * self.timer.per_image(factory) if work else 0.0
