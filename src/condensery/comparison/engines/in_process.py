"""Jobs one after the other in this process."""

from __future__ import annotations

from collections import deque

from condensery.comparison.engines.work import do
from condensery.comparison.jobs import Job, Outcome, Perform


class InProcess:
    """Does each job when its outcome is asked for. See `condensery.comparison.jobs.Engine`."""

    def __init__(self, perform: Perform) -> None:
        self.slots = 1
        self._perform = perform
        self._waiting: deque[Job] = deque()

    def submit(self, job: Job) -> None:
        self._waiting.append(job)

    def next(self) -> Outcome:
        if not self._waiting:
            raise LookupError("no job was submitted")
        return do(self._perform, self._waiting.popleft(), "this process")

    def close(self) -> None:
        self._waiting.clear()
