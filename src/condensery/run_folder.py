"""One run on disk: its settings, its checkpoint, its result. Every write is atomic.

run.json                 what was asked for
initial.safetensors      the set before its first update, for comparison
set.safetensors          the synthetic set so far: the result (see `condensery.artifact`)
set.png                  the same as a picture
checkpoint.safetensors   what it takes to go on bit for bit
curve.json               loss of every step, accuracy where it was measured
lock                     while a session writes; a kill may leave it, and it then locks nothing
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from torch import Tensor

from condensery import artifact, disk, schema
from condensery.budgets import per_class
from condensery.data.sources import silent
from condensery.errors import BadFile, BadInput
from condensery.export import save_picture
from condensery.models.precision import FLOAT32
from condensery.records import SyntheticSet


@dataclass(frozen=True)
class RunSettings:
    """What decides the bits of a run.

    Attributes:
        source, options: for `condensery.data.load`.
        fingerprint: of the data that was loaded.
        method, fields: the method's name and every field of it.
        ipc: images per class: one number, or a list with one for each class.
        network, seed: as asked for.
        steps: how many updates to make; more can be asked for when a run is resumed.
        start: "set" and "sha256" of the set that the images start from, "" for one that is no file; None for none.
        precision: in which networks compute, see `condensery.models.precision`.
    """

    source: str
    options: dict[str, Any]
    fingerprint: str
    method: str
    fields: dict[str, Any]
    ipc: int | list[int]
    network: str
    seed: int
    steps: int
    start: dict[str, str] | None = None
    precision: str = FLOAT32


@dataclass
class Curve:
    """What was measured on the way.

    Attributes:
        loss: one value per step.
        accuracy: JSON-able evaluations, each with its "step".
        seconds: spent on steps alone, over all sessions of the run.
        seconds_before: spent in its first session on what the method trains first, where the cache did not have it.
    """

    loss: list[float] = field(default_factory=list)
    accuracy: list[dict[str, Any]] = field(default_factory=list)
    seconds: float = 0.0
    seconds_before: float = 0.0


@dataclass(frozen=True)
class RunFolder:
    """The files of one run."""

    path: Path

    @staticmethod
    def create(path: str | Path, settings: RunSettings) -> RunFolder:
        """A new run in an empty or missing folder. Raises BadInput if it is taken or cannot be written."""
        folder = RunFolder.reserve(path)
        folder.write_settings(settings)
        return folder

    @staticmethod
    def reserve(path: str | Path) -> RunFolder:
        """An empty folder, made if it is missing. Raises BadInput if it is taken or cannot be written."""
        folder = RunFolder(Path(path))
        folder.require_free()
        try:
            folder.path.mkdir(parents=True, exist_ok=True)
            disk.remove_leftovers(folder.path)
        except OSError as error:
            raise disk.unwritable(folder.path, error) from error
        return folder

    @property
    def exists(self) -> bool:
        """Whether a run was started here."""
        return self._settings_path.exists()

    @property
    def _settings_path(self) -> Path:
        return self.path / "run.json"

    @property
    def _checkpoint_path(self) -> Path:
        return self.path / "checkpoint.safetensors"

    @property
    def _set_path(self) -> Path:
        return self.path / "set.safetensors"

    @property
    def initial_path(self) -> Path:
        """The set before its first update; runs of older versions have no such file."""
        return self.path / "initial.safetensors"

    def save_initial(self, synthetic: SyntheticSet) -> None:
        """Keep the set as it was before its first update, once and for all."""
        if not self.initial_path.exists():
            artifact.save(synthetic, self.initial_path)

    def noted_accuracies(self) -> list[dict[str, Any]]:
        """Accuracies in the record of the set; none if there is no readable set."""
        try:
            return artifact.load(self._set_path).record.get("accuracies", [])
        except BadInput:  # the checkpoint is what counts; the set is about to be written anew
            return []

    def locked(self) -> AbstractContextManager[None]:
        """Only one session at a time is in here. Raises BadInput if another process goes on with this run."""
        busy = f"another process goes on with the run in {self.path}: wait for it, or stop it first"
        return disk.locked(self.path / "lock", busy)

    def require_free(self) -> None:
        """Raises BadInput if the folder holds anything."""
        if self.exists:
            old = self.settings()
            raise BadInput(
                f"{self.path} already holds a run ({old.method}, {per_class(old.ipc)}, {old.source}): "
                "continue it with condense run --resume, or choose another --out"
            )
        if self.path.is_file():
            raise BadInput(f"{self.path} is a file: choose a folder for --out")
        if self._set_path.exists():
            raise BadInput(f"{self.path} already holds a set: choose another --out")
        try:
            taken = self.path.is_dir() and not all(map(disk.is_leftover, self.path.iterdir()))
        except OSError as error:
            raise BadInput(f"{self.path} cannot be read: {error.strerror}; choose another --out") from error
        if taken:
            raise BadInput(
                f"{self.path} is not empty and holds no run: choose an empty or new folder for --out"
            )

    def settings(self) -> RunSettings:
        """Raises BadInput if there is no run here, BadFile if run.json is damaged."""
        path, fix = self._settings_path, ": start a new run in another folder"
        if not self.exists:
            raise BadInput(f"{self.path} holds no run to resume: there is no run.json in it")
        record = disk.read_json(path, f"it is not JSON{fix}")
        if isinstance(record, dict) and record.get("shard") == []:
            del record["shard"]  # version 0.1 could split a run over classes, and said so of whole ones too
        schema.require(path, record, schema.SETTINGS, "settings", fix)
        return RunSettings(**record)

    def write_settings(self, settings: RunSettings) -> None:
        optional = {"start": None, "precision": FLOAT32}  # left out where they say nothing, as ever
        record = {k: v for k, v in asdict(settings).items() if k not in optional or v != optional[k]}
        disk.write_json(self._settings_path, record, 2)

    def save(self, tensors: dict[str, Tensor], step: int, curve: Curve, result: SyntheticSet) -> None:
        """Write the checkpoint, then the result: where only one of them fits on the disk, the run can go on."""
        header = {"step": step, "curve": asdict(curve)}
        artifact.write_tensors(
            self._checkpoint_path, {name: tensor.cpu() for name, tensor in tensors.items()}, header
        )
        artifact.save(result, self._set_path)
        disk.write_json(self.path / "curve.json", asdict(curve), None)

    def save_set(self, result: SyntheticSet, announce: Callable[[str], None]) -> None:
        """Write the result alone, as for a set that was selected at once, and draw it."""
        artifact.save(result, self._set_path)
        self.save_picture(result, announce)

    def save_picture(self, result: SyntheticSet, announce: Callable[[str], None]) -> None:
        """Draw the set. Where the picture cannot be written a line says so: the set is what counts."""
        try:
            save_picture(result, self.path / "set.png")
        except BadInput as error:
            announce(f"no picture was drawn: {error}; condense show {self.path} draws it")

    def load(self, announce: Callable[[str], None] = silent) -> tuple[dict[str, Tensor], int, Curve] | None:
        """Tensors, step and curve of the checkpoint; None if the run has to start anew.

        Args:
            announce: called with a line for a person if there is a set but nothing to go on from.

        Raises:
            BadInput: the run is done, and its checkpoint is gone.
            BadFile: the checkpoint is damaged.
        """
        disk.remove_leftovers(self.path)
        if not self._checkpoint_path.exists():
            self._require_unfinished(announce)
            return None
        tensors, header = artifact.read_tensors(self._checkpoint_path)
        fix = ": start a new run with another --out"
        if "curve" not in header:
            raise BadFile(f"{self._checkpoint_path} is not a checkpoint of this version of condensery{fix}")
        schema.require(self._checkpoint_path, header, schema.CHECKPOINT, "record", fix)
        return tensors, header["step"], Curve(**header["curve"])

    def _require_unfinished(self, announce: Callable[[str], None]) -> None:
        """A set without a checkpoint is what version 0.1 left on a full disk, or all that somebody kept."""
        if not self._set_path.exists():
            return
        try:
            record = artifact.load(self._set_path).record
        except BadFile:
            record = {}
        if record.get("step", 0) >= record.get("steps", 1):
            raise BadInput(
                f"{self.path} holds a finished result but no checkpoint.safetensors to go on from: "
                "choose another --out"
            )
        announce(
            f"{self.path} holds a set but no checkpoint.safetensors: the run starts anew, to the same bits"
        )


@contextmanager
def reserved(out: str | Path | None) -> Iterator[RunFolder | None]:
    """The folder for the result; if there will be none, the folder is gone again too."""
    if out is None:
        yield None
        return
    folder = RunFolder.reserve(out)
    try:
        yield folder
    except BaseException:
        with suppress(OSError):  # not empty: the set is there
            folder.path.rmdir()
        raise
