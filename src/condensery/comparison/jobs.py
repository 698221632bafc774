"""What travels to a worker and back: values only, so that a job gives the same result wherever it runs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Protocol


@dataclass(frozen=True)
class Job:
    """One piece of work.

    Attributes:
        key: unique in a comparison, readable, fit for a file name.
        kind: "make" (a set), "evaluate" (train networks on a set and test them) or "whole" (on the whole set).
        record: JSON-able; decides the result, with `files`.
        files: contents of input files by name, such as the set to evaluate.
        folder: where a worker on this machine may keep checkpoints; None elsewhere. Changes no result.
        device: "auto", "cpu" or "cuda".
        threads: of torch on a CPU; another number rounds differently. None leaves the worker's.
    """

    key: str
    kind: str
    record: dict[str, Any]
    files: dict[str, bytes] = field(default_factory=dict)
    folder: str | None = None
    device: str = "auto"
    threads: int | None = None


@dataclass(frozen=True)
class Outcome:
    """What came of a job.

    Attributes:
        key: the job's.
        document: JSON-able result, empty if there is none.
        files: contents of output files by name.
        skipped: why the job cannot be done as asked (a budget larger than a class, ...), "" if it was done.
        failed: why it broke although the input was fine, "" if it did not.
        worker: where it ran, for people.
        seconds: of work on it, without waiting for a worker to start or to be free.
    """

    key: str
    document: dict[str, Any] = field(default_factory=dict)
    files: dict[str, bytes] = field(default_factory=dict)
    skipped: str = ""
    failed: str = ""
    worker: str = ""
    seconds: float = field(default=0.0, compare=False)


Perform = Callable[[Job], Outcome]
"""Does a job. A function at the top of a module, so that other processes find it by name."""


class Engine(Protocol):
    """Runs jobs somewhere. All engines give equal outcomes; they differ in where and in how many at a time."""

    @property
    def slots(self) -> int:
        """How many jobs run at a time, by now."""
        ...

    def submit(self, job: Job) -> None:
        """Take a job. Returns at once."""
        ...

    def next(self) -> Outcome:
        """Wait for any submitted job to end. A job whose worker was lost is done again elsewhere.

        Raises:
            FailedWork: a job lost its worker again and again, or there is no worker left.
        """
        ...

    def close(self) -> None:
        """Stop what is running and let go of the workers."""
        ...
