"""One run on two processes: the bits of one process, and one line when something happens to either."""

from __future__ import annotations

import multiprocessing
import os
import signal
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

import condensery
from condensery import BadInput, FailedWork, ImageData, StepReport, SyntheticSet, Task, condense, driver
from condensery.artifact import read_tensors
from condensery.budgets import uniform
from condensery.data import ClassPool
from condensery.errors import Interrupted
from condensery.models.registry import resolve
from condensery.resuming import resume_run
from condensery.session import Options
from condensery.team import ALONE, Team, meeting

NETWORK = "convnet+width=8+depth=1"
CPU, RNG = torch.device("cpu"), condensery.Rng(3)
METHODS: dict[str, dict[str, Any]] = {
    "dm": {"real_batch": 7, "factor": 2},
    "frepo": {"real_batch": 21, "network_updates": 1, "pool_size": 2, "image_lr": 0.01, "mirror": "yes"},
    "rfad": {"real_batch": 21, "networks": 2, "labels": "learned"},
    "kip": {"real_batch": 21, "labels": "learned"},
}


def dm(data: Any, steps: int = 3, **options: Any) -> SyntheticSet:
    return condense(data, "dm", network=NETWORK, real_batch=7, steps=steps, device="cpu", **options)


def other() -> Any:
    """The process that helps this one."""
    (found,) = multiprocessing.active_children()
    return found


def kill_at(step: int) -> Callable[[StepReport], None]:
    return lambda report: other().kill() if report.step == step else None


def test_a_run_on_two_processes_is_that_of_one(tiny_file: Path, tmp_path: Path) -> None:
    """Set, checkpoint and losses; and it goes on in one process."""

    def shake(report: StepReport) -> None:  # as a terminal does for all of its processes
        os.kill(other().pid, signal.SIGINT)

    threads = torch.get_num_threads()
    dm(tiny_file, out=tmp_path / "one")
    two = dm(tiny_file, out=tmp_path / "two", processes=2, callback=shake)
    assert two.record["processes"] == 2 and torch.get_num_threads() == threads
    files = [read_tensors(tmp_path / name / "checkpoint.safetensors") for name in ("one", "two")]
    (first, header), (second, other_header) = files
    assert first.keys() == second.keys() and all(torch.equal(first[name], second[name]) for name in first)
    assert header["curve"]["loss"] == other_header["curve"]["loss"]
    assert not multiprocessing.active_children()
    resumed = resume_run(tmp_path / "two", steps=5, options=Options("cpu"))
    assert torch.equal(resumed.images, dm(tiny_file, steps=5).images)


def test_a_process_that_dies_ends_the_run_with_one_line(tiny_file: Path, tmp_path: Path) -> None:
    with pytest.raises(FailedWork) as stopped:
        dm(tiny_file, steps=100_000, out=tmp_path / "run", processes=2, callback=kill_at(2))
    kept = condensery.load(tmp_path / "run").record["step"]
    assert kept >= 2  # what was on its way arrives
    assert str(stopped.value) == (
        "process 2 of 2 was ended by SIGKILL, and the run with it; "
        f"the set after step {kept} is kept in {tmp_path / 'run'}"
    )
    whole = dm(tiny_file, steps=kept + 2)
    assert torch.equal(
        resume_run(tmp_path / "run", steps=kept + 2, options=Options("cpu")).images, whole.images
    )


def test_ctrl_c_ends_all_with_one_line(tiny_file: Path, tmp_path: Path) -> None:
    def press(report: StepReport) -> None:
        if report.step == 2:
            os.kill(os.getpid(), signal.SIGINT)

    with pytest.raises(Interrupted, match="stopped after step 2 of 100000; nothing is lost"):
        dm(tiny_file, steps=100_000, out=tmp_path / "run", processes=2, callback=press)
    assert not multiprocessing.active_children()


def task_of(images: ImageData, team: Team = ALONE) -> Task:
    pool, counts = ClassPool(images.train, images.spec, CPU), uniform(3, images.spec.num_classes)
    return Task(pool, resolve(NETWORK), counts, CPU, 4, 3, team=team)


def trajectories(images: ImageData, team: Team = ALONE) -> list[tuple[list[float], dict[str, Tensor]]]:
    """Losses and last tensors of every method that can be shared."""
    found = []
    for name, fields in METHODS.items():
        method, task = condensery.get_method(name, **fields), task_of(images, team)
        states = list(driver.trajectory(method, task, driver.begin(method, task, RNG), RNG, 3))
        found.append(([loss for _, loss in states], states[-1][0].tensors()))
    return found


def _peer(file: str, cache: str, port: int) -> None:
    os.environ["CONDENSERY_CACHE"] = cache
    torch.set_num_threads(1)
    trajectories(condensery.load_images(file), Team.joined(1, 2, meeting(port)))


def test_every_method_that_is_shared_gives_what_it_gives_alone(tiny_file: Path) -> None:
    place = meeting()
    arguments = (str(tiny_file), os.environ["CONDENSERY_CACHE"], place.port)
    peer = multiprocessing.get_context("forkserver").Process(target=_peer, args=arguments)
    peer.start()
    images = condensery.load_images(tiny_file)
    shared = trajectories(images, Team.joined(0, 2, place))
    peer.join()
    assert peer.exitcode == 0
    for name, (losses, tensors), (own, expected) in zip(METHODS, shared, trajectories(images), strict=True):
        exact = name != "kip"  # whose parts of the real batch are added up
        relative, absolute = (0.0, 0.0) if exact else (1e-4, 1e-5)
        assert losses == pytest.approx(own, rel=relative, abs=absolute)
        for key, value in expected.items():
            torch.testing.assert_close(tensors[key], value, rtol=relative, atol=absolute)


def test_refusals(tiny_file: Path, tiny: ImageData, tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="--processes 2 is for dm, frepo, kip, rfad: dc works in one process"):
        condense(tiny_file, "dc", processes=2, out=tmp_path / "run")
    with pytest.raises(BadInput, match="--processes must be at least 1, not 0"):
        dm(tiny_file, processes=0)
    with pytest.raises(
        BadInput, match=r"batch norm in convnet\+norm=batch.* looks at the images of all classes"
    ):
        condense(
            tiny_file, "dm", network="convnet+norm=batch+width=8+depth=1", processes=2, steps=2, device="cpu"
        )
    assert not (tmp_path / "run").exists()


def test_images_that_another_process_cannot_load_are_refused(tiny: ImageData) -> None:
    with pytest.raises(BadInput, match=r"process 2 of 2: .*nowhere"):
        dm(replace(tiny, source="nowhere"), processes=2)
