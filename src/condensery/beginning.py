"""A run before its first step: its task, what its method says of it and needs first, and its state."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import AbstractContextManager, suppress
from dataclasses import fields

import torch

from condensery import driver
from condensery.budgets import in_record
from condensery.errors import FailedWork, Interrupted
from condensery.memory import at_most
from condensery.method import Method, State, Task
from condensery.minutes import seconds_of_pieces
from condensery.models.precision import slow_note
from condensery.records import ImageData
from condensery.rng import Rng
from condensery.run_folder import RunSettings
from condensery.synthetic import Start
from condensery.text import count, readable_seconds

_NEWS_EVERY = 60.0  # seconds between lines on what is prepared
_NEED_LESS = ("factor", "real_batch", "classes_per_step")  # fields of methods


def begin(
    settings: RunSettings,
    method: Method,
    images: ImageData,
    start: Start | None,
    device: torch.device,
    memory: int | str | None,
    announce: Callable[[str], None],
) -> tuple[Task, State, float]:
    """The task of a run, its state before the first step, and the seconds that went into what is made before it.

    Args:
        memory: see `within_memory`; if there is a bound, a step is tried.

    Raises:
        BadInput: the method cannot work on this task, or needs more memory.
        Interrupted: Ctrl-C while that is made which the method needs first.
    """
    with within_memory(memory, device, method):
        counts = in_record(settings.ipc, images.spec.num_classes)
        task = Task.on(images, settings.network, counts, device, settings.precision, settings.steps, start)
        task.pool.require_real()
        slow = slow_note(task.network.precision, device)
        for note in (*method.check(task), task.network.depth_note(images.spec), slow):
            if note:
                announce(note)
        rng = driver.source(settings.seed)
        seconds = _prepare(method, task, rng, announce)
        if memory is not None:
            with suppress(FailedWork):  # the run itself will say so, and keep what it has
                driver.estimate(method, task, rng, 1)
        return task, driver.begin(method, task, rng), seconds


def within_memory(
    memory: int | str | None, device: torch.device, method: Method
) -> AbstractContextManager[None]:
    """The bound that a person gave, None for none. Raises BadInput where `method` needs more."""
    known = {field.name for field in fields(method)}
    less = [f"--{name.replace('_', '-')}" for name in _NEED_LESS if name in known]
    needs_less = ", ".join(["a smaller --ipc", *less])
    return at_most(memory, device, f"{needs_less} or --size or a narrower --network needs less")


def _prepare(method: Method, task: Task, rng: Rng, announce: Callable[[str], None]) -> float:
    """What the method needs before it starts, piece by piece; its seconds. Raises Interrupted after Ctrl-C."""
    needed = driver.preparation(method, task, rng)
    if needed is None or not needed.missing:
        return 0.0
    total, started, said = len(needed.missing), time.perf_counter(), 0.0
    pieces = f"{count(total, needed.piece)} that are needed first"
    expected = seconds_of_pieces(needed, task)
    if sum(expected) >= _NEWS_EVERY:
        announce(f"about {readable_seconds(sum(expected))} for {pieces}")
    try:
        for k in range(total):
            needed.make(k)
            seconds = time.perf_counter() - started
            if k == 0 or k + 1 == total or seconds - said >= _NEWS_EVERY:
                said = seconds
                left = readable_seconds(seconds / sum(expected[: k + 1]) * sum(expected[k + 1 :]))
                announce(f"trained {k + 1:,} of {pieces}, about {left} left")
    except KeyboardInterrupt as stop:
        raise Interrupted(
            f"stopped before the first step; every finished {needed.piece} is kept: the same command goes on"
        ) from stop
    return time.perf_counter() - started
