"""What a comparison keeps in its folder. Every write is atomic, so an interrupted one goes on where it was."""

from __future__ import annotations

import fcntl
import json
import shutil
from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from condensery import artifact
from condensery.comparison.folder import (
    CELLS,
    DO_AGAIN,
    FORMAT,
    PROBLEMS,
    SETS,
    SETTINGS,
    damaged_settings,
    read_document,
    read_settings,
)
from condensery.comparison.jobs import Outcome
from condensery.comparison.perform import SET
from condensery.comparison.plan import Cell, Plan, SetJob, sets
from condensery.errors import BadFile, BadInput

_OURS = (SETS, CELLS, PROBLEMS, "report.html", "table.md", "table.csv", "results.jsonl")


@dataclass(frozen=True)
class Store:
    """The files of one comparison."""

    path: Path

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

    def settings(self) -> dict[str, Any] | None:
        """What comparison.json says; None if there is none. Raises BadFile if it is damaged."""
        settings = read_settings(self.path)
        if settings is not None:
            try:
                Plan.from_json(settings["plan"])
            except (KeyError, TypeError) as error:
                raise damaged_settings(self.path) from error
        return settings

    def labels(self) -> dict[str, list[str]]:
        """What sets are called, by key, in the order in which they were asked for.

        One that two contenders of a command share has two labels. Raises BadFile if the file is damaged.
        """
        settings = self.settings() or {}
        if "labels" in settings:
            return _checked_labels(settings["labels"], self.path)
        if "plan" not in settings:
            return {}
        try:  # written before labels were kept: those of the last command are known
            return _labels(Plan.from_json(settings["plan"]))
        except BadInput:  # a method that is not there any more
            return {}

    def write_settings(self, plan: Plan, threads: int, command: str) -> None:
        document = {
            "format": FORMAT,
            "command": command,
            "threads": threads,
            "plan": plan.to_json(),
            "labels": {**self.labels(), **_labels(plan)},
        }
        artifact.write_text(self.path / SETTINGS, json.dumps(document, indent=2) + "\n")

    def _require_ours(self, plan: Plan) -> None:
        if self.path.is_file():
            raise BadInput(f"{self.path} is a file: choose a folder for --out")
        settings = self.settings()
        if settings is None:
            # Sets and cells without comparison.json are ours still: their keys say what they are.
            if self.path.is_dir() and any(path.name not in _OURS for path in self.path.iterdir()):
                raise BadInput(
                    f"{self.path} is not empty and holds no comparison: choose an empty or new folder for --out"
                )
            return
        old = Plan.from_json(settings["plan"])
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

    def document(self, job: SetJob | Cell) -> dict[str, Any] | None:
        """What came of a job; None if it is still to be done. Raises BadFile if the file is damaged."""
        path = self._path(job)
        return read_document(path) if path.exists() else None

    def require_readable(self, jobs: Iterable[SetJob | Cell]) -> None:
        """Raises BadFile if the documents of some of these jobs are damaged, and names them all."""
        damaged = []
        for job in jobs:
            try:
                self.document(job)
            except BadFile:
                damaged.append(str(self._path(job)))
        if len(damaged) > 1:
            raise BadFile(f"{' and '.join(damaged)} are damaged: delete them, and their cells are done again")
        if damaged:
            raise BadFile(f"{damaged[0]} is damaged: {DO_AGAIN}")

    def of_other_commands(self, known: Container[str]) -> int:
        """How many finished cells are here whose keys are not among the known ones."""
        return sum(path.stem not in known for path in (self.path / CELLS).glob("*.json"))

    def folder(self, made: SetJob) -> Path:
        """The run folder of a set."""
        return self.path / SETS / made.key

    def prepare(self, made: SetJob) -> Path:
        """The folder for a set that is to be made, or to be gone on with."""
        folder = self.folder(made)
        if folder.exists() and not (folder / "checkpoint.safetensors").exists():
            shutil.rmtree(folder)  # came from a worker elsewhere, and was not noted as done
        return folder

    def set_bytes(self, made: SetJob) -> bytes:
        """The file of a set. Raises BadFile if it is not the one that was made for this comparison."""
        path, document = self.folder(made) / SET, self.document(made)
        try:
            as_made = document is not None and artifact.digest(artifact.load(path)) == document.get("sha256")
        except BadInput:  # truncated, damaged or gone
            as_made = False
        if not as_made:
            raise BadFile(
                f"{path} is not the set that this comparison made: delete {self.folder(made)} to make it again"
            )
        return path.read_bytes()

    def keep(self, job: SetJob | Cell, outcome: Outcome) -> None:
        """Write what came of a job: its files, then the document that says it is done."""
        if isinstance(job, SetJob):
            folder = self.folder(job)
            folder.mkdir(parents=True, exist_ok=True)
            for name, content in outcome.files.items():
                if not (folder / name).exists() or (folder / name).read_bytes() != content:
                    artifact.write_bytes(folder / name, content)
        document = {**outcome.document, "record": dict(job.record), "worker": outcome.worker}
        artifact.write_text(self._path(job), json.dumps(document, indent=1) + "\n")

    def problems(self) -> list[dict[str, Any]]:
        """Cells without a number, of all commands: cell and reason for people, the keys of those that are meant.

        Raises BadFile if the file is damaged.
        """
        path = self.path / PROBLEMS
        if not path.exists():
            return []
        try:
            listed = [
                {**one, "cell": str(one["cell"]), "reason": str(one["reason"])}
                for one in json.loads(path.read_text(encoding="utf-8"))
            ]
        except (OSError, ValueError, RecursionError, KeyError, TypeError) as error:
            raise BadFile(f"{path} is damaged: delete it, and the next start writes it again") from error
        return [one for one in listed if not one.get("keys") or any(map(self._is_open, one["keys"]))]

    def write_problems(self, problems: Sequence[Mapping[str, Any]], asked: Container[str]) -> None:
        """Write down the problems of a command; those of others stay, as far as it did not ask for their cells."""
        known = {(one["cell"], one["reason"]) for one in problems}
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
        artifact.write_text(self.path / PROBLEMS, json.dumps([*others, *problems], indent=1) + "\n")

    def _is_open(self, key: str) -> bool:
        return not (self.path / CELLS / f"{key}.json").exists()

    def _path(self, job: SetJob | Cell) -> Path:
        """The file whose presence says that a job is done."""
        return (
            self.folder(job) / "made.json"
            if isinstance(job, SetJob)
            else self.path / CELLS / f"{job.key}.json"
        )


def _labels(plan: Plan) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for made in sets(plan):
        found.setdefault(made.key, []).append(made.contender.label)
    return found


def _checked_labels(labels: Any, folder: Path) -> dict[str, list[str]]:
    if not isinstance(labels, dict):
        raise damaged_settings(folder)
    for names in labels.values():
        if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
            raise damaged_settings(folder)
    return labels
