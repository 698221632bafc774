"""Where a number came from and what it took: versions, hardware, time, commit and memory, for every record."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
import time
from collections.abc import Mapping
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import torch

from condensery.errors import BadInput
from condensery.records import ImageData
from condensery.text import count

PARTS = ("train", "test")
"""The parts of a set, each of which has a SHA-256 of its own."""


def pick_device(name: str) -> torch.device:
    """The device called `name`: "auto" (a GPU if there is one), "cpu", "cuda" or "cuda:1".

    Raises:
        BadInput: no such device here.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise BadInput(f"unknown device {name!r}: choose auto, cpu or cuda") from error
    if device.type not in ("cpu", "cuda"):
        raise BadInput(f"unknown device {name!r}: choose auto, cpu or cuda")
    if device.type == "cuda" and not torch.cuda.is_available():
        raise BadInput(
            f"--device {name} was asked for, but this machine has no usable CUDA GPU: use --device cpu"
        )
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise BadInput(f"--device {name} was asked for, but there are {torch.cuda.device_count()} GPUs")
    return device


def origin(images: ImageData, options: Mapping[str, Any]) -> dict[str, Any]:
    """JSON-able facts about the images that a set was made from, and the options that they were loaded with."""
    facts = {"source": images.source, "options": dict(options), "fingerprint": images.fingerprint}
    return (
        facts
        if images.found is None
        else {**facts, "prints": dict(zip(PARTS, images.found.prints, strict=True))}
    )


def changed_parts(made_from: Mapping[str, Any], images: ImageData) -> tuple[str, ...]:
    """Which parts of `images` are not those of `made_from`, a record of `origin`: some of `PARTS`.

    Both where there is no telling them apart, as in records of older versions; () where nothing changed or nothing is
    known of what a set was made from.
    """
    if made_from.get("fingerprint", images.fingerprint) == images.fingerprint:
        return ()
    before, now = made_from.get("prints", {}), getattr(images.found, "prints", ())
    changed = tuple(part for part, found in zip(PARTS, now, strict=False) if before.get(part) != found)
    return changed if changed and len(before) == len(PARTS) else PARTS


def environment(device: torch.device) -> dict[str, Any]:
    """JSON-able facts about this moment, machine and code."""
    return {
        "time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "hardware": hardware(device),
        "versions": {
            "condensery": _condensery_version(),
            "torch": torch.__version__,
            "python": platform.python_version(),
        },
        "commit": _commit(),
    }


def peak_memory(device: torch.device) -> int:
    """Most bytes that this process has held so far, on the GPU if the work is there."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    import resource  # not on every system

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def reset_peak_memory(device: torch.device) -> bool:
    """Let `peak_memory` count from now on; False where that cannot be done, and it counts from the beginning."""
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
        return True
    try:
        Path("/proc/self/clear_refs").write_text("5")  # Linux: the peak becomes what is held now
    except OSError:
        return False
    return True


def hardware(device: torch.device) -> str:
    """What computes, in words."""
    if device.type == "cuda":
        return f"1 x {torch.cuda.get_device_name(device)}"
    return f"{count(torch.get_num_threads(), 'thread')} of {_cpu_name()}, {os.cpu_count()} cores"


@cache
def _cpu_name() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:  # not Linux
        pass
    return platform.processor() or platform.machine()


def _condensery_version() -> str:
    try:
        return version("condensery")
    except PackageNotFoundError:
        return "not installed"


@cache
def _commit() -> str | None:
    """The commit of the source tree that this code runs from, with "+" if it was changed; None if installed."""
    source = Path(__file__).parents[2]
    if not (source / ".git").exists():
        return None
    try:
        head = _git(source, "rev-parse", "--short=12", "HEAD")
        return head + ("+" if _git(source, "status", "--porcelain", "--", "src") else "")
    except (OSError, subprocess.SubprocessError):
        return None


def _git(folder: Path, *arguments: str) -> str:
    done = subprocess.run(
        ["git", *arguments], cwd=folder, capture_output=True, text=True, timeout=10, check=True
    )
    return done.stdout.strip()
