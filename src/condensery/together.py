"""One run on several processes: of this machine, which are started, watched and ended here, or of several, which
torchrun or another launcher has started.

The first process does all that a run does. The others load the same images, take its state and make every step with
it, see `condensery.team`, until it says that there are no more.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import asdict, replace
from multiprocessing.connection import Connection
from typing import Any

import torch
from safetensors.torch import load as from_bytes
from safetensors.torch import save as to_bytes
from torch import Tensor
from torch.distributed.rendezvous import rendezvous

from condensery import driver
from condensery.data import load
from condensery.errors import BadInput, FailedWork, one_line
from condensery.method import Method
from condensery.methods import METHODS, get_method
from condensery.models.batch_norm import mixes_samples
from condensery.processes import begun, starting
from condensery.provenance import environment, hardware
from condensery.run_folder import RunSettings
from condensery.session import Options, Session
from condensery.signals import answered, stopping_signals
from condensery.synthetic import Start
from condensery.team import ALONE, TO_MEET, LostProcess, Team, meeting

_OF_LAUNCHERS = ("RANK", "MASTER_ADDR", "MASTER_PORT")  # beside WORLD_SIZE
_LEFT = "another process of this run has ended, and this one with it"


def launched(processes: int = 1) -> Team:
    """The team that the environment tells of, as torchrun sets it: WORLD_SIZE, RANK, MASTER_ADDR and MASTER_PORT.

    Returns when all are there; at once, with a team of one, where WORLD_SIZE is 1 or not set.

    Args:
        processes: asked for otherwise.

    Raises:
        BadInput: the environment tells too little; processes are asked for in both ways; another process has another
            version of condensery or torch.
        FailedWork: the others do not come.
    """
    told = os.environ.get("WORLD_SIZE") or "1"
    if told == "1":
        return ALONE
    if missing := [name for name in _OF_LAUNCHERS if not os.environ.get(name)]:
        raise BadInput(
            f"WORLD_SIZE is {told}, but {missing[0]} is not set: start every process with torchrun, or unset WORLD_SIZE"
        )
    if processes != 1:
        raise BadInput(
            f"--processes {processes} and WORLD_SIZE={told} are two ways to share a run: leave out --processes, and "
            "ask torchrun for that many (--nproc-per-node)"
        )
    try:
        # Python would hear of signals only when torch has done waiting
        with answered(stopping_signals(), signal.SIG_DFL):
            place, number, size = next(rendezvous("env://", timeout=TO_MEET))
            _require_alike(place, number, size)
            return Team.joined(number, size, place, lambda: _LEFT, _own_address())
    except (RuntimeError, ValueError, OSError) as error:
        at = ":".join(os.environ[name] for name in _OF_LAUNCHERS[1:])
        raise FailedWork(
            f"the {told} processes of this run did not meet at {at}: {one_line(error)}; see docs/cluster.md"
        ) from error


def _own_address() -> str | None:
    """That from which this machine reaches the first one; None where GLOO_SOCKET_IFNAME names a network."""
    if os.environ.get("GLOO_SOCKET_IFNAME"):
        return None
    host, port = os.environ["MASTER_ADDR"], os.environ["MASTER_PORT"]
    family, kind, _, _, place = socket.getaddrinfo(host, port, type=socket.SOCK_DGRAM)[0]
    with socket.socket(family, kind) as asked:
        asked.connect(place)  # sends nothing
        return str(asked.getsockname()[0])


def _require_alike(place: Any, number: int, size: int) -> None:
    """Raises BadInput where another process has other versions than the first one, at both."""
    key, own = "condensery/versions/{}", _versions()
    place.set(key.format(number), own)
    for other in range(1, size) if number == 0 else [0]:
        if (theirs := place.get(key.format(other)).decode()) != own:
            raise BadInput(
                f"process {other + 1} of {size} has {theirs}, process {number + 1} has {own}: install the same on all"
            )


def _versions() -> str:
    """condensery and torch; whether that is torch for a GPU does not matter."""
    found = environment(torch.device("cpu"))["versions"]
    return f"condensery {found['condensery']} and torch {found['torch'].partition('+')[0]}"


def require_shared(method: Method, processes: int | Team) -> None:
    """Raises BadInput where a run by `method` cannot have so many processes."""
    size, asked = _asked(processes)
    if size < 1:
        raise BadInput(f"--processes must be at least 1, not {size}")
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
    started = isinstance(processes, int)
    if not started:
        session.options.announce(f"{asked}: {size} processes share each step, of which this is the first")
    with _started(size, session.method) if started else nullcontext(processes) as team:
        _lead(session, team)
        yield


def _lead(session: Session, team: Team) -> None:
    """Tell the others what run it is, and give them its state. Raises BadInput for what one of them refuses."""
    start, options = session.task.start, session.options
    told = {
        "settings": asdict(session.settings),
        "options": {"device": options.device, "memory": options.memory},
        "threads": torch.get_num_threads(),
        "step": session.state.step,
        "start": start and {"counts": start.counts, "labels": start.labels},
    }
    team.told(json.dumps(told).encode())
    if start:
        _tensors(
            team, {"stored": start.stored, **({} if start.targets is None else {"targets": start.targets})}
        )
    _agree(team, session)
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
    session, refused = None, ""
    try:
        session = _session(settings, method, data, Options(**told["options"]), start, team.number)
    except Exception as error:
        refused = one_line(error)
    _agree(team, session, refused)
    assert session
    state = session.state.restored(_tensors(team), told["step"])
    task = replace(session.task, team=team)
    for _ in driver.trajectory(session.method, task, state, session.rng, sys.maxsize):
        pass


def _session(
    settings: RunSettings,
    method: Method | None,
    data: str | None,
    options: Options,
    start: Start | None,
    number: int,
) -> Session:
    """What the first process has, made again. Raises BadInput where that cannot be done."""
    source, method = data or settings.source, method or get_method(settings.method, **settings.fields)
    images = load(source, progress=False, **settings.options)
    if images.fingerprint != settings.fingerprint:
        raise BadInput(f"{source} holds other images than the run began with")
    if options.device in ("auto", "cuda") and torch.cuda.is_available():
        local = int(os.environ.get("LOCAL_RANK", number))
        options = replace(options, device=f"cuda:{local % torch.cuda.device_count()}")
    return Session(settings, method, images, options, start)


def _agree(team: Team, session: Session | None, refused: str = "") -> None:
    """Raises BadInput at all processes for what one of them refuses."""
    own = hardware(session.task.device) if session else ""
    for number in range(1, team.size):
        words, theirs = json.loads(team.told(json.dumps([refused, own]).encode(), number))
        if words:
            raise BadInput(f"process {number + 1} of {team.size}: {words}")
        if session and theirs != own:
            session.options.announce(
                f"process {number + 1} of {team.size} works with {theirs}, this one with {own}: rounding may differ"
            )


def _tensors(team: Team, own: Mapping[str, Tensor] | None = None) -> dict[str, Tensor]:
    """Tensors of the first process, on the CPU."""
    words = to_bytes({name: tensor.cpu().contiguous() for name, tensor in own.items()}) if own else b""
    return from_bytes(team.told(words))


@contextmanager
def _started(size: int, method: Method) -> Iterator[Team]:
    """The first process's team, while the others are there. They share the threads that torch has here."""
    threads, place = torch.get_num_threads(), meeting()
    others = [_begin(number, size, place.port, method) for number in range(1, size)]
    torch.set_num_threads(max(1, threads // size))
    try:
        for _, pipe in others:
            try:
                pipe.recv()
            except (EOFError, OSError) as error:
                raise LostProcess(_ended(others, size)) from error
        yield Team.joined(0, size, place, lambda: _ended(others, size))
    finally:
        torch.set_num_threads(threads)
        for process, pipe in others:
            process.kill()
            process.join()
            pipe.close()


_Other = tuple[Any, Connection]  # a process of multiprocessing, and what it says


def _begin(number: int, size: int, port: int, method: Method) -> _Other:
    with starting(__name__) as server:
        ours, theirs = server.Pipe()
        process = server.Process(target=_help, args=(theirs, number, size, port, method), daemon=True)
        process.start()
        theirs.close()
    return process, ours


def _ended(others: Sequence[_Other], size: int) -> str:
    """What became of the first of the others that has ended."""
    for number, (process, pipe) in enumerate(others, 2):
        process.join(1)
        if process.exitcode is not None:
            with suppress(EOFError, OSError):
                if pipe.poll() and (said := pipe.recv()):
                    return f"process {number} of {size} ended the run: {said}"
            code = process.exitcode
            how = f"was ended by {signal.Signals(-code).name}" if code < 0 else f"ended with code {code}"
            return f"process {number} of {size} {how}, and the run with it"
    return "another process of the run does not answer"


def _help(pipe: Connection, number: int, size: int, port: int, method: Method) -> None:
    """What another process does, until it is ended."""
    begun()
    try:
        pipe.send("")
        follow(Team.joined(number, size, meeting(port)), method=method)
    except LostProcess:  # the first one says what is to be said
        return
    except Exception as error:
        pipe.send(one_line(error))
