"""A job is a small record with a key, and is done when its result file is there.

The key ends in a hash of everything that decides the result. So a job has one key in every comparison or study that
holds it, and two whose results could differ have two.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from condensery.errors import BadInput, one_line

_HASH = 10  # hex digits


@dataclass(frozen=True)
class Job:
    """A set to make, or networks to train and to test.

    Attributes:
        key: unique, readable, fit for a file name.
        kind: what there is to do.
        record: JSON-able; decides the result, with `files`.
        files: contents of input files by name, such as the set to evaluate.
        folder: where a set is made; a worker on this machine finds its checkpoint there.
        device: "auto", "cpu" or "cuda".
        threads: of torch on a CPU; another number rounds differently. None leaves the worker's.
        label: what people call it.
        made: the job that makes the set that this one needs.
    """

    key: str
    kind: str
    record: dict[str, Any]
    files: dict[str, bytes] = field(default_factory=dict)
    folder: str = ""
    device: str = "auto"
    threads: int | None = None
    label: str = ""
    made: Job | None = None


@dataclass(frozen=True)
class Result:
    """What came of a job.

    Attributes:
        key: the job's.
        document: JSON-able, empty if there is none.
        files: contents of output files by name.
        skipped: why the job cannot be done as asked (a budget larger than a class, ...), "" if it was done.
        failed: why it broke although the input was fine, "" if it did not.
        worker: where it ran, for people.
        seconds: of work on it, without waiting for a worker to start or to be free.
    """

    key: str
    document: dict[str, Any] = field(default_factory=dict)
    files: dict[str, bytes] = field(default_factory=dict)
    skipped: str = ""
    failed: str = ""
    worker: str = ""
    seconds: float = field(default=0.0, compare=False)


Perform = Callable[[Job], Result]
"""Does a job. A function at the top of a module, so that other processes find it by name."""
Done = tuple[dict[str, Any], dict[str, bytes]]
"""The document of a result, and its files by name."""


def key_of(words: Sequence[str], deciding: Mapping[str, Any], longest: int) -> str:
    """Readable words of at most `longest` characters each, and a hash of all that decides the result."""
    text = json.dumps(deciding, sort_keys=True, separators=(",", ":"))
    readable = (re.sub(r"[^\w.+=]+", "_", word)[:longest] for word in words)
    return "-".join([*readable, hashlib.sha256(text.encode()).hexdigest()[:_HASH]])


def perform_by(work: Callable[[Job], Done], job: Job) -> Result:
    """What `work` makes of a job. One that cannot be done as asked is skipped; what breaks is raised."""
    try:
        return Result(job.key, *work(job))
    except BadInput as error:
        return Result(job.key, skipped=one_line(error))
