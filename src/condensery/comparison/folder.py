"""The folder of a comparison. Every write is atomic, so an interrupted comparison goes on where it was.

comparison.json        what was asked for last, and the labels of all sets that were ever asked for
sets/KEY/              a run folder for each set; `condense evaluate`, `show` and `report` read it
sets/KEY/made.json     says that the set is done
cells/KEY.json         an evaluation, as `condense evaluate` writes it
problems.json          cells that were skipped or failed, and why
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from condensery import artifact, disk
from condensery.comparison.jobs import MAKE, sets
from condensery.comparison.plan import Plan
from condensery.errors import BadFile, BadInput
from condensery.jobs.folder import (
    JobFolder,
    damaged,
    read_document,
    require_ours,
    threads_for,
    working_in,
    write_files,
)
from condensery.jobs.job import Job, Result
from condensery.jobs.work import SET

MADE, SETS, CELLS = "made.json", "sets", "cells"
_FORMAT = 1
_SETTINGS, _PROBLEMS = "comparison.json", "problems.json"
_OURS = (SETS, CELLS, _PROBLEMS, "lock", "report.html", "table.md", "table.csv", "results.jsonl")
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
class Folder(JobFolder):
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
            raise damaged(path, _GO_ON) from error

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
        before, where = self.asked(), self.path
        if before:
            _require_alike(where, before.plan, plan)
        else:  # sets and cells without comparison.json are ours still: their keys say what they are
            require_ours(where, "comparison", lambda one: one.name in _OURS or disk.is_leftover(one))
        threads = threads_for(where, "comparison", before and before.threads, threads, slots)
        labels = {**(before.labels if before else {}), **_labels(plan)}
        settings = {"format": _FORMAT, "command": command, "threads": threads, "plan": plan.to_json()}
        with working_in(where, "compare", (where / CELLS, self.shared or where / SETS)):
            if self.shared and not (where / SETS).is_symlink():
                os.symlink(os.path.relpath(self.shared, where), where / SETS)
            disk.write_json(where / _SETTINGS, {**settings, "labels": labels}, 2)
            yield threads

    # ---- what came of jobs

    def set_folder(self, made: Job) -> Path:
        """The run folder of a set."""
        return (self.shared or self.path / SETS) / made.key

    def result_file(self, job: Job) -> Path:
        """The file whose presence says that a job is done."""
        return self.set_folder(job) / MADE if job.kind == MAKE else self.path / CELLS / f"{job.key}.json"

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
            raise BadFile(f"{files} are damaged: delete them, and they are done again")
        if broken:
            raise broken[0][1]

    def keep(self, job: Job, result: Result) -> None:
        write_files(self.result_file(job).parent, result.files)
        document = {**result.document, "record": job.record, "worker": result.worker}
        disk.write_json(self.result_file(job), document)

    def work_folder(self, job: Job) -> Path | None:
        """The folder for a set that is to be made, or to be gone on with from its checkpoint."""
        if job.kind != MAKE:
            return None
        folder = self.set_folder(job)
        if folder.exists() and not (folder / "checkpoint.safetensors").exists():
            shutil.rmtree(folder)  # came from a worker elsewhere, and was not noted as done
        return folder

    def set_file(self, made: Job) -> Path:
        """Raises BadFile if it is not the one that was made for this comparison."""
        path, document = self.set_folder(made) / SET, self.document(made)
        try:
            as_made = document is not None and artifact.digest(artifact.load(path)) == document.get("sha256")
        except BadInput:  # truncated, damaged or gone
            as_made = False
        if not as_made:
            raise BadFile(
                f"{path} is not the set that this comparison made: delete {path.parent} to make it again"
            )
        return path

    # ---- cells without a number

    def problems(self) -> list[dict[str, Any]]:
        """Those of all commands: cell and reason for people, the keys of those that are meant.

        Raises BadFile if the file is damaged.
        """
        path = self.path / _PROBLEMS
        if not path.exists():
            return []
        fix = "delete it, and the next start writes it again"
        listed = disk.read_json(path, fix)
        try:
            listed = [{**one, "cell": str(one["cell"]), "reason": str(one["reason"])} for one in listed]
        except (KeyError, TypeError) as error:
            raise damaged(path, fix) from error
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
        disk.write_json(self.path / _PROBLEMS, [*kept, *ours.values()])


def _require_alike(where: Path, old: Plan, plan: Plan) -> None:
    """Raises BadInput unless a plan is on the images and by the protocol of what the folder holds."""
    if old.fingerprint != plan.fingerprint:
        ours, theirs = (f"{one.source} ({one.fingerprint[:12]})" for one in (plan, old))
        raise BadInput(f"{where} holds a comparison on {theirs}, not on {ours}: choose another --out")
    if old.protocol != plan.protocol:
        ours, theirs = plan.protocol["name"], old.protocol["name"]
        differs = f"{theirs}, not {ours}" if ours != theirs else f"another {ours}"
        raise BadInput(
            f"{where} holds a comparison by protocol {differs}: choose another --out, or that protocol"
        )


def _labels(plan: Plan) -> dict[str, list[str]]:
    """Of a plan's sets; {} if it names a method that is not there any more."""
    found: dict[str, list[str]] = {}
    try:
        for made in sets(plan):
            found.setdefault(made.key, []).append(made.label)
    except BadInput:
        return {}
    return found
