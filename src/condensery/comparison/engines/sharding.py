"""Sets split over classes: several workers make one set, where a method's classes can be learned apart."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from condensery import artifact
from condensery.comparison.jobs import Engine, Job, Outcome
from condensery.comparison.perform import SET, set_document
from condensery.comparison.shards import merge_losses, merge_shards, split_classes
from condensery.errors import BadInput
from condensery.export import save_picture
from condensery.methods import METHODS
from condensery.models.batch_norm import mixes_samples
from condensery.models.registry import resolve
from condensery.records import ImageSpec, SyntheticSet
from condensery.rng import Rng

_INITIAL = "initial.safetensors"


@dataclass
class _Whole:
    """A job that was split.

    Attributes:
        job: as it was submitted.
        parts: how many jobs it became.
        outcomes: of the parts that have ended.
    """

    job: Job
    parts: int
    outcomes: list[Outcome] = field(default_factory=list)


class Sharded:
    """Splits jobs that make sets over classes, and puts the sets together. See `condensery.comparison.jobs.Engine`.

    Jobs that cannot be split pass through: selections, evaluations, methods whose classes depend on each other,
    networks with batch norm. A set that was split is the one that a single job makes.

    Args:
        engine: does the parts; `close` closes it.
        shards: parts of a set; no more than it has classes.

    Raises:
        BadInput: fewer than one.
    """

    def __init__(self, engine: Engine, shards: int) -> None:
        if shards < 1:
            raise BadInput(f"--shards must be at least 1, not {shards}")
        self._engine, self._shards = engine, shards
        self._split: dict[str, _Whole] = {}  # by the key of each part

    @property
    def slots(self) -> int:
        """Those of the engine, which change with the nodes of a cluster."""
        return self._engine.slots

    def submit(self, job: Job) -> None:
        parts = [job] if self._shards == 1 or not separable(job) else _parts(job, self._shards)
        if len(parts) > 1:
            whole = _Whole(job, len(parts))
            self._split |= {part.key: whole for part in parts}
        for part in parts:
            self._engine.submit(part)

    def next(self) -> Outcome:
        while True:
            outcome = self._engine.next()
            whole = self._split.pop(outcome.key, None)
            if whole is None:
                return outcome
            whole.outcomes.append(outcome)
            if len(whole.outcomes) == whole.parts:
                return _merged(whole)

    def close(self) -> None:
        self._engine.close()


def separable(job: Job) -> bool:
    """Whether the classes of a job can be learned apart."""
    record = job.record
    if job.kind != "make" or not getattr(METHODS.get(record["method"]), "separable", False):
        return False
    network = resolve(record["network"]).build(ImageSpec.from_json(record["data"]["spec"]), Rng(0))
    return not mixes_samples(network.train())


def _parts(job: Job, shards: int) -> list[Job]:
    num_classes = len(job.record["data"]["spec"]["class_names"])
    return [
        replace(
            job,
            key=f"{job.key}-shard{i}",
            record={**job.record, "shard": list(classes)},
            folder=None if job.folder is None else str(_folder(job.folder) / str(i)),
        )
        for i, classes in enumerate(split_classes(num_classes, min(shards, num_classes)))
    ]


def _folder(of_set: str) -> Path:
    """Where the parts of a set keep their checkpoints, on this machine."""
    return Path(of_set) / "shards"


def _merged(whole: _Whole) -> Outcome:
    """The outcome of the job as a whole; the first part that has no set says why there is none."""
    for outcome in whole.outcomes:
        if outcome.skipped or outcome.failed:
            return replace(outcome, key=whole.job.key)
    with tempfile.TemporaryDirectory() as folder:
        document, files = _put_together(whole.outcomes, Path(folder))
    if whole.job.folder is not None:
        shutil.rmtree(_folder(whole.job.folder), ignore_errors=True)
    workers = ", ".join(dict.fromkeys(outcome.worker for outcome in whole.outcomes))
    seconds = sum(outcome.seconds for outcome in whole.outcomes)
    return Outcome(whole.job.key, document, files, worker=workers, seconds=seconds)


def _put_together(outcomes: Sequence[Outcome], folder: Path) -> tuple[dict[str, Any], dict[str, bytes]]:
    """Document and files of the whole set; its memory is that of the part that took most."""
    parts = [outcome.files for outcome in outcomes]
    peaks = [outcome.document["memory"] for outcome in outcomes]
    made = _merge(parts, SET, folder)
    _merge(parts, _INITIAL, folder)
    save_picture(made, folder / "set.png")
    curves = [json.loads(part["curve.json"]) for part in parts]
    curve = {
        **curves[0],
        "loss": merge_losses([curve["loss"] for curve in curves]),
        "seconds": sum(curve["seconds"] for curve in curves),
    }
    (folder / "curve.json").write_text(json.dumps(curve) + "\n", encoding="utf-8")
    settings = {**json.loads(parts[0]["run.json"]), "shard": []}
    (folder / "run.json").write_text(json.dumps(settings, indent=2) + "\n", encoding="utf-8")
    return set_document(made, None if None in peaks else max(peaks)), {
        path.name: path.read_bytes() for path in sorted(folder.iterdir())
    }


def _merge(parts: Sequence[dict[str, bytes]], name: str, folder: Path) -> SyntheticSet:
    """The set of that file name from its parts, written to `folder`."""
    with tempfile.TemporaryDirectory() as scratch:
        paths = [Path(scratch) / str(i) for i in range(len(parts))]  # tensors stay mapped to their file
        for path, part in zip(paths, parts, strict=True):
            path.write_bytes(part[name])
        merged = merge_shards([artifact.load(path) for path in paths])
    artifact.save(merged, folder / name)
    return merged
