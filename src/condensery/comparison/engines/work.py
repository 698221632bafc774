"""One job in this process, whichever engine brought it here; and when to give up on a job."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

import torch

from condensery.comparison.jobs import Job, Outcome, Perform
from condensery.errors import CondenseryError, FailedWork, one_line
from condensery.session import Interrupted

TRIES = 3
"""How often a job is begun before it is held to be what kills its workers."""


def do(perform: Perform, job: Job, worker: str) -> Outcome:
    """The outcome of `job`; an exception becomes a failed outcome, so that all engines treat it alike.

    Raises:
        Interrupted: a signal stopped the job.
    """
    started = time.monotonic()
    with torch_threads(job.threads):
        try:
            outcome = perform(job)
        except Interrupted:
            raise
        except Exception as error:
            kind = "" if isinstance(error, CondenseryError) else f"{type(error).__name__}: "
            outcome = Outcome(job.key, failed=f"{kind}{one_line(error)}")
    return replace(outcome, worker=outcome.worker or worker, seconds=time.monotonic() - started)


@contextmanager
def torch_threads(count: int | None) -> Iterator[None]:
    """Let torch use `count` threads inside the block; None changes nothing."""
    before = torch.get_num_threads()
    torch.set_num_threads(count or before)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def given_up(job: Job, tries: int, how: str) -> FailedWork:
    """The error for a job that lost its worker `tries` times, the last time as `how` says."""
    return FailedWork(
        f"job {job.key} lost its worker {tries} times, the last one {how}: "
        "if memory ran out, run fewer jobs at a time or lower --real-batch"
    )
