"""What a method makes before its first step, such as experts: how long it takes here, and how much of it fits."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Collection
from dataclasses import fields, replace
from typing import Any

from condensery import driver
from condensery.errors import BadInput
from condensery.method import Preparation, Task
from condensery.minutes.clock import Clock, Rung
from condensery.teaching import TeacherSettings, seconds_per_image
from condensery.teaching.epochs import epochs_of
from condensery.text import count

SHARE = 0.5
"""Of the time is for this, where steps need the rest."""

_STEPS = ("gan_steps", "training_steps", "inversion_steps")
_CUTS: tuple[tuple[str, float], ...] = (
    ("experts", 4),
    ("max_start_epoch", 2),
    ("experts", 10),
    ("max_start_epoch", 4),
    ("experts", 25),
    ("max_start_epoch", 10),
    ("experts", 50),
    ("max_start_epoch", 20),
    ("experts", 100),
    ("teacher_epochs", 1000),
    *((name, 2) for name in _STEPS),
    ("teacher_epochs", 300),
    *((name, 4) for name in _STEPS),
    ("teacher_epochs", 100),
    *((name, 10) for name in _STEPS),
    *((name, part) for part in (2, 5, 20) for name in ("trained_networks", "trained_epochs")),
    ("teacher_weight", math.inf),
)
"""What is given up, in this order: a field, and what its value is divided by; or the steps of a teacher's epochs.

A weight of 0 needs nothing."""


def seconds_of_pieces(
    needed: Preparation | None, task: Task, each: Callable[[str], float] | None = None
) -> list[float]:
    """Of each piece that is still to be made for a task.

    Args:
        each: seconds of training for an image, by network, if they are known.
    """

    def measured(network: str) -> float:
        return seconds_per_image(task.pool, TeacherSettings(network), task.device)

    each, found = each or measured, []
    for part in needed.parts if needed else ():
        if part.missing:
            found += [part.work * each(part.network or task.network.name)] * len(part.missing)
    return found


class Preparing:
    """What runs with the settings of a rung make first, and its time."""

    def __init__(self, clock: Clock, seed: int) -> None:
        self.clock, self.rng = clock, driver.source(seed)
        self._each: dict[str, float] = {}  # seconds of training for an image, by network

    def needed(self, rung: Rung) -> Preparation | None:
        """What the cache lacks."""
        return driver.preparation(rung.method, self.clock.task(rung), self.rng)

    def seconds(self, rung: Rung) -> float:
        return sum(seconds_of_pieces(self.needed(rung), self.clock.task(rung), self._seconds_each))

    def _seconds_each(self, network: str) -> float:
        if network not in self._each:
            pool, device = self.clock.pool, self.clock.device
            self._each[network] = seconds_per_image(pool, TeacherSettings(network), device)
        return self._each[network]

    def text(self, rung: Rung) -> str:
        """How many of what, such as "4 experts"; "" for nothing."""
        needed = self.needed(rung)
        pieces = Counter[str]()
        for part in needed.parts if needed else ():
            pieces[part.piece] += len(part.missing)
        return " and ".join(count(number, piece) for piece, number in pieces.items() if number)

    def fitting(self, rung: Rung, fixed: Collection[str], most: float) -> tuple[Rung, float]:
        """The rung with as much of this as fits into `most` seconds, or else with the least; and its seconds."""
        found, seconds = rung, self.seconds(rung)
        for name, part in _CUTS:
            if seconds <= most:
                break
            known = {f.name for f in fields(rung.method)}
            if name in fixed or name not in known:
                continue
            less: Any = replace(found.method, **self._less(name, rung.method, part))
            changed = replace(found, method=less)
            try:
                less.check(self.clock.task(changed))
            except BadInput:
                continue
            if (needed := self.seconds(changed)) < seconds:
                found, seconds = changed, needed
        return found, seconds

    def _less(self, name: str, asked: Any, part: float) -> dict[str, Any]:
        """The field by its value in `asked`, and what plays no part any more as it was."""
        value = getattr(asked, name)
        if name == "teacher_epochs":  # 0 stands for a default, and small sets need more
            return {name: epochs_of(int(part), len(self.clock.pool.labels))}
        if name == "teacher_weight":
            return {name: value / part, "teacher_epochs": asked.teacher_epochs}
        return {name: value / part if isinstance(value, float) else max(1, int(value // part))}
