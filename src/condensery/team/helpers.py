"""A team on this machine: processes that are started, watched and ended by the first one."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from multiprocessing.connection import Connection
from typing import Any

import torch

from condensery.errors import one_line
from condensery.processes import begun, starting
from condensery.team.team import LostProcess, Team, meeting


@contextmanager
def started(size: int, work: Callable[..., None], **given: Any) -> Iterator[Team]:
    """The first process's team, while the others are there. They share the threads that torch has here.

    Args:
        work: what each of the others does with its own team and what is `given`, a function at the top of a module.

    Raises:
        LostProcess: one of them could not begin.
    """
    threads, place = torch.get_num_threads(), meeting()
    others = [_begin(number, size, place.port, work, given) for number in range(1, size)]
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


def _begin(number: int, size: int, port: int, work: Callable[..., None], given: dict[str, Any]) -> _Other:
    with starting(work.__module__) as server:
        ours, theirs = server.Pipe()
        process = server.Process(target=_help, args=(theirs, number, size, port, work, given), daemon=True)
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


def _help(
    pipe: Connection, number: int, size: int, port: int, work: Callable[..., None], given: dict[str, Any]
) -> None:
    """What another process does, until it is ended."""
    begun()
    try:
        pipe.send("")
        work(Team.joined(number, size, meeting(port)), **given)
    except LostProcess:  # the first one says what is to be said
        return
    except Exception as error:
        pipe.send(one_line(error))
