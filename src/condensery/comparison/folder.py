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
import shutil
from collections.abc import Container, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from condensery import artifact
from condensery.comparison.jobs import MAKE, Job, Plan, Result, sets
from condensery.errors import BadFile, BadInput

SET, MADE = "set.safetensors", "made.json"
SETS, CELLS = "sets", "cells"
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
    """The files of one comparison."""

    path: Path

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
        damaged = BadFile(f"{path} is damaged: {_GO_ON}")
        if type(settings.get("format")) is int and settings["format"] > _FORMAT:
            raise BadFile(f"{path} was written by a newer condensery: upgrade condensery")
        try:
            plan, labels = Plan.from_json(settings["plan"]), settings.get("labels")
        except (KeyError, TypeError, AttributeError) as error:
            raise damaged from error
        if labels is None:  # written before labels were kept: those of the last command are known
            labels = _labels(plan)
        if not isinstance(labels, dict) or not all(
            isinstance(names, list) and all(isinstance(name, str) for name in names)
            for names in labels.values()
        ):
            raise damaged
        return Asked(plan, settings.get("threads", 0), labels)

    @contextmanager
    def opened(self, plan: Plan) -> Iterator[None]:
        """Make or open the folder for `plan`, and keep other processes out of it.

        Raises:
            BadInput: it holds something else, a comparison on other images or by another protocol, or is in use.
        """
        self._require_ours(plan)
        try:
            for folder in (self.path / SETS, self.path / CELLS):
                folder.mkdir(parents=True, exist_ok=True)
            lock = (self.path / CELLS / ".lock").open("w")
        except OSError as error:
            raise artifact.unwritable(self.path, error) from error
        with lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError as error:
                raise BadInput(
                    f"another condense compare is working in {self.path}: wait for it, or choose another --out"
                ) from error
            yield

    def _require_ours(self, plan: Plan) -> None:
        if self.path.is_file():
            raise BadInput(f"{self.path} is a file: choose a folder for --out")
        asked = self.asked()
        if asked is None:
            # Sets and cells without comparison.json are ours still: their keys say what they are.
            if self.path.is_dir() and any(path.name not in _OURS for path in self.path.iterdir()):
                raise BadInput(
                    f"{self.path} is not empty and holds no comparison: choose an empty or new folder for --out"
                )
            return
        old = asked.plan
        if old.fingerprint != plan.fingerprint:
            raise BadInput(
                f"{self.path} holds a comparison on {old.source} ({old.fingerprint[:12]}), not on {plan.source} "
                f"({plan.fingerprint[:12]}): choose another --out"
            )
        if old.protocol != plan.protocol:
            ours, theirs = plan.protocol["name"], old.protocol["name"]
            differs = f"{theirs}, not {ours}" if ours != theirs else f"another {ours}"
            raise BadInput(
                f"{self.path} holds a comparison by protocol {differs}: choose another --out, or that protocol"
            )

    def start(self, plan: Plan, threads: int | None, slots: int, command: str) -> int:
        """Write down what is asked for. Returns the threads of jobs: those that the folder was started with, or those
        that are asked for, or a fair share of this process's.

        Raises:
            BadInput: others are asked for than it was started with.
        """
        asked = self.asked()
        kept = asked.threads if asked else 0
        if kept and threads and kept != threads:
            raise BadInput(
                f"the comparison in {self.path} was started with --threads {kept}, not {threads}: another number "
                "rounds differently; leave it out, or choose another --out"
            )
        threads = kept or threads or max(1, torch.get_num_threads() // slots)
        labels = {**(asked.labels if asked else {}), **_labels(plan)}
        settings = {"format": _FORMAT, "command": command, "threads": threads, "plan": plan.to_json()}
        artifact.write_text(
            self.path / _SETTINGS, json.dumps({**settings, "labels": labels}, indent=2) + "\n"
        )
        return threads

    # ---- what came of jobs

    def result_file(self, job: Job) -> Path:
        """The file whose presence says that a job is done."""
        return self.set_folder(job) / MADE if job.kind == MAKE else self.path / CELLS / f"{job.key}.json"

    def set_folder(self, made: Job) -> Path:
        """The run folder of a set."""
        return self.path / SETS / made.key

    def document(self, job: Job) -> dict[str, Any] | None:
        """What came of a job; None if it is still to be done. Raises BadFile if the file is damaged."""
        path = self.result_file(job)
        return read_document(path) if path.exists() else None

    def keep(self, job: Job, result: Result) -> None:
        """Write what came of a job: its files, then the document that says it is done."""
        if job.kind == MAKE:
            folder = self.set_folder(job)
            folder.mkdir(parents=True, exist_ok=True)
            for name, content in result.files.items():
                if not (folder / name).exists() or (folder / name).read_bytes() != content:
                    artifact.write_bytes(folder / name, content)
        document = {**result.document, "record": job.record, "worker": result.worker}
        artifact.write_text(self.result_file(job), json.dumps(document, indent=1) + "\n")

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

    def require_readable(self, jobs: Iterable[Job]) -> None:
        """Raises BadFile if the documents of some of these jobs are damaged, and names them all."""
        damaged = []
        for job in jobs:
            try:
                self.document(job)
            except BadFile:
                damaged.append(str(self.result_file(job)))
        if len(damaged) > 1:
            raise BadFile(f"{' and '.join(damaged)} are damaged: delete them, and their cells are done again")
        if damaged:
            raise BadFile(f"{damaged[0]} is damaged: {_DO_AGAIN}")

    # ---- cells without a number

    def problems(self) -> list[dict[str, Any]]:
        """Those of all commands: cell and reason for people, the keys of those that are meant.

        Raises BadFile if the file is damaged.
        """
        path = self.path / _PROBLEMS
        if not path.exists():
            return []
        try:
            listed = json.loads(path.read_text(encoding="utf-8"))
            listed = [{**one, "cell": str(one["cell"]), "reason": str(one["reason"])} for one in listed]
        except (OSError, ValueError, RecursionError, KeyError, TypeError) as error:
            raise BadFile(f"{path} is damaged: delete it, and the next start writes it again") from error
        done = {file.stem for file in (self.path / CELLS).glob("*.json")}
        return [one for one in listed if not one.get("keys") or not done.issuperset(one["keys"])]

    def write_problems(self, problems: dict[str, Problem], asked: Container[str]) -> None:
        """Write down the problems of a command by cell; those of others stay, if it did not ask for their cells."""
        keys: dict[Problem, list[str]] = {}
        for key, problem in problems.items():
            keys.setdefault(problem, []).append(key)
        ours = [{**vars(problem), "keys": meant} for problem, meant in keys.items()]
        known = {(one.cell, one.reason) for one in keys}
        try:
            before = self.problems()
        except BadFile:  # of no use to anybody
            before = []
        others = [
            one
            for one in before
            if (one["cell"], one["reason"]) not in known
            and any(key not in asked for key in one.get("keys", ()))
        ]
        artifact.write_text(self.path / _PROBLEMS, json.dumps([*others, *ours], indent=1) + "\n")


def read_document(path: Path, fix: str = _DO_AGAIN) -> dict[str, Any]:
    """A JSON object. Raises BadFile, with the `fix`, if the file holds anything else."""
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise BadFile(f"{path} is damaged: {fix}") from error
    if not isinstance(document, dict):
        raise BadFile(f"{path} is damaged: {fix}")
    return document


def damaged(path: Path) -> BadFile:
    """The error for the result of a job that makes no sense."""
    return BadFile(f"{path} is damaged: {_DO_AGAIN}")


def _labels(plan: Plan) -> dict[str, list[str]]:
    """Of a plan's sets; {} if it names a method that is not there any more."""
    found: dict[str, list[str]] = {}
    try:
        for made in sets(plan):
            found.setdefault(made.key, []).append(made.label)
    except BadInput:
        return {}
    return found
