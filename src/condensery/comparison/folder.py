"""The folder of a comparison. Every write is atomic, so an interrupted comparison goes on where it was.

comparison.json        what was asked for last, and the labels of all sets that were ever asked for
sets/KEY/              a run folder for each set; `condense evaluate`, `show` and `report` read it
sets/KEY/made.json     says that the set is done
cells/KEY.json         an evaluation, as `condense evaluate` writes it
problems.json          cells that were skipped or failed, and why
"""

from __future__ import annotations

import fcntl
import json
import os
import shutil
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from condensery import artifact
from condensery.comparison.jobs import MAKE, Job, Plan, Result, sets
from condensery.errors import BadFile, BadInput

SET, MADE, SETS, CELLS = "set.safetensors", "made.json", "sets", "cells"
_FORMAT = 1
_SETTINGS, _PROBLEMS = "comparison.json", "problems.json"
_OURS = (SETS, CELLS, _PROBLEMS, "report.html", "table.md", "table.csv", "results.jsonl")
_DO_AGAIN = "delete it, and its cell is done again"
_GO_ON = "delete it, and the same command goes on with the cells that are there"


@dataclass(frozen=True)
class Problem:
    """A cell without a number.

    Attributes:
        cell, reason: for people.
        foreseen: known before any work, such as a budget that is larger than a class.
        failed: broke although the input was fine.
    """

    cell: str
    reason: str
    foreseen: bool = False
    failed: bool = False


@dataclass(frozen=True)
class Asked:
    """What comparison.json says.

    Attributes:
        plan: of the last command.
        threads: of torch in each job.
        labels: what sets are called, by key, in the order in which they were asked for; one that two entries of a
            command share has two labels.
    """

    plan: Plan
    threads: int
    labels: dict[str, list[str]]


@dataclass(frozen=True)
class Folder:
    """The files of one comparison.

    Attributes:
        path: where it is.
        shared: a folder of sets that several comparisons have in common, if they do: their own is a link to it.
    """

    path: Path
    shared: Path | None = None

    @property
    def exists(self) -> bool:
        """Whether it looks like the folder of a comparison."""
        return (self.path / SETS).is_dir() or (self.path / CELLS).is_dir()

    # ---- what was asked for

    def asked(self) -> Asked | None:
        """None if there is no comparison.json. Raises BadFile if it is damaged or of a newer version."""
        path = self.path / _SETTINGS
        if not path.exists():
            return None
        settings = read_document(path, _GO_ON)
        if isinstance(settings.get("format"), int) and settings["format"] > _FORMAT:
            raise BadFile(f"{path} was written by a newer condensery: upgrade condensery")
        try:
            plan = Plan.from_json(settings["plan"])
            labels = settings.get("labels", _labels(plan))  # older ones know those of the last command
            if not all(
                type(names) is list and {str}.issuperset(map(type, names)) for names in labels.values()
            ):
                raise TypeError("labels")
            return Asked(plan, settings.get("threads", 0), labels)
        except (KeyError, TypeError, AttributeError) as error:
            raise BadFile(f"{path} is damaged: {_GO_ON}") from error

    @contextmanager
    def opened(self, plan: Plan, threads: int | None, slots: int, command: str) -> Iterator[int]:
        """Make or open the folder for `plan`, write down what is asked for, and keep other processes out.

        Yields:
            Threads of torch in each job: those that the folder was started with, or those that are asked for, or a
            fair share of this process's for each of `slots` jobs.

        Raises:
            BadInput: it holds something else, a comparison on other images, by another protocol or with other
                threads, or is in use.
        """
        if self.path.is_file():
            raise BadInput(f"{self.path} is a file: choose a folder for --out")
        before, where = self.asked(), self.path
        # Sets and cells without comparison.json are ours still: their keys say what they are.
        found = list(where.iterdir()) if where.is_dir() and not before else []
        if not all(one.name in _OURS or artifact.is_leftover(one) for one in found):
            raise BadInput(
                f"{where} is not empty and holds no comparison: choose an empty or new folder for --out"
            )
        if before:
            _require_alike(where, before, plan, threads)
        threads = (before and before.threads) or threads or max(1, torch.get_num_threads() // slots)
        labels = {**(before.labels if before else {}), **_labels(plan)}
        try:
            for folder in (where / CELLS, self.shared or where / SETS):
                folder.mkdir(parents=True, exist_ok=True)
            if self.shared and not (where / SETS).is_symlink():
                os.symlink(os.path.relpath(self.shared, where), where / SETS)
            artifact.remove_leftovers(where)
            lock = os.fdopen(artifact.open_no_link(where / CELLS / ".lock"), "a")
        except OSError as error:
            raise artifact.unwritable(where, error) from error
        with lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError as error:
                busy = f"another condense compare is working in {where}"
                raise BadInput(f"{busy}: wait for it, or choose another --out") from error
            settings = {"format": _FORMAT, "command": command, "threads": threads, "plan": plan.to_json()}
            _write(where / _SETTINGS, {**settings, "labels": labels}, 2)
            yield threads

    # ---- what came of jobs

    def set_folder(self, made: Job) -> Path:
        """The run folder of a set."""
        return (self.shared or self.path / SETS) / made.key

    def result_file(self, job: Job) -> Path:
        """The file whose presence says that a job is done."""
        return self.set_folder(job) / MADE if job.kind == MAKE else self.path / CELLS / f"{job.key}.json"

    def is_done(self, job: Job) -> bool:
        return self.result_file(job).exists()

    def document(self, job: Job) -> dict[str, Any] | None:
        """What came of a job; None if it is still to be done. Raises BadFile if the file is damaged."""
        return read_document(self.result_file(job)) if self.is_done(job) else None

    def require_readable(self, jobs: Iterable[Job]) -> None:
        """Raises BadFile if the documents of some of these jobs are damaged, and names them all."""
        broken = []
        for job in jobs:
            try:
                self.document(job)
            except BadFile as error:
                broken.append((str(self.result_file(job)), error))
        if len(broken) > 1:
            files = " and ".join(file for file, _ in broken)
            raise BadFile(f"{files} are damaged: delete them, and their cells are done again")
        if broken:
            raise broken[0][1]

    def keep(self, job: Job, result: Result) -> None:
        """Write what came of a job: its files, then the document that says it is done."""
        folder = self.result_file(job).parent
        folder.mkdir(parents=True, exist_ok=True)
        for name, content in result.files.items():
            if not (folder / name).exists() or (folder / name).read_bytes() != content:
                artifact.write_bytes(folder / name, content)
        _write(self.result_file(job), {**result.document, "record": job.record, "worker": result.worker})

    def free_folder(self, made: Job) -> Path:
        """The folder for a set that is to be made, or to be gone on with from its checkpoint."""
        folder = self.set_folder(made)
        if folder.exists() and not (folder / "checkpoint.safetensors").exists():
            shutil.rmtree(folder)  # came from a worker elsewhere, and was not noted as done
        return folder

    def set_bytes(self, made: Job) -> bytes:
        """The file of a set. Raises BadFile if it is not the one that was made for this comparison."""
        path, document = self.set_folder(made) / SET, self.document(made)
        try:
            as_made = document is not None and artifact.digest(artifact.load(path)) == document.get("sha256")
        except BadInput:  # truncated, damaged or gone
            as_made = False
        if not as_made:
            raise BadFile(
                f"{path} is not the set that this comparison made: delete {path.parent} to make it again"
            )
        return path.read_bytes()

    # ---- cells without a number

    def problems(self) -> list[dict[str, Any]]:
        """Those of all commands: cell and reason for people, the keys of those that are meant.

        Raises BadFile if the file is damaged.
        """
        path = self.path / _PROBLEMS
        if not path.exists():
            return []
        try:
            listed = json.loads(artifact.read_plain(path).decode("utf-8"))
            listed = [{**one, "cell": str(one["cell"]), "reason": str(one["reason"])} for one in listed]
        except (OSError, ValueError, RecursionError, KeyError, TypeError) as error:
            raise BadFile(f"{path} is damaged: delete it, and the next start writes it again") from error
        done = {file.stem for file in (self.path / CELLS).glob("*.json")}
        return [one for one in listed if not one.get("keys") or not done.issuperset(one["keys"])]

    def write_problems(self, problems: Mapping[str, Problem], asked: Iterable[str]) -> None:
        """Write down the problems of a command, by cell; those of others stay, unless it asked for their cells."""
        ours: dict[tuple[str, str], dict[str, Any]] = {}
        for key, one in problems.items():
            ours.setdefault((one.cell, one.reason), {**vars(one), "keys": []})["keys"].append(key)
        try:
            before = self.problems()
        except BadFile:  # of no use to anybody
            before = []
        meant = set(asked)
        others = (one for one in before if (one["cell"], one["reason"]) not in ours)
        kept = [one for one in others if not meant.issuperset(one.get("keys", ()))]
        _write(self.path / _PROBLEMS, [*kept, *ours.values()])


def _require_alike(where: Path, before: Asked, plan: Plan, threads: int | None) -> None:
    """Raises BadInput unless a plan fits what the folder holds."""
    old = before.plan
    if old.fingerprint != plan.fingerprint:
        ours, theirs = (f"{one.source} ({one.fingerprint[:12]})" for one in (plan, old))
        raise BadInput(f"{where} holds a comparison on {theirs}, not on {ours}: choose another --out")
    if old.protocol != plan.protocol:
        ours, theirs = plan.protocol["name"], old.protocol["name"]
        differs = f"{theirs}, not {ours}" if ours != theirs else f"another {ours}"
        raise BadInput(
            f"{where} holds a comparison by protocol {differs}: choose another --out, or that protocol"
        )
    if before.threads and threads and before.threads != threads:
        raise BadInput(
            f"the comparison in {where} was started with --threads {before.threads}, not {threads}: another number "
            "rounds differently; leave it out, or choose another --out"
        )


def read_document(path: Path, fix: str = _DO_AGAIN) -> dict[str, Any]:
    """A JSON object. Raises BadFile, with the `fix`, if the file holds anything else."""
    try:
        document = json.loads(artifact.read_plain(path).decode("utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise BadFile(f"{path} is damaged: {fix}") from error
    if not isinstance(document, dict):
        raise BadFile(f"{path} is damaged: {fix}")
    return document


def damaged(path: Path) -> BadFile:
    """The error for the result of a job that makes no sense."""
    return BadFile(f"{path} is damaged: {_DO_AGAIN}")


def _write(path: Path, content: Any, indent: int = 1) -> None:
    artifact.write_text(path, json.dumps(content, indent=indent) + "\n")


def _labels(plan: Plan) -> dict[str, list[str]]:
    """Of a plan's sets; {} if it names a method that is not there any more."""
    found: dict[str, list[str]] = {}
    try:
        for made in sets(plan):
            found.setdefault(made.key, []).append(made.label)
    except BadInput:
        return {}
    return found
