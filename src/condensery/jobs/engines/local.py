"""Jobs in processes of this machine.

Each slot has a Pebble pool of one process, so that a process that dies takes its own job with it and nothing else.
"""

from __future__ import annotations

import os
import signal
from concurrent.futures import Future, ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from typing import Any

import torch

from condensery.errors import BadInput, Interrupted
from condensery.jobs.engines.engine import LostWorker, do
from condensery.jobs.job import Job, Perform, Result
from condensery.processes import begun, starting

_GRACE = 5.0  # seconds that a worker has to write a checkpoint when it is told to stop


class LocalProcesses:
    """Does up to `workers` jobs at a time. See `condensery.jobs.engines.Engine`.

    They share the threads that torch would use here and take GPUs in turn.

    Args:
        perform: does a job; a function at the top of a module.
        workers: how many processes.
        gpus_per_job: share of a GPU that a job claims, 0 hides them; None lets the workers share what is there.

    Raises:
        BadInput: there are too few GPUs, or Pebble is not installed.
    """

    def __init__(self, perform: Perform, workers: int, gpus_per_job: float | None = None) -> None:
        try:
            import pebble
        except ImportError as error:
            raise BadInput("--workers needs Pebble, which is not installed: pip install pebble") from error
        pebble.CONSTS.term_timeout = _GRACE
        self.slots = workers
        self._perform, self._pebble = perform, pebble
        self._gpus = _gpu_of_each(workers, gpus_per_job)
        self._threads = max(1, torch.get_num_threads() // workers)
        self._pools: dict[int, Any] = {}  # by slot
        self._slot: dict[Future[Result], int] = {}  # of what is running

    def submit(self, job: Job) -> Future[Result]:
        slot = min(set(range(self.slots)) - set(self._slot.values()))
        if slot in self._pools and not self._pools[slot].active:  # it died while it had nothing to do
            _stop([self._pools.pop(slot)])
        with starting(self._perform.__module__) as server:
            if slot not in self._pools:
                begin = (self._threads, self._gpus[slot], dict(os.environ))
                self._pools[slot] = self._pebble.ProcessPool(1, 0, _begin, begin, server)
            future = self._pools[slot].schedule(_do, (self._perform, job))
        self._slot[future] = slot
        return future

    def result(self, ended: Future[Result]) -> Result:
        slot = self._slot.pop(ended)
        try:
            return ended.result()
        except self._pebble.ProcessExpired as error:
            code = error.exitcode
            how = f"killed by {signal.Signals(-code).name}" if code < 0 else f"ended with exit code {code}"
        except BrokenProcessPool:
            how = 'before it began (a script has to start workers below `if __name__ == "__main__":`)'
        except Interrupted:
            how = "told to stop"
        _stop([self._pools.pop(slot)])  # half a result may be left in its pipe
        raise LostWorker(how)

    def check(self) -> None: ...

    def close(self) -> None:
        """Stop the workers: at once, or when they have written the checkpoint that they are asked for."""
        _stop(list(self._pools.values()))
        self._pools.clear()
        self._slot.clear()


def _stop(pools: list[Any]) -> None:
    """All at a time, since each may wait for its process."""
    for pool in pools:
        pool.stop()
    with ThreadPoolExecutor(max(1, len(pools))) as threads:
        list(threads.map(lambda pool: pool.join(), pools))


def _begin(threads: int, gpu: str | None, environment: dict[str, str]) -> None:
    """What a worker does first; the server has the environment of when it was started."""
    os.environ.clear()
    os.environ.update(environment)
    if gpu is not None:
        os.environ["CUDA_VISIBLE_DEVICES"] = gpu  # before anything asks CUDA
    torch.set_num_threads(threads)
    begun()


def _do(perform: Perform, job: Job) -> Result:
    return do(perform, job, f"process {os.getpid()}")


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
    return [names[slot % len(names)] if names else None for slot in range(workers)]
