"""Signals that ask a process to stop, and who answers them."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any


def stopping_signals() -> list[signal.Signals]:
    """Ctrl-C, termination, and a terminal that is gone, unless whoever started us wants us to outlive it (nohup)."""
    outlives = signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
    return [signal.SIGINT, signal.SIGTERM, *([] if outlives else [signal.SIGHUP])]


@contextmanager
def answered(numbers: Iterable[int], by: Callable[[int, Any], Any] | signal.Handlers) -> Iterator[None]:
    """Signals are answered so until the block ends. Python lets the main thread do that alone: elsewhere nothing
    changes.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    old = {number: signal.signal(number, by) for number in numbers}
    try:
        yield
    finally:
        for number, handler in old.items():
            signal.signal(number, handler)


@contextmanager
def noted() -> Iterator[list[int]]:
    """Collect the first signal to stop instead of raising; the second one stops at once."""
    received: list[int] = []

    def note(number: int, frame: object) -> None:
        if received:
            raise KeyboardInterrupt
        received.append(number)

    with answered(stopping_signals(), note):
        yield received
