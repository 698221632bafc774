"""What an engine is, the one of this process, and the loop that keeps any of them busy."""

from __future__ import annotations

import time
from collections import Counter, deque
from collections.abc import Callable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, wait
from contextlib import contextmanager
from dataclasses import replace
from typing import Protocol

import torch

from condensery.errors import CondenseryError, FailedWork, Interrupted, one_line
from condensery.jobs.job import Job, Perform, Result

TRIES = 3  # how often a job is begun before it is held to be what kills its workers
_LOOK = 5.0  # seconds between looks at the engine while no job ends


class LostWorker(Exception):
    """The worker of a job has died; the message says how."""


class Engine(Protocol):
    """Runs jobs somewhere. Engines differ in where, and in how many at a time: `slots`, by now."""

    @property
    def slots(self) -> int: ...

    def submit(self, job: Job) -> Future[Result]:
        """Begin a job in a free slot."""
        ...

    def result(self, ended: Future[Result]) -> Result:
        """What came of a job that has ended. Raises LostWorker if nothing did, FailedWork if nothing ever will."""
        ...

    def check(self) -> None:
        """Called now and then while no job ends. Raises FailedWork if none ever will."""
        ...

    def close(self) -> None:
        """Stop what is running and let go of the workers."""
        ...


class InProcess:
    """Does each job in this process when it is submitted. See `Engine`."""

    slots = 1

    def __init__(self, perform: Perform) -> None:
        self._perform = perform

    def submit(self, job: Job) -> Future[Result]:
        ended: Future[Result] = Future()
        ended.set_result(do(self._perform, job, "this process"))
        return ended

    def result(self, ended: Future[Result]) -> Result:
        return ended.result()

    def check(self) -> None: ...

    def close(self) -> None: ...


def results(engine: Engine, next_job: Callable[[], Job | None]) -> Iterator[tuple[Job, Result]]:
    """Jobs and what came of them, as they end. A job whose worker was lost is begun again, `TRIES` times at most.

    Args:
        next_job: gives a job whenever there is room for one, None while none is ready.

    Raises:
        FailedWork: a job lost its worker again and again, or there is no worker left.
    """
    running: dict[Future[Result], Job] = {}
    again: deque[Job] = deque()
    lost: Counter[str] = Counter()
    while True:
        while len(running) < engine.slots and (job := again.popleft() if again else next_job()):
            running[engine.submit(job)] = job
        if not running:
            return
        ended, _ = wait(running, timeout=_LOOK, return_when=FIRST_COMPLETED)
        if not ended:
            engine.check()
        for future in ended:
            job = running.pop(future)
            try:
                result = engine.result(future)
            except LostWorker as how:
                lost[job.key] += 1
                if lost[job.key] == TRIES:
                    raise FailedWork(
                        f"job {job.key} lost its worker {TRIES} times, the last one {how}: "
                        "if memory ran out, run fewer jobs at a time, or smaller ones, such as by --set real_batch=64"
                    ) from how
                again.append(job)
            else:
                yield job, result


def do(perform: Perform, job: Job, worker: str) -> Result:
    """The result of `job`; an exception becomes a failed result, so that all engines treat it alike.

    Raises:
        Interrupted: a signal stopped the job.
    """
    started = time.monotonic()
    with torch_threads(job.threads):
        try:
            result = perform(job)
        except Interrupted:
            raise
        except Exception as error:
            kind = "" if isinstance(error, CondenseryError) else f"{type(error).__name__}: "
            result = Result(job.key, failed=f"{kind}{one_line(error)}")
    return replace(result, worker=worker, seconds=time.monotonic() - started)


@contextmanager
def torch_threads(count: int | None) -> Iterator[None]:
    """Let torch use `count` threads inside the block; None changes nothing."""
    before = torch.get_num_threads()
    torch.set_num_threads(count or before)
    try:
        yield
    finally:
        torch.set_num_threads(before)
