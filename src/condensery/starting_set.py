"""The set that a run starts from: named by a person, recorded with its digest, found again when the run goes on."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from condensery import artifact
from condensery.budgets import per_class, recorded
from condensery.data.sources import silent
from condensery.errors import BadInput
from condensery.method import Method
from condensery.records import ImageSpec, SyntheticSet
from condensery.run_folder import RunFolder, RunSettings
from condensery.synthetic import GIVEN, Start, start_of
from condensery.synthetic.pixels import INITS
from condensery.text import count


@dataclass(frozen=True)
class StartingSet:
    """A set, and its file: absolute, or "" for one that is no file."""

    synthetic: SyntheticSet
    file: str

    @property
    def record(self) -> dict[str, str]:
        """How a run records it."""
        return {"set": self.file, "sha256": artifact.digest(self.synthetic)}

    def start(self, method: Method, spec: ImageSpec, announce: Callable[[str], None]) -> Start:
        """What a run of `method` on images of `spec` starts from, with a line about it.

        Raises:
            BadInput: see `condensery.synthetic.start_of`.
        """
        name = self.file or "the set to start from"
        start = _start(self.synthetic, method, spec, name, announce)
        images = f"{count(len(self.synthetic), 'image')} by {self.synthetic.record.get('method', 'another program')}"
        announce(f"starts from {name}: {images}, {per_class(recorded(start.counts))}")
        return start


def split(fields: Mapping[str, Any]) -> tuple[dict[str, Any], StartingSet | None]:
    """Fields of a method; and where `init` is another set, its file or its run folder, that set.

    Raises:
        BadInput: there is no set in the file.
    """
    init = fields.get("init")
    if isinstance(init, SyntheticSet):
        found = StartingSet(init, "")
    elif isinstance(init, str | Path) and str(init) not in INITS and Path(init).exists():
        found = StartingSet(artifact.load(init), str(artifact.set_path(init).resolve()))
    else:
        return dict(fields), None
    return {**fields, "init": GIVEN}, found


def start_again(settings: RunSettings, method: Method, spec: ImageSpec, folder: RunFolder) -> Start | None:
    """What a run started from: as the run kept it, or else the set that it names; None where there was no such set.

    Raises:
        BadInput: the set is gone or has changed, and the run was stopped before its first step.
    """
    if not settings.start:
        return None
    file, kept = settings.start["set"], folder.initial_path.exists()
    given = artifact.load(folder.initial_path if kept else file)
    if not kept and artifact.digest(given) != settings.start["sha256"]:
        raise BadInput(
            f"{file} has changed since the run in {folder.path} began: start a new run with another --out"
        )
    return _start(given, method, spec, file, silent)


def _start(
    given: SyntheticSet, method: Method, spec: ImageSpec, name: str, announce: Callable[[str], None]
) -> Start:
    return start_of(given, spec, getattr(method, "factor", 1), name, announce)
