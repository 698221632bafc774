"""The folder of many jobs. Every write is atomic, so what was interrupted goes on where it was."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from condensery import disk
from condensery.disk import locked
from condensery.errors import BadFile, BadInput
from condensery.jobs.job import Job, Result

DO_AGAIN = "delete it, and it is done again"


class JobFolder(ABC):
    """Where the results of jobs are."""

    @abstractmethod
    def result_file(self, job: Job) -> Path:
        """The file whose presence says that a job is done."""

    @abstractmethod
    def work_folder(self, job: Job) -> Path | None:
        """Where a job that is to be done finds what it needs to go on; None if it starts anew each time."""

    @abstractmethod
    def set_file(self, made: Job) -> Path:
        """The set that a job made. Raises BadFile if it is not there or another one."""

    @abstractmethod
    def keep(self, job: Job, result: Result) -> None:
        """Write what came of a job: its files, then the document that says that it is done."""

    def is_done(self, job: Job) -> bool:
        return self.result_file(job).exists()

    def document(self, job: Job) -> dict[str, Any] | None:
        """What came of a job; None if it is still to be done. Raises BadFile if the file is damaged."""
        return read_document(self.result_file(job)) if self.is_done(job) else None


def read_document(path: Path, fix: str = DO_AGAIN) -> dict[str, Any]:
    """A JSON object. Raises BadFile, with the `fix`, if the file holds anything else."""
    document = disk.read_json(path, fix)
    if not isinstance(document, dict):
        raise damaged(path, fix)
    return document


def damaged(path: Path, fix: str = DO_AGAIN) -> BadFile:
    """The error for a file that makes no sense, with what to do about it."""
    return BadFile(f"{path} is damaged: {fix}")


def write_files(folder: Path, files: Mapping[str, bytes]) -> None:
    """Write files that are not there yet as they should be: a worker on another machine has folders of its own."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        if not (folder / name).exists() or (folder / name).read_bytes() != content:
            disk.write_bytes(folder / name, content)


def require_ours(folder: Path, what: str, is_ours: Callable[[Path], bool]) -> None:
    """Raises BadInput if there is a file in place of the folder, or something in it that is not ours.

    Args:
        what: the folder holds where it is not new, such as "comparison".
    """
    if folder.is_file():
        raise BadInput(f"{folder} is a file: choose a folder for --out")
    if folder.is_dir() and not all(map(is_ours, folder.iterdir())):
        raise BadInput(f"{folder} is not empty and holds no {what}: choose an empty or new folder for --out")


def threads_for(folder: Path, what: str, started: int | None, asked: int | None, slots: int) -> int:
    """Threads of torch in each job: those that the folder was started with, or those that are asked for, or a fair
    share of this process's for each of `slots` jobs.

    Raises:
        BadInput: it was started with another number.
    """
    if started and asked not in (None, started):
        raise BadInput(
            f"the {what} in {folder} was started with --threads {started}, not {asked}: another number rounds "
            "differently; leave it out, or choose another --out"
        )
    return started or asked or max(1, torch.get_num_threads() // slots)


@contextmanager
def working_in(folder: Path, command: str, rooms: Iterable[Path]) -> Iterator[None]:
    """Make the folder with its rooms, and keep other processes out. Raises BadInput if one is there already."""
    try:
        for room in (folder, *rooms):
            room.mkdir(parents=True, exist_ok=True)
        disk.remove_leftovers(folder)
    except OSError as error:
        raise disk.unwritable(folder, error) from error
    busy = f"another condense {command} is working in {folder}: wait for it, or choose another --out"
    with locked(folder / "lock", busy):
        yield
