"""The command in processes of its own that start at once: forks of a server that has imported torch, and nothing of
ours.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import condensery

PACKAGE = Path(condensery.__file__).parent
_HEAVY = [
    "torch._dynamo",
    "sklearn.datasets",
    "scipy.stats",
    "pyarrow.parquet",
    "datasets",
    "typer",
    "rich.live",
]
_FORKS = multiprocessing.get_context("forkserver")
_FORKS.set_forkserver_preload(_HEAVY)
_PATIENCE = 240.0  # seconds until a command counts as hung


class Ended(NamedTuple):
    code: int
    out: str
    err: str


class Command:
    """`condense` with some words, begun in the current folder or another one.

    Args:
        folder: where it runs.
        package: a copy of ours that it imports in place of it.
        out, err: files or terminals that it prints to.
        environment: more of it.
    """

    def __init__(
        self,
        words: Sequence[object],
        folder: Path | None = None,
        *,
        package: Path = PACKAGE,
        out: str = "",
        err: str = "",
        environment: dict[str, str] | None = None,
    ) -> None:
        self._place = tempfile.TemporaryDirectory()
        self._printed = (out or f"{self._place.name}/out", err or f"{self._place.name}/err")
        given = {**os.environ, **(environment or {})}
        asked = ([str(word) for word in words], str(folder or Path.cwd()), str(package.parent))
        self._process = _FORKS.Process(target=_begin, args=(*asked, self._printed, given))
        self._process.start()

    @property
    def running(self) -> bool:
        return self._process.is_alive()

    def send(self, number: int) -> None:
        """A signal."""
        assert self._process.pid
        os.kill(self._process.pid, number)

    def end(self) -> Ended:
        """Wait for its end. Kills it if it hangs."""
        self._process.join(_PATIENCE)
        if hung := self.running:
            self._process.kill()
            self._process.join()
        paths = [Path(path) for path in self._printed]
        texts = [path.read_text("utf-8") if path.is_file() else "" for path in paths]
        self._place.cleanup()
        assert not hung, texts
        assert self._process.exitcode is not None
        return Ended(self._process.exitcode, *texts)


def condense(words: Sequence[object], folder: Path | None = None, **options: Path) -> Ended:
    """What comes of a command."""
    return Command(words, folder, **options).end()  # type: ignore[arg-type]


def _begin(
    words: list[str], folder: str, package: str, printed: tuple[str, str], environment: dict[str, str]
) -> None:
    """What a shell would do, and then the command."""
    signal.pthread_sigmask(signal.SIG_SETMASK, ())
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):  # a server in the background ignores some
        signal.signal(number, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environment)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    for number, path in enumerate(printed, 1):
        os.dup2(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOCTTY), number)
    sys.stdout, sys.stderr = (open(number, "w", closefd=False) for number in (1, 2))
    for name in [name for name in sys.modules if name.partition(".")[0] == "condensery"]:
        del sys.modules[name]
    sys.path.insert(0, package)
    sys.argv = ["condense", *words]
    from condensery.__main__ import main

    code = main()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)
