"""What processes that share every step say to each other: each does a part of the work, and all hold the same numbers.

Nothing is rounded where they put their parts together: what belongs to others is zero, to which a sum adds nothing.
"""

from __future__ import annotations

import math
import socket
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor

from condensery.errors import FailedWork

_Items = TypeVar("_Items", Sequence[int], Tensor)
_HOST = "127.0.0.1"
TO_MEET, _TO_ANSWER = timedelta(minutes=5), timedelta(days=30)  # others wait while the first one evaluates
_A_WHILE = timedelta(seconds=1)


class LostProcess(FailedWork):
    """Another process of the run has ended."""


def meeting(port: int | None = None) -> Any:
    """Where the processes of one machine meet: a new place, with its `port`, or the one at a port."""
    if port is not None:
        return dist.TCPStore(_HOST, port, is_master=False, wait_for_workers=False)  # pyright: ignore
    listening = socket.create_server((_HOST, 0))  # one of torch's own would be open to the network
    port, opened = listening.getsockname()[1], listening.detach()
    return dist.TCPStore(_HOST, port, is_master=True, wait_for_workers=False, master_listen_fd=opened)  # pyright: ignore


def _done(work: Any) -> bool:
    """Whether it is, after a second at most: Python hears of Ctrl-C between two calls only. Raises what went wrong."""
    try:
        return bool(work.wait(_A_WHILE))
    except RuntimeError:
        return bool(work.is_completed() and work.wait())


def _somebody() -> str:
    return "another process of the run has ended"


@dataclass(frozen=True)
class Team:
    """The processes of a run, as one of them sees them.

    Attributes:
        number: of this process, from 0. The first one reads and writes files and talks to people.
        size: how many there are.
        group: what they talk through; None for a process that is alone.
        lost: says what has become of the others, where one of them does not answer.
    """

    number: int = 0
    size: int = 1
    group: Any = None
    lost: Callable[[], str] = _somebody

    @staticmethod
    def joined(
        number: int, size: int, place: Any, lost: Callable[[], str] = _somebody, host: str | None = _HOST
    ) -> Team:
        """A process of a run; returns when all of them have come to a `meeting`.

        The others reach it at the address `host`; None for the one that gloo finds, see GLOO_SOCKET_IFNAME.
        """
        gloo, how = dist.ProcessGroupGloo, TO_MEET
        if host is not None:
            how = gloo._Options()  # pyright: ignore[reportAttributeAccessIssue]
            how._timeout, how._devices = TO_MEET, [gloo.create_device(hostname=host)]
        return Team(number, size, gloo(place, number, size, how), lost)

    def goes_on(self, wanted: bool = True) -> bool:
        """Whether all make another step, as the first one says before each. Raises LostProcess."""
        return self.size == 1 or bool(self.summed(torch.tensor(int(wanted and self.number == 0))))

    def leave(self) -> None:
        """There are no more steps, says the first one, in place of making one."""
        with suppress(LostProcess):
            self.goes_on(False)

    def told(self, words: bytes = b"", by: int = 0) -> bytes:
        """What one of the processes says to all; the words of the others do not count. Raises LostProcess."""
        words = words if self.number == by else b""
        told = bytearray(int(self.summed(torch.tensor(len(words)))))
        told[: len(words)] = words
        return self.summed(torch.frombuffer(told, dtype=torch.uint8)).numpy().tobytes() if told else b""

    def share(self, items: _Items) -> _Items:
        """The items at `number`, `number + size`, ...: all of them where it is alone."""
        return items[self.number :: self.size]

    def summed(self, tensor: Tensor) -> Tensor:
        """The sum of the tensors of all processes, of one shape. Raises LostProcess."""
        if self.size == 1:
            return tensor
        total = tensor.detach().to("cpu", copy=True).contiguous()
        options = dist.AllreduceOptions()
        options.timeout = _TO_ANSWER
        try:
            work = self.group.allreduce([total], options)
            while not _done(work):
                pass
        except RuntimeError as error:
            raise LostProcess(self.lost()) from error
        return total.to(tensor.device)

    def in_order(self, own: Sequence[Tensor]) -> list[Tensor]:
        """Scalars of all processes, in the order of what was shared, from those of this process's share."""
        count = int(self.summed(torch.tensor(len(own))))
        values = torch.zeros(count, dtype=torch.float64)
        values[self.number :: self.size] = torch.tensor([float(value) for value in own], dtype=torch.float64)
        return list(self.summed(values).unbind())

    def features(self, embed: Callable[[Tensor], Tensor], images: Tensor, chunk: int | None) -> Tensor:
        """What `embed` makes of images (n, C, H, W) in passes of at most `chunk`: (n, D).

        Several processes share the passes, and the result is differentiable in the images alone.
        """
        if self.size == 1:
            return torch.cat([embed(part) for part in images.split(chunk or len(images))])
        chunk = chunk or math.ceil(len(images) / self.size)
        return _Shared.apply(images, self, embed, chunk)

    def rows(self, count: int, chunk: int) -> slice:
        """Those of this process, of `count` rows that are taken `chunk` at a time."""
        passes = math.ceil(count / chunk)
        first, last = (passes * k // self.size for k in (self.number, self.number + 1))
        return slice(first * chunk, min(last * chunk, count))

    def whole(self, own: Tensor, count: int, rows: slice) -> Tensor:
        """(count, ...): the `rows` of every process, from its `own`."""
        found = own.new_zeros(count, *own.shape[1:])
        found[rows] = own
        return self.summed(found)


ALONE = Team()


class _Shared(torch.autograd.Function):
    """`Team.features` of several processes. Each keeps the graph of its own passes, and all get the whole gradient."""

    @staticmethod
    def forward(
        ctx: Any, images: Tensor, team: Team, embed: Callable[[Tensor], Tensor], chunk: int
    ) -> Tensor:
        ctx.team, ctx.rows = team, team.rows(len(images), chunk)
        ctx.own = images[ctx.rows].detach().requires_grad_(images.requires_grad)
        with torch.set_grad_enabled(images.requires_grad):
            ctx.found = torch.cat([embed(part) for part in ctx.own.split(chunk)])
        return team.whole(ctx.found.detach(), len(images), ctx.rows)

    @staticmethod
    def backward(ctx: Any, *outputs: Tensor) -> tuple[Tensor, None, None, None]:
        (own,) = torch.autograd.grad(ctx.found, ctx.own, outputs[0][ctx.rows])
        return ctx.team.whole(own, len(outputs[0]), ctx.rows), None, None, None
