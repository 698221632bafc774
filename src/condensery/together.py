"""One run on several processes: what the first one tells the others, and what they do.

The first process does all that a run does. The others load the same images, take its state and make every step with
it, see `condensery.team`, until it says that there are no more.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import asdict, replace

import torch
from safetensors.torch import load as from_bytes
from safetensors.torch import save as to_bytes
from torch import Tensor

from condensery import driver
from condensery.beginning import begin
from condensery.data import load
from condensery.data.sources import silent
from condensery.errors import BadInput, one_line, require_count
from condensery.method import Method
from condensery.methods import METHODS, get_method
from condensery.models.batch_norm import mixes_samples
from condensery.provenance import hardware, pick_device
from condensery.records import ImageData
from condensery.run_folder import RunSettings
from condensery.session import Session
from condensery.synthetic import Start
from condensery.team import Team, started


def require_shared(method: Method, processes: int | Team) -> None:
    """Raises BadInput where a run by `method` cannot have so many processes."""
    size, asked = _asked(processes)
    require_count("processes", size)
    if size > 1 and not getattr(method, "splits", ""):
        able = ", ".join(sorted(name for name, one in METHODS.items() if getattr(one, "splits", "")))
        raise BadInput(f"{asked} is for {able}: {method.name} works in one process")


def _asked(processes: int | Team) -> tuple[int, str]:
    """How many, and how a person asked for them."""
    if isinstance(processes, Team):
        return processes.size, f"WORLD_SIZE={processes.size}"
    return processes, f"--processes {processes}"


@contextmanager
def shared(session: Session) -> Iterator[None]:
    """While the processes that its options ask for are there, to share each step of the run."""
    processes = session.options.processes
    size, asked = _asked(processes)
    if size == 1:
        yield
        return
    if session.method.splits == "terms" and any(map(mixes_samples, session.state.networks.values())):  # type: ignore[attr-defined]
        raise BadInput(
            f"batch norm in {session.settings.network} looks at the images of all classes at once, which {asked} "
            "would part: leave that out, or choose a network without batch norm"
        )
    if isinstance(processes, Team):
        session.options.announce(f"{asked}: {size} processes share each step, of which this is the first")
        ready = nullcontext(processes)
    else:
        ready = started(size, follow, method=session.method)
    with ready as team:
        _lead(session, team)
        yield


def _lead(session: Session, team: Team) -> None:
    """Tell the others what run it is, and give them its state. Raises BadInput for what one of them refuses."""
    start, options = session.task.start, session.options
    told = {
        "settings": asdict(session.settings),
        "device": options.device,
        "memory": options.memory,
        "threads": torch.get_num_threads(),
        "step": session.state.step,
        "start": start and {"counts": start.counts, "labels": start.labels},
    }
    team.told(json.dumps(told).encode())
    if start:
        _tensors(
            team, {"stored": start.stored, **({} if start.targets is None else {"targets": start.targets})}
        )
    _agree(team, session.task.device, announce=options.announce)
    _tensors(team, session.state.tensors())
    session.task = replace(session.task, team=team)


def follow(team: Team, data: str | None = None, method: Method | None = None) -> None:
    """Make every step of a run with the first process, which says what run it is and when it ends.

    Args:
        data: where the images are on this machine; None for where they are on that of the first process.
        method: that of the run, if it is no registered one.

    Raises:
        BadInput: one of the processes cannot do that.
        LostProcess: another process has ended before.
    """
    told = json.loads(team.told())
    settings, start = RunSettings(**told["settings"]), told["start"]
    if start:
        given = _tensors(team)
        start = Start(given["stored"], tuple(start["counts"]), given.get("targets"), start["labels"])
    torch.set_num_threads(told["threads"])
    begun, refused = None, ""
    try:
        method = method or get_method(settings.method, **settings.fields)
        images = _images(settings, data or settings.source)
        device = _device(told["device"], team.number)
        begun = begin(settings, method, images, start, device, told["memory"], silent)
    except Exception as error:
        refused = one_line(error)
    _agree(team, begun[0].device if begun else None, refused)
    assert begun and method
    task, state = replace(begun[0], team=team), begun[1].restored(_tensors(team), told["step"])
    for _ in driver.trajectory(method, task, state, driver.source(settings.seed), sys.maxsize):
        pass


def _images(settings: RunSettings, source: str) -> ImageData:
    """Raises BadInput where the run began with others."""
    images = load(source, progress=False, **settings.options)
    if images.fingerprint != settings.fingerprint:
        raise BadInput(f"{source} holds other images than the run began with")
    return images


def _device(asked: str, number: int) -> torch.device:
    """That of process `number`: processes of one machine take its GPUs in turn."""
    if asked in ("auto", "cuda") and torch.cuda.is_available():
        local = int(os.environ.get("LOCAL_RANK", number))
        return pick_device(f"cuda:{local % torch.cuda.device_count()}")
    return pick_device(asked)


def _agree(
    team: Team,
    device: torch.device | None,
    refused: str = "",
    announce: Callable[[str], None] = silent,
) -> None:
    """Raises BadInput at all processes for what one of them refuses."""
    own = hardware(device) if device else ""
    for number in range(1, team.size):
        words, theirs = json.loads(team.told(json.dumps([refused, own]).encode(), number))
        if words:
            raise BadInput(f"process {number + 1} of {team.size}: {words}")
        if device and theirs != own:
            announce(
                f"process {number + 1} of {team.size} works with {theirs}, this one with {own}: rounding may differ"
            )


def _tensors(team: Team, own: Mapping[str, Tensor] | None = None) -> dict[str, Tensor]:
    """Tensors of the first process, on the CPU."""
    words = to_bytes({name: tensor.cpu().contiguous() for name, tensor in own.items()}) if own else b""
    return from_bytes(team.told(words))
