"""Jobs in processes of this machine, which end with this one whatever happens.

Every worker has a pipe of its own, so a worker that dies takes its own job with it and nothing else: in the pool of
the standard library one death breaks all.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
import time
from collections import Counter, deque
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from multiprocessing import resource_tracker
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnProcess

import torch

from condensery.comparison.engines.work import TRIES, do, given_up
from condensery.comparison.jobs import Job, Outcome, Perform
from condensery.errors import BadInput, FailedWork
from condensery.session import Interrupted

_GRACE = 5.0  # seconds that a worker has to write a checkpoint when it is told to stop


@dataclass
class _Worker:
    """A process and what is known of it.

    Attributes:
        seat: its number, which decides its GPU.
        ready: it has started and waits for jobs or does one.
        job: what it is doing.
    """

    process: SpawnProcess
    pipe: Connection
    seat: int
    ready: bool = False
    job: Job | None = None


class LocalProcesses:
    """Does up to `workers` jobs at a time. See `condensery.comparison.jobs.Engine`.

    Processes are spawned, not forked, which is safe with threads and CUDA. They share the threads that torch would use
    here and take GPUs in turn. A job whose process dies is begun again in a new one, `TRIES` times at most.

    Args:
        perform: does a job; a function at the top of a module.
        workers: how many processes.
        gpus_per_job: share of a GPU that a job claims, 0 hides them; None lets the workers share what is there.

    Raises:
        BadInput: there are too few GPUs.
    """

    def __init__(self, perform: Perform, workers: int, gpus_per_job: float | None = None) -> None:
        self.slots = workers
        self._perform = perform
        self._gpus = _gpu_of_each(workers, gpus_per_job)
        self._threads = max(1, torch.get_num_threads() // workers)
        self._waiting: deque[Job] = deque()
        self._workers: list[_Worker] = []
        self._lost: Counter[str] = Counter()

    def submit(self, job: Job) -> None:
        self._waiting.append(job)
        self._staff()
        self._hand_out()

    def next(self) -> Outcome:
        while self._waiting or any(worker.job for worker in self._workers):
            self._staff()
            self._hand_out()
            outcome = self._hear(self._wait())
            if outcome is not None:
                return outcome
        raise LookupError("no job was submitted")

    def close(self) -> None:
        """Stop the workers: at once, or when they have written the checkpoint that they are asked for."""
        for worker in self._workers:
            worker.pipe.close()
            worker.process.terminate()
        deadline = time.monotonic() + _GRACE
        for worker in self._workers:
            worker.process.join(max(0.0, deadline - time.monotonic()))
            worker.process.kill()
            worker.process.join()
        self._workers.clear()
        self._waiting.clear()

    def _staff(self) -> None:
        """Start workers while there are seats, and jobs that nobody is there for."""
        busy = sum(worker.job is not None for worker in self._workers)
        while len(self._workers) < min(self.slots, busy + len(self._waiting)):
            self._start()

    def _start(self) -> None:
        context = multiprocessing.get_context("spawn")
        ours, theirs = context.Pipe()
        seat = min(set(range(self.slots)) - {worker.seat for worker in self._workers})
        arguments = (self._perform, theirs, self._threads, self._gpus[seat])
        process = context.Process(target=_serve, args=arguments, daemon=True, name=f"condensery-{seat}")
        resource_tracker.ensure_running()  # it lets Ctrl-C through again when it starts, so it must not do so below
        with _interrupt_later():  # a process that has started is known, and so will be stopped
            process.start()
            self._workers.append(_Worker(process, ours, seat))
        theirs.close()

    def _hand_out(self) -> None:
        """Give waiting jobs to workers that are ready: these read, so that sending never waits."""
        for worker in self._workers:
            if worker.ready and worker.job is None and self._waiting:
                worker.job = self._waiting.popleft()
                with suppress(OSError):  # it has just died, which the next wait finds out
                    worker.pipe.send(worker.job)

    def _wait(self) -> _Worker:
        """A worker that has something to say, or has died."""
        by_handle = {worker.process.sentinel: worker for worker in self._workers}
        by_handle |= {worker.pipe: worker for worker in self._workers}
        return by_handle[wait(list(by_handle))[0]]  # type: ignore[index]

    def _hear(self, worker: _Worker) -> Outcome | None:
        """What the worker says: that it is ready (None), or an outcome. One that is dead is replaced (None)."""
        try:
            said = worker.pipe.recv()  # what was sent before death is still in the pipe
        except (EOFError, OSError):
            self._bury(worker)
            return None
        worker.ready = True
        if said is not None:
            worker.job = None
        return said

    def _bury(self, worker: _Worker) -> None:
        """Put the job of a dead worker back. Raises FailedWork if that has happened too often."""
        worker.pipe.close()
        worker.process.kill()  # the pipe may have broken before the process has
        worker.process.join()
        self._workers.remove(worker)
        code = worker.process.exitcode or 0
        how = f"killed by {signal.Signals(-code).name}" if code < 0 else f"ended with exit code {code}"
        if not worker.ready:
            self._lost["start"] += 1
            if code > 0 or self._lost["start"] >= TRIES:
                raise FailedWork(
                    f"a worker process {how} before it took a job: a script that starts workers has to do so "
                    'below `if __name__ == "__main__":`'
                )
        if worker.job is not None:
            self._lost[worker.job.key] += 1
            if self._lost[worker.job.key] >= TRIES:
                raise given_up(worker.job, TRIES, how)
            self._waiting.appendleft(worker.job)


def _serve(perform: Perform, pipe: Connection, threads: int, gpu: str | None) -> None:
    """The life of a worker: jobs in, outcomes out, until the pipe closes or a signal comes."""
    if gpu is not None:
        os.environ["CUDA_VISIBLE_DEVICES"] = gpu  # before anything asks CUDA
    torch.set_num_threads(threads)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    with suppress(EOFError, OSError, Interrupted, KeyboardInterrupt):  # the one at the other end knows why
        pipe.send(None)
        while True:
            pipe.send(do(perform, pipe.recv(), f"process {os.getpid()}"))


def _end_with_parent() -> None:
    """Nobody waits for the result of an orphan, which could run for days."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os.kill(os.getpid(), signal.SIGKILL)


@contextmanager
def _interrupt_later() -> Iterator[None]:
    """Keep Ctrl-C until the block ends. Processes that start inside never get it: who started them stops them."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _gpu_of_each(workers: int, per_job: float | None) -> list[str | None]:
    """What each worker may see of the GPUs, as CUDA_VISIBLE_DEVICES; None where there is nothing to say."""
    count = torch.cuda.device_count()
    listed = os.environ.get("CUDA_VISIBLE_DEVICES")
    names = (listed.split(",") if listed else [str(i) for i in range(count)])[:count]
    if per_job == 0:
        return [""] * workers
    if per_job is not None and workers > int(1 / per_job) * len(names):
        raise BadInput(
            f"{workers} workers with {per_job:g} GPUs per job need more than this machine's {len(names)} GPUs: "
            "use fewer --workers or lower --gpus-per-job"
        )
    return [names[seat % len(names)] if names else None for seat in range(workers)]
