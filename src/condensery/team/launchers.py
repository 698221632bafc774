"""The team of processes that torchrun or another launcher has started, on one machine or on several."""

from __future__ import annotations

import os
import signal
import socket
from typing import Any

import torch
from torch.distributed.rendezvous import rendezvous

from condensery.errors import BadInput, FailedWork, one_line
from condensery.provenance import environment
from condensery.signals import answered, stopping_signals
from condensery.team.team import ALONE, TO_MEET, Team

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
