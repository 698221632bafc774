"""Processes that this one starts: forks of a server, which end with this one whatever happens."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing import resource_tracker
from multiprocessing.context import ForkServerContext

from condensery.memory import keep_freed_memory

_FROM_TERMINALS = {signal.SIGINT, signal.SIGHUP}


@contextmanager
def starting(module: str) -> Iterator[ForkServerContext]:
    """A server to start processes with, forks of which have `module` at once: safe with threads and CUDA.

    Processes and threads that start in the block get neither Ctrl-C nor a closed terminal: who starts them stops them.
    """
    resource_tracker.ensure_running()  # it lets Ctrl-C through again when it starts, so it must not do so below
    before = signal.pthread_sigmask(signal.SIG_BLOCK, _FROM_TERMINALS)
    try:
        server = multiprocessing.get_context("forkserver")
        server.set_forkserver_preload([module])
        yield server
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def begun() -> None:
    """What a process does first that was started so."""
    signal.pthread_sigmask(signal.SIG_BLOCK, _FROM_TERMINALS)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    keep_freed_memory()


def _end_with_parent() -> None:
    """Nobody waits for the result of an orphan, which could run for days."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os.kill(os.getpid(), signal.SIGKILL)
