"""The folder of a comparison. Every write is atomic, so an interrupted comparison goes on where it was.

comparison.json        what was asked for
sets/KEY/              a run folder for each set; `condense evaluate`, `show` and `report` read it
sets/KEY/made.json     says that the set is done
cells/KEY.json         an evaluation, as `condense evaluate` writes it
problems.json          cells of the last start that were skipped or failed, and why
"""

from __future__ import annotations

import fcntl
import json
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from condensery import artifact
from condensery.comparison.jobs import Outcome
from condensery.comparison.perform import SET
from condensery.comparison.plan import Cell, Plan, SetJob
from condensery.errors import BadFile, BadInput

FORMAT = 1
_OURS = ("sets", "cells", "problems.json", "report.html", "table.md", "table.csv", "results.jsonl")
_GO_ON = "delete it, and the same command goes on with the cells that are there"


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
            for folder in (self.path / "sets", self.path / "cells"):
                folder.mkdir(parents=True, exist_ok=True)
            lock = (self.path / "cells" / ".lock").open("w")
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
        path = self.path / "comparison.json"
        if not path.exists():
            return None
        settings = _read(path, _GO_ON)
        try:
            if settings["format"] > FORMAT:
                raise BadFile(f"{path} was written by a newer condensery: upgrade condensery")
            Plan.from_json(settings["plan"])
        except (KeyError, TypeError) as error:
            raise BadFile(f"{path} is damaged: {_GO_ON}") from error
        return settings

    def write_settings(self, plan: Plan, threads: int, command: str) -> None:
        document = {"format": FORMAT, "command": command, "threads": threads, "plan": plan.to_json()}
        artifact.write_text(self.path / "comparison.json", json.dumps(document, indent=2) + "\n")

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
        return _read(path) if path.exists() else None

    def folder(self, made: SetJob) -> Path:
        """The run folder of a set."""
        return self.path / "sets" / made.key

    def prepare(self, made: SetJob) -> Path:
        """The folder for a set that is to be made, or to be gone on with."""
        folder = self.folder(made)
        going_on = (folder / "checkpoint.safetensors").exists() or (folder / "shards").exists()
        if folder.exists() and not going_on:
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

    def write_problems(self, problems: Sequence[Mapping[str, Any]]) -> None:
        artifact.write_text(self.path / "problems.json", json.dumps(list(problems), indent=1) + "\n")

    def _path(self, job: SetJob | Cell) -> Path:
        """The file whose presence says that a job is done."""
        return (
            self.folder(job) / "made.json"
            if isinstance(job, SetJob)
            else self.path / "cells" / f"{job.key}.json"
        )


def _read(path: Path, fix: str = "delete it, and its cell is done again") -> dict[str, Any]:
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise BadFile(f"{path} is damaged: {fix}") from error
    if not isinstance(document, dict):
        raise BadFile(f"{path} is damaged: {fix}")
    return document
