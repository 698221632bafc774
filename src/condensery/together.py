"""One run on several processes of this machine: they are started, watched and ended here.

The first process, this one, does all that a run does. The others load the same images, take its state and make every
step with it, see `condensery.team`; they are ended when it is done.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from multiprocessing import resource_tracker
from multiprocessing.connection import Connection
from typing import Any

import torch

from condensery import driver
from condensery.data import load
from condensery.errors import BadInput, one_line
from condensery.memory import keep_freed_memory
from condensery.method import Method
from condensery.methods import METHODS
from condensery.models.batch_norm import mixes_samples
from condensery.records import SyntheticSet
from condensery.run_folder import RunSettings
from condensery.session import Options, Session
from condensery.synthetic import Start
from condensery.team import LostProcess, Team, meeting

_FROM_TERMINALS = {signal.SIGINT, signal.SIGHUP}


def require_shared(method: Method, processes: int) -> None:
    """Raises BadInput where a run by `method` cannot have so many processes."""
    if processes < 1:
        raise BadInput(f"--processes must be at least 1, not {processes}")
    if processes > 1 and not getattr(method, "splits", ""):
        able = ", ".join(sorted(name for name, one in METHODS.items() if getattr(one, "splits", "")))
        raise BadInput(f"--processes {processes} is for {able}: {method.name} works in one process")


def run(session: Session) -> SyntheticSet:
    """`session.run()` on as many processes as its options say."""
    processes = session.options.processes
    if processes == 1:
        return session.run()
    if session.method.splits == "terms" and any(map(mixes_samples, session.state.networks.values())):  # type: ignore[attr-defined]
        raise BadInput(
            f"batch norm in {session.settings.network} looks at the images of all classes at once, which --processes "
            f"{processes} would part: leave that out, or choose a network without batch norm"
        )
    with _team(session, processes) as team:
        session.task = replace(session.task, team=team)
        return session.run()


@dataclass(frozen=True)
class _Work:
    """What another process is told."""

    settings: RunSettings
    method: Method
    start: Start | None
    options: Options
    threads: int
    size: int


@contextmanager
def _team(session: Session, size: int) -> Iterator[Team]:
    """The first process's team, while the others are there. They share the threads that torch has here."""
    threads = torch.get_num_threads()
    options = Options(session.options.device, memory=session.options.memory)
    each = max(1, threads // size)
    work = _Work(session.settings, session.method, session.task.start, options, each, size)
    place = meeting()
    others = [_begin(number, place.port, work) for number in range(1, size)]
    torch.set_num_threads(each)
    try:
        _meet(others, session, size)
        yield Team.joined(0, size, place, lambda: _ended(others, size))
    finally:
        torch.set_num_threads(threads)
        for process, pipe in others:
            process.kill()
            process.join()
            pipe.close()


_Other = tuple[Any, Connection]  # a process of multiprocessing, and what it says


def _begin(number: int, port: int, work: _Work) -> _Other:
    resource_tracker.ensure_running()  # it lets Ctrl-C through again when it starts, so it must not do so below
    before = signal.pthread_sigmask(signal.SIG_BLOCK, _FROM_TERMINALS)
    try:
        forks = multiprocessing.get_context("forkserver")
        forks.set_forkserver_preload([__name__])
        ours, theirs = forks.Pipe()
        process = forks.Process(target=_help, args=(theirs, number, port, work), daemon=True)
        process.start()
        theirs.close()
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
    return process, ours


def _meet(others: Sequence[_Other], session: Session, size: int) -> None:
    """Give the others the state of the run. Raises BadInput for what one of them refuses, LostProcess for its end."""
    state = {name: tensor.cpu().numpy() for name, tensor in session.state.tensors().items()}
    for number, (_, pipe) in enumerate(others, 2):
        try:
            refused = pipe.recv()
            if refused:
                raise BadInput(f"process {number} of {size}: {refused}")
            pipe.send((state, session.state.step))
        except (EOFError, OSError) as error:
            raise LostProcess(_ended(others, size)) from error


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


def _help(pipe: Connection, number: int, port: int, work: _Work) -> None:
    """What another process does, until it is ended."""
    signal.pthread_sigmask(signal.SIG_BLOCK, _FROM_TERMINALS)
    threading.Thread(target=end_with_parent, daemon=True).start()
    torch.set_num_threads(work.threads)
    keep_freed_memory()
    try:
        session = _session(work, number)
        pipe.send("")
        tensors, step = pipe.recv()
        state = session.state.restored(
            {name: torch.from_numpy(values) for name, values in tensors.items()}, step
        )
        team = Team.joined(number, work.size, meeting(port))
        task = replace(session.task, team=team)
        for _ in driver.trajectory(session.method, task, state, session.rng, work.settings.steps):
            pass
    except LostProcess:  # the first one says what is to be said
        return
    except Exception as error:
        pipe.send(one_line(error))


def _session(work: _Work, number: int) -> Session:
    """What the first process has, made again. Raises BadInput where that cannot be done."""
    settings, options = work.settings, work.options
    images = load(settings.source, progress=False, **settings.options)
    if images.fingerprint != settings.fingerprint:
        raise BadInput(f"{settings.source} holds other images than the run began with")
    if options.device in ("auto", "cuda") and torch.cuda.is_available():
        options = replace(options, device=f"cuda:{number % torch.cuda.device_count()}")
    return Session(settings, work.method, images, options, work.start)


def end_with_parent() -> None:
    """Nobody waits for an orphan, which could run for days."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os.kill(os.getpid(), signal.SIGKILL)
