"""Where jobs run: in this process, in processes of this machine, or on a Ray cluster. All give equal results."""

from __future__ import annotations

from condensery.errors import BadInput, require_count
from condensery.jobs.engines.engine import Engine, InProcess, results
from condensery.jobs.engines.local import LocalProcesses
from condensery.jobs.engines.ray_cluster import RayCluster
from condensery.jobs.job import Perform

__all__ = ["Engine", "InProcess", "LocalProcesses", "RayCluster", "pick_engine", "results"]


def pick_engine(
    workers: int | None,
    ray: str | None,
    gpus_per_job: float | None,
    perform: Perform,
    threads: int | None = None,
) -> Engine:
    """A Ray cluster if `ray` names one, processes of this machine for 2 or more `workers`, else this process.

    Args:
        workers: processes; None or 1 does the jobs here.
        ray: see `RayCluster`.
        gpus_per_job: share of a GPU that a job claims, from 0 to 1; None claims what the engine takes for granted.
        perform: does a job; a function at the top of a module.
        threads: that jobs will use, as far as it is known: a cluster has room for fewer that use more.

    Raises:
        BadInput: a number out of range, two engines at a time, a library or the cluster or GPUs missing.
    """
    require_count("workers", workers)
    require_count("threads", threads)
    if ray is not None and workers is not None:
        raise BadInput("--ray runs as many jobs at a time as its cluster has room for: leave out --workers")
    if gpus_per_job is not None and not 0 <= gpus_per_job <= 1:
        raise BadInput(f"--gpus-per-job must be from 0 to 1, since a job uses one GPU, not {gpus_per_job:g}")
    if ray is not None:
        return RayCluster(perform, ray, gpus_per_job, threads)
    if workers is not None and workers > 1:
        return LocalProcesses(perform, workers, gpus_per_job)
    if gpus_per_job is not None:
        raise BadInput("--gpus-per-job shares GPUs among --workers or nodes of --ray: ask for one of them")
    return InProcess(perform)
