"""Jobs on a Ray cluster. Ray is an extra of the package and imported only here, when it is asked for."""

from __future__ import annotations

import logging
import os
import socket
import tempfile
import time
import warnings
from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

from condensery.errors import BadInput, FailedWork, one_line
from condensery.jobs.engines.engine import LostWorker, do
from condensery.jobs.job import Job, Perform, Result
from condensery.memory import keep_freed_memory

_ANSWER = 10.0  # seconds that an address has to answer
_PATIENCE = 60.0  # seconds without any node that could do the jobs before giving up
_ENVIRONMENT = {  # which Ray reads when it is imported; what the user has set stays
    "RAY_DEDUP_LOGS_SKIP_REGEX": ".",  # its news of lost nodes go to stdout otherwise, whatever log_to_driver says
    "RAY_USAGE_STATS_ENABLED": "0",  # a cluster that is started here reports to nobody
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",  # the default to come; Ray warns while it is not set
}


class RayCluster:
    """Does as many jobs at a time as the cluster has CPUs and GPUs for. See `condensery.jobs.engines.Engine`.

    A job claims a CPU for each of its threads, and a GPU unless it is to run on the CPU or the cluster has none.

    Args:
        perform: does a job; a function at the top of a module that every node can import.
        address: "auto" (the cluster that this machine is a node of), "HOST:PORT" (the same, by its head's address),
            "ray://HOST:PORT" (from a machine outside) or "local" (a new one on this machine, until `close`).
        gpus_per_job: GPUs that a job claims, such as 0.5; None claims one where the cluster has GPUs.
        threads: that jobs are expected to use, until they say so themselves.

    Raises:
        BadInput: Ray is not installed, or there is no such cluster.
    """

    def __init__(
        self, perform: Perform, address: str, gpus_per_job: float | None = None, threads: int | None = None
    ) -> None:
        self._ray = import_ray(address)
        self._ours = _connect(self._ray, address)
        has_gpus = self._ray.cluster_resources().get("GPU", 0) > 0
        self._gpus = float(has_gpus) if gpus_per_job is None else gpus_per_job
        self._perform = perform
        self._do = self._ray.remote(_do_on_node)
        self._running: dict[Future[Result], Any] = {}  # references of Ray's
        self._claim = (threads or 1, self._gpus)  # CPUs and GPUs of a job, as far as it is known
        self._fitting: set[tuple[int, float]] = set()  # claims that a node had room for
        self._last_fit = time.monotonic()

    @property
    def slots(self) -> int:
        """Jobs that the cluster can do at a time: nodes come and go."""
        cpus, gpus = self._claim
        there = self._ray.cluster_resources()
        count = there.get("CPU", 0) // cpus
        return max(1, int(min(count, there.get("GPU", 0) // gpus) if gpus else count))

    def submit(self, job: Job) -> Future[Result]:
        """Raises BadInput if no node is large enough for the job."""
        if job.device.startswith("cuda") and not self._gpus:
            raise BadInput(f"--device {job.device} was asked for, but jobs claim no GPU of the Ray cluster")
        on_cpu = job.device == "cpu" or not self._gpus
        job = replace(job, device="cpu" if on_cpu else "cuda")  # "auto" must not depend on the node
        cpus, gpus = self._claim = (job.threads or 1, 0.0 if on_cpu else self._gpus)
        if self._claim not in self._fitting and not self._fits():
            raise BadInput(
                f"no node of the Ray cluster has {cpus} CPUs and {gpus:g} GPUs, which job {job.key} claims: "
                "start a larger node, or lower --gpus-per-job or the threads"
            )
        self._fitting.add(self._claim)  # where a node is lost, another may come
        self._last_fit = time.monotonic()
        # Ray's own retries never end for a job that runs out of memory; ours are counted
        options = {"num_cpus": cpus, "num_gpus": gpus, "max_retries": 0, "name": job.key}
        reference = self._do.options(**options).remote(self._perform, job)
        future = reference.future()
        self._running[future] = reference
        return future

    def result(self, ended: Future[Result]) -> Result:
        del self._running[ended]
        errors = self._ray.exceptions
        try:
            return ended.result()
        except errors.RayTaskError as error:  # `do` lets no exception of a job through
            raise FailedWork(
                f"a job cannot begin on a Ray worker: {str(error).strip().splitlines()[-1]}; "
                "every node needs this version of condensery"
            ) from error
        except errors.RayError as error:
            raise LostWorker(f"by {type(error).__name__}") from error

    def check(self) -> None:
        now = time.monotonic()
        self._last_fit = now if self._fits() else self._last_fit
        if now - self._last_fit > _PATIENCE:
            raise FailedWork("no node is left in the Ray cluster that is large enough for a job")

    def close(self) -> None:
        for reference in self._running.values():
            self._ray.cancel(reference, force=True)
        self._running.clear()
        if self._ours:
            self._ray.shutdown()
            self._ours = False

    def _fits(self) -> bool:
        """Whether there is a node that could do such a job as the last one when it has nothing else to do."""
        cpus, gpus = self._claim
        nodes = [node["Resources"] for node in self._ray.nodes() if node["Alive"]]
        return any(node.get("CPU", 0) >= cpus and node.get("GPU", 0) >= gpus for node in nodes)


def _do_on_node(perform: Perform, job: Job) -> Result:
    """A node cannot see the folders of the machine that asks."""
    keep_freed_memory()
    with tempfile.TemporaryDirectory() as place:
        job = replace(job, folder=f"{place}/run")
        return do(perform, job, f"Ray node {socket.gethostname()}, process {os.getpid()}")


def import_ray(address: str) -> Any:
    """The module, imported so that it stays quiet and gives up on an address in bounded time. Raises BadInput."""
    # 20 tries are the default, of 40 seconds each where something else than Ray listens
    tries = {} if address == "local" else {"RAY_NUM_REDIS_GET_RETRIES": "1"}
    for name, value in {**_ENVIRONMENT, **tries}.items():
        os.environ.setdefault(name, value)
    try:
        with _quiet():
            import ray
    except ImportError as error:
        raise BadInput("--ray needs Ray, which is not installed: pip install 'condensery[ray]'") from error
    return ray


def _connect(ray: Any, address: str) -> bool:
    """Join the cluster. Returns whether this call did so; an open connection is used as it is."""
    if ray.is_initialized():
        return False
    if address not in ("auto", "local"):
        _require_answer(address)
    try:
        with _quiet():
            ray.init(address, log_to_driver=False, logging_level=logging.ERROR)
    except (OSError, RuntimeError, ValueError, ray.exceptions.RayError) as error:
        why = f"cannot use a Ray cluster at {address}: {one_line(error)}"
        raise BadInput(f"{why}; start one with: ray start --head") from error
    return True


def _require_answer(address: str) -> None:
    """Raises BadInput unless something listens at HOST:PORT or ray://HOST:PORT; Ray would wait for minutes."""
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if not host or not port.isdecimal() or not 0 < int(port) < 2**16:
        raise BadInput(f"--ray takes auto, local, HOST:PORT or ray://HOST:PORT, not {address!r}")
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=_ANSWER).close()
    except OSError as error:
        why = f"no Ray cluster answers at {address} ({one_line(error)})"
        raise BadInput(f"{why}: start one with: ray start --head") from error


@contextmanager
def _quiet() -> Iterator[None]:
    """Ray's warnings are for developers of Ray, and an error where warnings are made errors."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield
