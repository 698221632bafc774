"""The loop that does jobs on an engine and keeps what comes of them; and where they are to run."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TypedDict

from condensery.data.sources import silent
from condensery.jobs.engines import Engine, pick_engine, results
from condensery.jobs.folder import JobFolder
from condensery.jobs.job import Job, Perform, Result

SET = "set.safetensors"


class Where(TypedDict, total=False):
    """How and where jobs run; any may be left out.

    Attributes:
        device: "auto", "cpu" or "cuda".
        workers: processes on this machine that run jobs; None or 1 runs them in this one.
        ray: address of a Ray cluster that runs the jobs ("auto", "local", "ray://...").
        gpus_per_job: GPUs that each job claims.
        threads: of torch in each job; None for the threads of this process, shared among the workers. A folder
            keeps the number it was started with, so that all its results round alike.
        engine: runs the jobs, in place of what workers, ray and gpus_per_job say; it is left open.
        command: for the records.
        announce: called with lines of text for a person.
    """

    device: str
    workers: int | None
    ray: str | None
    gpus_per_job: float | None
    threads: int | None
    engine: Engine | None
    command: str
    announce: Callable[[str], None]


@dataclass(frozen=True)
class Running:
    """`Where`, with defaults."""

    device: str = "auto"
    workers: int | None = None
    ray: str | None = None
    gpus_per_job: float | None = None
    threads: int | None = None
    engine: Engine | None = None
    command: str = ""
    announce: Callable[[str], None] = silent

    @contextmanager
    def opened(self, perform: Perform) -> Iterator[Engine]:
        """The engine, for as long as the block lasts. Raises BadInput, see `pick_engine`."""
        if self.engine is not None:
            yield self.engine
            return
        engine = pick_engine(self.workers, self.ray, self.gpus_per_job, perform, self.threads)
        try:
            yield engine
        finally:
            engine.close()


def do_missing(
    jobs: Sequence[Job],
    folder: JobFolder,
    engine: Engine,
    device: str,
    threads: int,
    begun: Callable[[Job], None] = lambda job: None,
) -> Iterator[tuple[Job, Result]]:
    """Do jobs, each as soon as the set that it needs is there, and keep what comes of them.

    Yields:
        Jobs and what came of them, as they end. One whose set could not be made never begins.

    Raises:
        FailedWork: see `condensery.jobs.engines.results`.
    """
    waiting = {job.key: job for job in jobs}
    undone = set(waiting)

    def next_job() -> Job | None:
        ready = [job for job in waiting.values() if not job.made or job.made.key not in undone]
        if not ready:
            return None
        job = waiting.pop(
            min(ready, key=lambda job: job.made is None).key
        )  # sets are used before more are made
        files = {SET: folder.set_file(job.made).read_bytes()} if job.made else {}
        place = str(folder.work_folder(job) or "")
        begun(job)
        return replace(job, files=files, folder=place, device=device, threads=threads)

    for job, result in results(engine, next_job):
        if not (result.skipped or result.failed):
            folder.keep(job, result)
            undone.discard(job.key)
        yield job, result
