"""The command line in processes of their own that start in milliseconds: forks of one that has imported everything.

Run as a program it reads requests, a JSON object a line, and answers each with what came of it.
"""

from __future__ import annotations

import contextlib
import json
import os
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

_PATIENCE = 120.0  # seconds until a command counts as hung
_SIGNALS = {signal.SIGINT, signal.SIGTERM, signal.SIGHUP}


@dataclass(frozen=True)
class Ended:
    """How a command ended.

    Attributes:
        code: exit code; minus the number of the signal that killed it.
        out, err: what it printed.
        seconds: that it took.
    """

    code: int
    out: str
    err: str
    seconds: float


class Forks:
    """The process that forks. Close it when done."""

    def __init__(self, cache: Path) -> None:
        environment = {**os.environ, "OMP_NUM_THREADS": "1", "CONDENSERY_CACHE": str(cache)}
        command = [sys.executable, __file__]
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment
        )

    def call(
        self,
        arguments: Sequence[object],
        folder: Path,
        *,
        signalled: int = 0,
        after: float = 0.0,
        longest_file: int | None = None,
    ) -> Ended:
        """Run `condense` with `arguments` in `folder`.

        Args:
            signalled, after: a signal that it gets after so many seconds; 0 for none.
            longest_file: bytes that no file may grow beyond.
        """
        request = {"arguments": [str(one) for one in arguments], "folder": str(folder)}
        request |= {"signal": signalled, "after": after, "longest_file": longest_file}
        assert self._process.stdin and self._process.stdout
        self._process.stdin.write(json.dumps(request) + "\n")
        self._process.stdin.flush()
        return Ended(**json.loads(self._process.stdout.readline()))

    def close(self) -> None:
        assert self._process.stdin and self._process.stdout
        self._process.stdin.close()
        self._process.wait(60)
        self._process.stdout.close()


def _serve() -> None:
    import datasets  # noqa: F401
    import pyarrow.parquet  # noqa: F401
    import torch._dynamo  # which the first optimiser would import

    import condensery.comparison.reports
    import condensery.labelling
    from condensery.cli import main as entry
    from condensery.evaluation import PROTOCOLS

    torch.set_num_threads(1)
    PROTOCOLS["quick"] = replace(PROTOCOLS["quick"], epochs=2, plain_epochs=2, repeats=1)
    condensery.load_images("digits")
    make = entry.application

    def application(*needed: Any) -> Any:  # its handlers of signals are there by now
        signal.pthread_sigmask(signal.SIG_UNBLOCK, _SIGNALS)
        return make(*needed)

    entry.application = application
    for line in sys.stdin:
        ended = _fork(entry.main, **json.loads(line))
        print(json.dumps(vars(ended)), flush=True)


def _fork(
    main: Any, arguments: list[str], folder: str, signal: int, after: float, longest_file: int | None
) -> Ended:
    began = time.monotonic()
    pipes = [os.pipe(), os.pipe()]
    process = _begin(main, arguments, folder, longest_file, pipes[0][1], pipes[1][1])
    texts, status = [b"", b""], None
    for reader, writer in pipes:
        os.close(writer)
        os.set_blocking(reader, False)
    while status is None:
        passed = time.monotonic() - began
        if signal and passed >= after:
            os.kill(process, signal)
            signal = 0
        if passed > _PATIENCE:
            os.kill(process, 9)
        time.sleep(0.001)
        found, ended = os.waitpid(process, os.WNOHANG)
        status = ended if found else None
        texts = [text + _read(reader) for text, (reader, _) in zip(texts, pipes, strict=True)]
    for reader, _ in pipes:
        os.close(reader)
    out, err = (text.decode(errors="replace") for text in texts)
    seconds = time.monotonic() - began
    return Ended(os.waitstatus_to_exitcode(status), out, err + "hung\n" * (seconds > _PATIENCE), seconds)


def _read(reader: int) -> bytes:
    """What is there by now."""
    found = b""
    with contextlib.suppress(BlockingIOError):
        while block := os.read(reader, 1 << 16):
            found += block
    return found


def _begin(main: Any, arguments: list[str], folder: str, longest_file: int | None, out: int, err: int) -> int:
    signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)
    process = os.fork()
    if process:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, _SIGNALS)
        return process
    code = 70
    try:
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        os.dup2(out, 1)
        os.dup2(err, 2)
        sys.stdout, sys.stderr = (open(number, "w", closefd=False) for number in (1, 2))
        for number in (signal.SIGTERM, signal.SIGHUP):  # which a server in the background may ignore
            signal.signal(number, signal.SIG_DFL)
        signal.signal(signal.SIGINT, signal.default_int_handler)
        os.chdir(folder)
        if longest_file is not None:
            resource.setrlimit(resource.RLIMIT_FSIZE, (longest_file, longest_file))
        code = main(arguments)
        signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)
        sys.stdout.flush()
        sys.stderr.flush()
    except BaseException as error:
        os.write(2, f"Traceback: {error!r}\n".encode())
    finally:
        os._exit(code)


if __name__ == "__main__":
    _serve()
