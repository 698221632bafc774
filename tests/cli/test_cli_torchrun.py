"""`condense run` as torchrun starts it on two machines: two processes with a folder and a cache of their own."""

from __future__ import annotations

import shutil
import signal
import socket
import time
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.distributed as dist
from processes import Command, Ended

import condensery
from condensery import BadInput, condense
from condensery.artifact import read_tensors
from condensery.resuming import resume_run
from condensery.session import Options
from condensery.team import launchers

NETWORK = "convnet+width=8+depth=1"
RUN = f"run --data images.npz --network {NETWORK} --real-batch 7 --device cpu --out made"
ENDLESS = f"{RUN} --steps 1000000 --checkpoint-every 0.1"
LEFT = "another process of this run has ended, and this one with it"


@pytest.fixture
def machines(tiny_file: Path, tmp_path: Path) -> list[Path]:
    """Two folders that hold the same images."""
    found = [tmp_path / "first", tmp_path / "second"]
    for folder in found:
        folder.mkdir()
        shutil.copy(tiny_file, folder / "images.npz")
    return found


def begin(machines: list[Path], words: str, port: int | None = None) -> list[Command]:
    """The command on both. The first process hosts the store, or somebody at `port`, as torchrun does."""
    if port is None:
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
        agent = {}
    else:
        agent = {"TORCHELASTIC_USE_AGENT_STORE": "True"}
    told = {"WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), **agent}
    return [
        Command(
            words.split(),
            folder,
            environment={**told, "RANK": str(number), "CONDENSERY_CACHE": str(folder / "cache")},
        )
        for number, folder in enumerate(machines)
    ]


def ends(commands: list[Command]) -> list[Ended]:
    return [command.end() for command in commands]


def under_way(machines: list[Path], words: str = ENDLESS, step: int = 0) -> list[Command]:
    """A run that has made a checkpoint after this step."""
    commands, end = begin(machines, words), time.monotonic() + 60
    while not (machines[0] / "made" / "set.safetensors").exists() or kept(machines) <= step:
        assert commands[0].running and time.monotonic() < end, ends(commands)
        time.sleep(0.02)
    return commands


def kept(machines: list[Path]) -> int:
    return condensery.load(machines[0] / "made").record["step"]


def in_one_process(machines: list[Path], **fields: object) -> condensery.SyntheticSet:
    return condense(machines[0] / "images.npz", "dm", network=NETWORK, real_batch=7, device="cpu", **fields)  # type: ignore[arg-type]


def test_two_machines_give_the_bits_of_one_process(machines: list[Path]) -> None:
    """Images, checkpoint and losses, from a set that only the first one has; and only that one writes and talks."""
    in_one_process(machines, steps=1, seed=5, out=machines[0] / "start")
    store = dist.TCPStore("127.0.0.1", 0, is_master=True, wait_for_workers=False)
    first, second = ends(begin(machines, f"{RUN} --steps 3 --init start", store.port))
    assert (first.code, first.err, *second) == (0, "", 0, "", "")
    assert "WORLD_SIZE=2: 2 processes share each step, of which this is the first" in first.out
    assert sorted(path.name for path in machines[1].iterdir()) == ["cache", "images.npz"]
    assert condensery.load(machines[0] / "made").record["processes"] == 2
    in_one_process(machines, steps=3, init=machines[0] / "start", out=machines[0] / "one")
    files = [read_tensors(machines[0] / name / "checkpoint.safetensors") for name in ("one", "made")]
    (tensors, header), (others, other) = files
    assert tensors.keys() == others.keys() and all(
        torch.equal(tensors[name], others[name]) for name in tensors
    )
    assert header["curve"]["loss"] == other["curve"]["loss"]


def test_a_kill_ends_both_with_one_line_and_resume_goes_on(machines: list[Path]) -> None:
    """First of the second process, then of the first one."""
    commands = under_way(machines)
    commands[1].send(signal.SIGKILL)
    first, second = ends(commands)
    step = kept(machines)
    assert (first.code, second.err) == (1, "")
    assert first.err == f"condense: error: {LEFT}; the set after step {step} is kept in made\n"
    again = "run --resume --out made --data images.npz --steps 1000000 --checkpoint-every 0.1"
    commands = under_way(machines, again, step)
    commands[0].send(signal.SIGKILL)
    _, second = ends(commands)
    assert (second.code, second.err) == (1, f"condense: error: {LEFT}\n")
    step = kept(machines) + 2
    made = resume_run(machines[0] / "made", steps=step, options=Options("cpu"))
    assert torch.equal(made.images, in_one_process(machines, steps=step).images)


def test_ctrl_c_at_both_ends_the_run_as_in_one_process(machines: list[Path]) -> None:
    commands = under_way(machines)
    for command in commands:
        command.send(signal.SIGINT)
    first, second = ends(commands)
    assert first.code == 2 and (second.code, second.err) == (2, "condense: interrupted\n")
    assert first.err.startswith(f"condense: stopped after step {kept(machines)} of 1000000; nothing is lost")


def test_other_images_are_refused(machines: list[Path]) -> None:
    held = dict(np.load(machines[1] / "images.npz"))
    held["x_train"][0] = held["x_train"][0][::-1]
    np.savez(machines[1] / "images.npz", **held)
    said = "condense: error: process 2 of 2: images.npz holds other images than the run began with\n"
    for done in ends(begin(machines, f"{RUN} --steps 3")):
        assert (done.code, done.err) == (2, said)
    assert not (machines[0] / "made").exists()


def test_what_the_first_process_refuses_ends_the_other(machines: list[Path]) -> None:
    first, second = ends(begin(machines, f"{RUN} --method dc --steps 3"))
    assert (first.code, second.code) == (2, 1)
    assert first.err == (
        "condense: error: WORLD_SIZE=2 is for dm, frepo, kip, rfad: dc works in one process\n"
    )
    assert second.err == f"condense: error: {LEFT}\n"


@pytest.mark.parametrize(
    ("words", "told", "line"),
    [
        ("run --data digits --processes 2", {"RANK": "0"}, "--processes 2 and WORLD_SIZE=2 are two ways"),
        ("run --data digits", {}, "WORLD_SIZE is 2, but RANK is not set: start every process with torchrun"),
        ("run --data digits", {"RANK": "one"}, "did not meet at nowhere:1: invalid literal for int"),
        ("compare --data digits", {"RANK": "1"}, "condense compare works in one process: start it once"),
    ],
)
def test_environments_that_are_refused(condense, monkeypatch, words, told, line) -> None:
    for name, value in {"WORLD_SIZE": "2", "MASTER_ADDR": "nowhere", "MASTER_PORT": "1", **told}.items():
        monkeypatch.setenv(name, value)
    done = condense(words)
    assert done.code == (1 if "meet" in line else 2) and line in done.err and done.err.count("\n") == 1


def test_other_versions_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    place = dist.HashStore()
    place.set("condensery/versions/1", "condensery 0.1 and torch 1.13.1")
    with pytest.raises(
        BadInput, match=r"process 2 of 2 has condensery 0\.1 and torch 1\.13\.1, process 1 has cond"
    ):
        launchers._require_alike(place, 0, 2)
    monkeypatch.setattr(launchers, "_versions", lambda: "condensery 0.1 and torch 9")
    with pytest.raises(
        BadInput, match=r"process 1 of 2 has condensery .*, process 2 has condensery 0\.1 and torch 9"
    ):
        launchers._require_alike(place, 1, 2)
