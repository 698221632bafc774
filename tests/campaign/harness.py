"""What the cases of the campaign share: a place, runs to begin from, disks that fill, and how a command may end."""

from __future__ import annotations

import os
import random
import re
import shutil
import subprocess
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import torch
from forks import Ended, Forks

import condensery

STEPS = 3
TINY = "--network convnet+width=8+depth=1".split()
RUN = [
    *"run --data digits --method dm --real-batch 4 --checkpoint-every 0.0001".split(),
    "--steps",
    STEPS,
    *TINY,
]
SELECT = ["select", "--data", "digits", "--method", "random"]
EVALUATE = ["--baselines", "none"]
COMPARE = [
    *"compare --data digits --methods random --ipc 1 --no-whole --repeats 1 --no-scatter".split(),
    *"--networks convnet+width=8+depth=1 --seeds 0".split(),
]
FORMATS = {
    "npz": "set.npz",
    "pt": "set.pt",
    "safetensors": "set.safetensors",
    "parquet": "set.parquet",
    "png": "pictures",
}
_WORK_FAILED = re.compile(r"condense: error: step \d+: .* not finite")


class Wrong(AssertionError):
    """A case that did not end in the right bits, a clear line or a refusal."""


@dataclass
class Campaign:
    """A place for cases, and their counts.

    Attributes:
        place: a folder of its own.
        forks: runs commands.
        draws: decides every case.
        counts: of kind and outcome.
    """

    place: Path
    forks: Forks
    draws: random.Random
    counts: Counter[tuple[str, str]] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        """What cases begin from, and what they are compared with."""
        self.well("begin", self.forks.call([*RUN, "--out", "run"], self.place))
        self.well("begin", self.forks.call([*SELECT, "--out", "selected"], self.place))
        self.well("begin", self.forks.call(["evaluate", "run", *EVALUATE], self.place))
        self.counts.clear()

    @property
    def run(self) -> Path:
        """A finished run with an evaluation; copy it."""
        return self.place / "run"

    def well(self, kind: str, ended: Ended, killed: bool = False) -> str:
        """Count how a command ended: "done", "a line" or "killed". Raises Wrong where it did not end well.

        Args:
            killed: it was killed, and need not say anything.
        """
        outcome = self.outcome(ended, killed)
        if outcome is None:
            raise Wrong(f"{kind}: exit code {ended.code}\n{ended.out[-1000:]}\n{ended.err[-3000:]}")
        self.counts[kind, outcome] += 1
        return outcome

    def outcome(self, ended: Ended, killed: bool = False) -> str | None:
        """How a command ended, None if not well."""
        lines = ended.err.splitlines()
        if killed and ended.code < 0:
            return "killed"
        if "unexpected" in ended.err or "Traceback" in ended.err or "hung" in lines:
            return None
        if ended.code == 0:
            return "done"
        if not lines or not lines[-1].startswith("condense: "):
            return None
        if ended.code == 2 and len(lines) == 1:
            return "a line"
        return "a line" if ended.code == 1 and _WORK_FAILED.match(lines[-1]) else None

    def same_set(self, kind: str, made: Path, reference: str) -> None:
        """Raises Wrong unless both folders hold the same set, bit for bit."""
        ours, theirs = condensery.load(made), condensery.load(self.place / reference)
        if not torch.equal(ours.images, theirs.images) or not torch.equal(ours.labels, theirs.labels):
            raise Wrong(f"{kind}: other bits in {made}")

    def nothing_half(self, kind: str, folder: Path, killed: bool = False) -> None:
        """Raises Wrong if a temporary file is left, unless its process was killed."""
        left = [path for path in folder.rglob(".*") if path.name.endswith(".tmp")]
        if left and not killed:
            raise Wrong(f"{kind}: {left} is left")

    @contextmanager
    def fresh(self) -> Iterator[Path]:
        """An empty folder for a case; gone again if it went well."""
        folder = self.place / "case"
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        yield folder
        shutil.rmtree(folder)

    def table(self) -> str:
        """The counts, a line for each kind."""
        kinds = dict.fromkeys(kind for kind, _ in self.counts)
        lines = []
        for kind in kinds:
            found = {how: n for (what, how), n in self.counts.items() if what == kind}
            lines.append(
                f"{kind:34} {sum(found.values()):5}   {', '.join(f'{n} {how}' for how, n in found.items())}"
            )
        return "\n".join(lines)


class Disk:
    """A disk of a given size, mounted at a folder, that can grow."""

    def __init__(self, folder: Path, size: int) -> None:
        self.folder = folder
        _mount("size", size, folder)

    def used(self) -> int:
        """Bytes on it."""
        found = os.statvfs(self.folder)
        return (found.f_blocks - found.f_bfree) * found.f_frsize

    def resize(self, size: int) -> None:
        _mount("remount,size", size, self.folder)

    def unmount(self) -> None:
        subprocess.run(["umount", self.folder], check=True)


def _mount(option: str, size: int, folder: Path) -> None:
    command = ["mount", "-t", "tmpfs", "-o", f"{option}={max(4096, size)}", "tmpfs", str(folder)]
    subprocess.run(command, check=True, capture_output=True)


def can_mount(folder: Path) -> bool:
    """Whether this user may mount; otherwise files that may not grow stand in for full disks."""
    try:
        (folder / "mount").mkdir(exist_ok=True)
        Disk(folder / "mount", 1 << 20).unmount()
    except (OSError, subprocess.CalledProcessError):
        return False
    return True


@contextmanager
def disk(folder: Path, size: int) -> Iterator[Disk]:
    found = Disk(folder, size)
    try:
        yield found
    finally:
        found.unmount()
