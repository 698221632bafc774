"""What steps of a method take on this machine, and what is left of a budget."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from typing import Any

import torch

from condensery import driver
from condensery.errors import FailedWork
from condensery.method import Method, Task, images_per_class
from condensery.models.registry import resolve
from condensery.rng import Rng
from condensery.training import FORWARD

SHARE = 0.8
"""Of the minutes that is planned with; the rest is for what a short measurement cannot see."""
COARSE = 0.75
"""Of the updates are made at the coarse size, where there is one."""
_TAUGHT = 0.35  # of the work on a synthetic image: a teacher of 64 filters, see `condensery.teaching.guide`
_TIMED = 0.3  # seconds of steps that are timed, where steps are short


@dataclass(frozen=True)
class Fitting:
    """Settings that fit into the time.

    Attributes:
        method: with every field.
        network: by name.
        steps: updates.
        lines: what was chosen, and what more time would buy, for a person.
    """

    method: Method
    network: str
    steps: int
    lines: tuple[str, ...]


@dataclass(frozen=True)
class Rung:
    """One step down from what was asked for: settings and the network."""

    method: Any
    network: str


class Clock:
    """Seconds of real steps on this machine, and what is left of a budget."""

    def __init__(self, task: Task, seconds: float) -> None:
        self.started = time.perf_counter()
        self.asked, self.seconds = task, seconds
        self.pool, self.device, self.ipc = task.pool, task.device, max(task.counts)
        self.known: dict[Rung, float] = {}

    @property
    def spent(self) -> float:
        return time.perf_counter() - self.started

    @property
    def left(self) -> float:
        return self.seconds - self.spent

    def minutes_for(self, seconds: float) -> float:
        """The budget that so many seconds fit into, after what was measured here."""
        return (seconds + self.spent) / 60 / SHARE

    def task(self, rung: Rung) -> Task:
        network = resolve(rung.network).computing_in(self.asked.network.precision)
        return replace(self.asked, network=network, steps=rung.method.steps(self.asked.ipc))

    def step(self, rung: Rung) -> float:
        """Seconds of a step, on average over those at the coarse and at the full size."""
        if rung not in self.known:
            self.known[rung] = self._step(rung)
        return self.known[rung]

    def _step(self, rung: Rung) -> float:
        method = rung.method
        if getattr(method, "coarse", 1) == 1:
            return self._time(rung)
        small = self._time(replace(rung, method=replace(method, coarse_steps=2**31)))
        full = self._time(replace(rung, method=replace(method, coarse=1, coarse_steps=0)))
        return COARSE * small + (1 - COARSE) * full

    def _time(self, rung: Rung) -> float:
        """The first step warms up."""
        task, rng, done = self.task(rung), Rng(0).fork("budget"), 0
        try:
            state, _ = driver.advance(rung.method, task, driver.begin(rung.method, task, rng), rng)
            began = time.perf_counter()
            while done == 0 or (time.perf_counter() - began < _TIMED and done < 5):
                state, _ = driver.advance(rung.method, task, state, rng)
                done += 1
                if self.device.type == "cuda":
                    torch.cuda.synchronize(self.device)
        except FailedWork:  # the run itself will say so, and keep what it has
            return 0.0
        return (time.perf_counter() - began) / done


def width_of(rung: Rung) -> int:
    return dict(resolve(rung.network).options).get("width", 128)


def _synthetic(rung: Rung, clock: Clock) -> int:
    return images_per_class({"factor": getattr(rung.method, "factor", 1)}, clock.ipc)


def work_of(rung: Rung, clock: Clock) -> float:
    """Roughly, of a step, in images that go through a training step of a 128-wide network."""
    method, classes = rung.method, clock.pool.spec.num_classes
    at_once = getattr(method, "classes_per_step", 0) or classes
    real = getattr(method, "real_batch", 0) * FORWARD
    coarse = getattr(method, "coarse", 1)
    share = 1 if coarse == 1 else COARSE / coarse**2 + 1 - COARSE
    ours = _synthetic(rung, clock)
    taught = _TAUGHT * ours if getattr(method, "teacher_weight", 0) else 0
    return at_once * ((real + ours) * share * (width_of(rung) / 128) ** 1.5 + taught)


def bytes_of(rung: Rung, clock: Clock) -> float:
    """Roughly, of the activations that a class's synthetic images leave for the backward pass."""
    height, width = clock.pool.spec.height, clock.pool.spec.width
    return 5 * 4 * width_of(rung) * height * width * _synthetic(rung, clock)
