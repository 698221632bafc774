"""A Ray cluster of two nodes on this machine, one of which is lost in mid-run: what test_ray.py runs and reads.

A process of its own: Ray leaves threads, sockets and deprecation warnings behind, which tests turn into errors.
"""

from __future__ import annotations

import json
import logging
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

from performers import make_job, perform

import condensery
from condensery.comparison.run import Run as Progress
from condensery.jobs.engines import Engine, InProcess, RayCluster, results
from condensery.jobs.engines.ray_cluster import import_ray
from condensery.jobs.job import Job, Result

ray = import_ray("auto")  # before anything else imports it

NODE = {"num_cpus": 1, "object_store_memory": 80 * 2**20, "include_dashboard": False}


def gather(engine: Engine, jobs: list[Job]) -> dict[str, Result]:
    left = iter(jobs)
    return {job.key: result for job, result in results(engine, lambda: next(left, None))}


def lose_a_node(cluster: Any, folder: Path) -> tuple[dict[str, object], list[Job], dict[str, Result]]:
    """Six jobs on two nodes, of which the second is killed while it does one of them."""
    second = cluster.add_node(**NODE)
    engine = RayCluster(perform, cluster.address)
    slots = engine.slots
    jobs = [make_job(seed, ipc=1 + seed % 2, waits_for=str(folder)) for seed in range(6)]
    jobs[4] = replace(jobs[4], record={**jobs[4].record, "raises": "odd"})
    jobs[5] = replace(jobs[5], record={**jobs[5].record, "skip": "too few"}, folder=str(folder))
    lost: list[str] = []

    def lose() -> None:
        while len({node for _, node in began(folder)}) < 2:
            time.sleep(0.1)
        cluster.remove_node(second, allow_graceful=False)
        lost.extend(job for job, node in began(folder) if node == second.node_id)
        (folder / "go").touch()

    thread = threading.Thread(target=lose)
    thread.start()
    found = gather(engine, jobs)
    thread.join()
    answer = {"slots": slots, "lost": lost, "began": [job for job, _ in began(folder)]}
    engine.close()
    assert not ray.is_initialized()
    return answer, jobs, found


def compare_on(cluster: Any, folder: Path) -> dict[str, object]:
    """A comparison on two nodes, of which one is lost when its first job is done."""
    second = cluster.add_node(**NODE)
    slots: list[int] = []

    def hear(progress: Progress) -> None:
        slots.append(progress.slots)
        if progress.line and len(slots) == 2:
            cluster.remove_node(second, allow_graceful=False)

    settings = {
        "ipc": [1, 2],
        "condense_with": ["convnet+depth=1+width=8"],
        "protocol": replace(condensery.PROTOCOLS["quick"], name="short", epochs=2, repeats=2),
        "steps": 3,
        "settings": {"real_batch": 8},
        "threads": 1,
        "device": "cpu",
    }
    methods = ["dm", "random"]
    there = condensery.compare(
        "digits", methods, out=folder / "there", ray=cluster.address, callback=hear, **settings
    )
    here = condensery.compare("digits", methods, out=folder / "here", **settings)
    assert not there.problems, there.problems
    for ours, theirs in zip(there.measurements, here.measurements, strict=True):
        assert (ours.subject, ours.ipc, ours.accuracies) == (theirs.subject, theirs.ipc, theirs.accuracies)
    for made in (folder / "here/sets").iterdir():
        same = condensery.load(made).images.equal(condensery.load(folder / "there/sets" / made.name).images)
        assert same, made.name
    return {"cells": len(there.measurements), "slots": [slots[0], slots[-1]]}


def began(folder: Path) -> list[tuple[str, str]]:
    """(job, node) for everything that has begun."""
    names = [path.name.split(".") for path in folder.iterdir() if path.name != "go"]
    return [(name[0], name[1]) for name in names]


def same_here(jobs: list[Job], found: dict[str, Result]) -> None:
    """Raises AssertionError unless the jobs give the same in this process."""
    for key, ours in gather(InProcess(perform), jobs).items():
        theirs = found[key]
        assert theirs.worker.startswith("Ray node "), theirs.worker
        assert ours.failed or ours.skipped or ours.files["images"], key
        for name in ("document", "skipped", "failed"):
            assert getattr(theirs, name) == getattr(ours, name), (key, name)
        assert theirs.files.get("images") == ours.files.get("images"), key


if __name__ == "__main__":
    logging.disable(logging.WARNING)  # Ray's test cluster says that nodes are lost
    from ray.cluster_utils import Cluster

    cluster = Cluster(initialize_head=True, head_node_args=NODE)
    folder = Path(sys.argv[1])
    (folder / "jobs").mkdir()
    answer, jobs, found = lose_a_node(cluster, folder / "jobs")
    same_here(jobs, found)
    answer["comparison"] = compare_on(cluster, folder)
    cluster.shutdown()
    print(json.dumps(answer))
