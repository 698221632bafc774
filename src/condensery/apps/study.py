"""The folder of a study, and the loop that does its jobs on an engine. An interrupted study goes on where it was.

study.json           what was asked for last
results/KEY.json     what came of a job: its presence says that the job is done
work/KEY/            what a job needs to go on, and the sets that it made
"""

from __future__ import annotations

import hashlib
import json
import re
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any, TypedDict

import torch

from condensery import artifact
from condensery.comparison.engines import Engine, pick_engine, results
from condensery.comparison.folder import read_document
from condensery.comparison.jobs import Job, Result
from condensery.data import load
from condensery.data.sources import silent
from condensery.errors import BadFile, BadInput, Interrupted, one_line
from condensery.records import ImageData
from condensery.run_folder import RunFolder
from condensery.text import count, readable_seconds

_SETTINGS, _RESULTS, _WORK = "study.json", "results", "work"
Done = tuple[dict[str, Any], dict[str, bytes]]
"""The document of a job, and files by name, which go to work/KEY."""

_heard: list[Callable[[str], None]] = []  # who listens to jobs of this process
_loaded: dict[str, ImageData] = {}  # images that this process was given, by fingerprint


class Where(TypedDict, total=False):
    """How and where the jobs of a study run: options of the same meaning as those of `condensery.compare`."""

    device: str
    workers: int | None
    ray: str | None
    gpus_per_job: float | None
    threads: int | None
    engine: Engine | None
    command: str
    announce: Callable[[str], None]


@dataclass(frozen=True)
class Running:
    """`Where`, with defaults, and the folder of the study."""

    out: str | Path
    device: str = "auto"
    workers: int | None = None
    ray: str | None = None
    gpus_per_job: float | None = None
    threads: int | None = None
    engine: Engine | None = None
    command: str = ""
    announce: Callable[[str], None] = silent


def job_of(words: Sequence[str], kind: str, record: Mapping[str, Any], label: str) -> Job:
    """A job whose key is made of readable words and a hash of `record`, all that decides its result.

    Where the images lie is not part of it.
    """
    deciding = {**record, "data": _prints(record["data"])}
    text = json.dumps(deciding, sort_keys=True, separators=(",", ":"))
    digest = hashlib.sha256(text.encode()).hexdigest()[:10]
    key = "-".join([*(re.sub(r"[^\w.+=]+", "_", word)[:60] for word in words), digest])
    return Job(key, kind, dict(record), label=label)


def _prints(data: Any) -> list[list[str]]:
    """What images are, of one set or several."""
    sets = data if isinstance(data, list) else [data]
    return [[one["fingerprint"], one.get("change", "")] for one in sets]


def skipping(work: Callable[[Job], Done], job: Job) -> Result:
    """What `work` makes of a job; a job that cannot be done as asked is skipped."""
    try:
        return Result(job.key, *work(job))
    except BadInput as error:
        return Result(job.key, skipped=one_line(error))


def say(line: str) -> None:
    """Tell those who listen in this process what a job is doing."""
    for listener in _heard:
        listener(line)


def remember(images: ImageData) -> ImageData:
    """Jobs in this process that name these images take them instead of loading them."""
    _loaded[images.fingerprint] = images
    return images


def recalled(data: Mapping[str, Any]) -> ImageData:
    """The images of a job's record. Raises BadInput if this machine has others under that name."""
    if data["fingerprint"] not in _loaded:
        images = _load(data["source"], json.dumps(data["options"], sort_keys=True))
        if images.fingerprint != data["fingerprint"]:
            raise BadInput(f"{data['source']} holds other images than when the study was started")
        return images
    return _loaded[data["fingerprint"]]


@lru_cache(maxsize=4)
def _load(source: str, options: str) -> ImageData:
    return load(source, progress=False, **json.loads(options))


def do_jobs(
    kind: str,
    asked: Mapping[str, Any],
    phases: Sequence[Callable[[Mapping[str, Any]], Sequence[Job]]],
    perform: Callable[[Job], Result],
    running: Running,
) -> tuple[dict[str, dict[str, Any]], dict[str, str]]:
    """Do what is missing of a study.

    Args:
        kind: of the study.
        asked: JSON-able; its "data" must be the same whenever the folder is used.
        phases: each gives jobs, from the documents of those before it by key.
        perform: does a job; a function at the top of a module.

    Returns:
        Documents by the keys of jobs, and why there is none by their labels.

    Raises:
        BadInput: the folder is in use or holds something else.
        Interrupted: after Ctrl-C; the same command goes on.
    """
    engine = running.engine or pick_engine(
        running.workers, running.ray, running.gpus_per_job, perform, running.threads
    )
    documents: dict[str, dict[str, Any]] = {}
    problems: dict[str, str] = {}
    try:
        with _opened(Path(running.out), kind, asked, running, engine.slots) as threads:
            for phase in phases:
                _do(phase(documents), engine, threads, running, documents, problems)
    finally:
        if running.engine is None:
            engine.close()
    return documents, problems


def _do(
    jobs: Sequence[Job],
    engine: Engine,
    threads: int,
    running: Running,
    documents: dict[str, dict[str, Any]],
    problems: dict[str, str],
) -> None:
    out, total = Path(running.out), len(jobs)
    documents |= {job.key: found for job in jobs if (found := _document(out, job.key)) is not None}
    missing = [job for job in jobs if job.key not in documents]
    done, started = total - len(missing), time.monotonic()
    if done:
        running.announce(f"{done} of {count(total, 'job')} are done already")
    waiting, before = iter(missing), done

    def next_job() -> Job | None:
        job = next(waiting, None)
        place = {"device": running.device, "threads": threads}
        return job and replace(job, folder=str(out / _WORK / job.key), **place)

    _heard.append(running.announce)
    try:
        for job, result in results(engine, next_job):
            done += 1
            left = (time.monotonic() - started) / (done - before) * (total - done)
            reason = result.skipped or result.failed
            if reason:
                problems[job.label] = reason
            else:
                _keep(out / _WORK / job.key, result.files)
                documents[job.key] = {**result.document, "seconds": result.seconds}
                artifact.write_text(
                    out / _RESULTS / f"{job.key}.json", json.dumps(documents[job.key], indent=1) + "\n"
                )
            said = f"skipped: {reason}" if result.skipped else f"failed: {reason}" if reason else ""
            said = said or result.document.get("line", "done")
            running.announce(f"[{done}/{total}, about {readable_seconds(left)} left] {job.label}: {said}")
    except (KeyboardInterrupt, Interrupted) as stop:
        raise Interrupted(
            f"stopped with {done} of {count(total, 'job')} done; nothing is lost: the same command goes on"
        ) from stop
    finally:
        _heard.remove(running.announce)


def _keep(folder: Path, files: Mapping[str, bytes]) -> None:
    """Write the files of a job that are not there yet: a node of a cluster has folders of its own."""
    for name, content in files.items():
        if not (folder / name).exists():
            folder.mkdir(parents=True, exist_ok=True)
            artifact.write_bytes(folder / name, content)


def work_folder(out: str | Path, job: Job) -> Path:
    """What a job needs to go on, and its files."""
    return Path(out) / _WORK / job.key


def _document(out: Path, key: str) -> dict[str, Any] | None:
    path, fix = out / _RESULTS / f"{key}.json", "delete it, and its job is done again"
    found = read_document(path, fix) if path.exists() else None
    if found is not None and "line" not in found:
        raise BadFile(f"{path} is damaged: {fix}")
    return found


@contextmanager
def _opened(out: Path, kind: str, asked: Mapping[str, Any], running: Running, slots: int) -> Iterator[int]:
    """Make or open the folder of a study, and keep other processes out. Yields threads of torch in each job."""
    if out.is_file():
        raise BadInput(f"{out} is a file: choose a folder for --out")
    settings = out / _SETTINGS
    if settings.exists():
        started = _threads_of(settings, kind, asked, running)
    elif out.is_dir() and not all(map(artifact.is_leftover, out.iterdir())):
        raise BadInput(f"{out} is not empty and holds no study: choose an empty or new folder for --out")
    else:
        started = None
    threads = started or running.threads or max(1, torch.get_num_threads() // slots)
    content = {"kind": kind, "threads": threads, "command": running.command, "asked": asked}
    try:
        for name in (_RESULTS, _WORK):
            (out / name).mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise artifact.unwritable(out, error) from error
    with RunFolder(out).locked():
        artifact.write_text(settings, json.dumps(content, indent=1) + "\n")
        yield threads


def _threads_of(settings: Path, kind: str, asked: Mapping[str, Any], running: Running) -> int:
    """Those that a study was started with. Raises BadInput if it is another one than is asked for."""
    out, before = settings.parent, read_document(settings, "choose another --out")
    if before.get("kind") != kind:
        raise BadInput(f"{out} holds a study of another kind, {before.get('kind')}: choose another --out")
    try:
        same, threads = _prints(before["asked"]["data"]) == _prints(asked["data"]), int(before["threads"])
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise BadFile(f"{settings} is damaged: choose another --out") from error
    if not same:
        raise BadInput(f"{out} holds a study of other images: choose another --out")
    if running.threads not in (None, threads):
        raise BadInput(
            f"the study in {out} was started with --threads {threads}, not {running.threads}: another number rounds "
            "differently; leave it out, or choose another --out"
        )
    return threads
