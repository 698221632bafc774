"""The folder of a study, and the phases in which its jobs are done. An interrupted study goes on where it was.

study.json           what was asked for last
results/KEY.json     what came of a job: its presence says that the job is done
work/KEY/            what a job needs to go on, and the sets that it made
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from condensery import disk
from condensery.coresets import SELECTORS
from condensery.errors import BadFile, BadInput, Interrupted, did_you_mean
from condensery.jobs.engines import Engine
from condensery.jobs.folder import (
    JobFolder,
    damaged,
    read_document,
    require_ours,
    threads_for,
    working_in,
    write_files,
)
from condensery.jobs.job import Job, Perform, Result, key_of
from condensery.jobs.work import SET, Running, do_missing
from condensery.methods import METHODS
from condensery.text import count, readable_seconds

_SETTINGS, _RESULTS, _WORK, _OTHER = "study.json", "results", "work", "choose another --out"
_LONGEST = 60  # characters of a word in a key

_heard: list[Callable[[str], None]] = []  # who listens to jobs of this process


def job_of(
    words: Sequence[str], kind: str, record: Mapping[str, Any], label: str, made: Job | None = None
) -> Job:
    """A job whose key is made of readable words and a hash of `record`, all that decides its result.

    Where the images lie is not part of it.
    """
    key = key_of(words, {**record, "data": _prints(record["data"])}, _LONGEST)
    return Job(key, kind, dict(record), label=label, made=made)


def require_names(kind: str, names: Sequence[Any], own: str) -> None:
    """Raises BadInput if one is neither a method, a selector nor `own`; `names` may hold what is no name too."""
    known = (own, *sorted(METHODS), *sorted(SELECTORS))
    for name in names:
        if isinstance(name, str) and "=" not in name and name not in known:
            there = f"there are {', '.join(known)}{did_you_mean(name, known)}"
            raise BadInput(f"unknown {kind} {name!r}; {there}")


def _prints(data: Any) -> list[list[str]]:
    """What images are, of one set or several."""
    sets = data if isinstance(data, list) else [data]
    return [[one["fingerprint"], one.get("change", "")] for one in sets]


def say(line: str) -> None:
    """Tell those who listen in this process what a job is doing."""
    for listener in _heard:
        listener(line)


@dataclass(frozen=True)
class Folder(JobFolder):
    """The files of one study."""

    path: Path

    def result_file(self, job: Job) -> Path:
        return self.path / _RESULTS / f"{job.key}.json"

    def work_folder(self, job: Job) -> Path:
        return self.path / _WORK / job.key

    def set_file(self, made: Job) -> Path:
        return self.work_folder(made) / SET

    def keep(self, job: Job, result: Result) -> None:
        if result.files:
            write_files(self.work_folder(job), result.files)
        disk.write_json(self.result_file(job), {**result.document, "seconds": result.seconds})

    @contextmanager
    def opened(self, kind: str, asked: Mapping[str, Any], running: Running, slots: int) -> Iterator[int]:
        """Make or open it, and keep other processes out. Yields threads of torch in each job.

        Raises:
            BadInput: it is in use, or holds something else.
        """
        settings, started = self.path / _SETTINGS, None
        if settings.exists():
            started = self._started(settings, kind, asked)
        else:
            require_ours(self.path, "study", disk.is_leftover)
        threads = threads_for(self.path, "study", started, running.threads, slots)
        with working_in(self.path, kind, (self.path / _RESULTS, self.path / _WORK)):
            content = {"kind": kind, "threads": threads, "command": running.command, "asked": asked}
            disk.write_json(settings, content)
            yield threads

    def _started(self, settings: Path, kind: str, asked: Mapping[str, Any]) -> int:
        """Threads that it was started with. Raises BadInput if it is another study than is asked for."""
        before = read_document(settings, _OTHER)
        if before.get("kind") != kind:
            raise BadInput(f"{self.path} holds a study of another kind, {before.get('kind')}: {_OTHER}")
        try:
            same, threads = _prints(before["asked"]["data"]) == _prints(asked["data"]), int(before["threads"])
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise BadFile(f"{settings} is damaged: {_OTHER}") from error
        if not same:
            raise BadInput(f"{self.path} holds a study of other images: {_OTHER}")
        return threads


@dataclass(frozen=True)
class Found:
    """What came of the jobs of a study.

    Attributes:
        documents: by the keys of jobs.
        problems: why there is none, by the labels of jobs.
    """

    documents: dict[str, dict[str, Any]] = field(default_factory=dict)
    problems: dict[str, str] = field(default_factory=dict)


Phase = Callable[[Mapping[str, dict[str, Any]]], Sequence[Job]]
"""Gives jobs, from the documents of the phases before it by key."""


def do_jobs(
    folder: Folder,
    kind: str,
    asked: Mapping[str, Any],
    phases: Sequence[Phase],
    perform: Perform,
    running: Running,
) -> Found:
    """Do what is missing of a study.

    Args:
        kind: of the study.
        asked: JSON-able; its "data" must be the same whenever the folder is used.
        phases: give the jobs, one phase after the other.
        perform: does a job.

    Raises:
        BadInput: the folder is in use or holds something else.
        Interrupted: after Ctrl-C; the same command goes on.
    """
    found = Found()
    with running.opened(perform) as engine, folder.opened(kind, asked, running, engine.slots) as threads:
        _heard.append(running.announce)
        try:
            for phase in phases:
                _do(phase(found.documents), folder, engine, threads, running, found)
        finally:
            _heard.remove(running.announce)
    return found


def _do(
    jobs: Sequence[Job], folder: Folder, engine: Engine, threads: int, running: Running, found: Found
) -> None:
    total, documents = len(jobs), found.documents
    documents |= {job.key: _read(folder, job) for job in jobs if folder.is_done(job)}
    missing = [job for job in jobs if job.key not in documents]
    before = done = total - len(missing)
    if done:
        running.announce(f"{done} of {count(total, 'job')} are done already")
    started = time.monotonic()
    try:
        for job, result in do_missing(missing, folder, engine, running.device, threads):
            done += 1
            left = (time.monotonic() - started) / (done - before) * (total - done)
            said = _kept(job, result, found)
            running.announce(f"[{done}/{total}, about {readable_seconds(left)} left] {job.label}: {said}")
    except (KeyboardInterrupt, Interrupted) as stop:
        raise Interrupted(
            f"stopped with {done} of {count(total, 'job')} done; nothing is lost: the same command goes on"
        ) from stop


def _read(folder: Folder, job: Job) -> dict[str, Any]:
    """Raises BadFile if it is none of ours."""
    found = read_document(folder.result_file(job))
    if "line" not in found:
        raise damaged(folder.result_file(job))
    return found


def _kept(job: Job, result: Result, found: Found) -> str:
    """Note what came of a job, and say it."""
    if reason := result.skipped or result.failed:
        found.problems[job.label] = reason
        return f"{'skipped' if result.skipped else 'failed'}: {reason}"
    found.documents[job.key] = {**result.document, "seconds": result.seconds}
    return result.document.get("line", "done")
