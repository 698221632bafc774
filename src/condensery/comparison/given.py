"""Finished sets that stand beside those that methods make: run folders and files, whoever made them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Sequence
from pathlib import Path

from condensery import artifact, disk
from condensery.budgets import recorded
from condensery.comparison.jobs import GIVEN, ComparisonJob
from condensery.comparison.plan import Given
from condensery.errors import BadInput
from condensery.evaluation.evaluator import load_sets
from condensery.evaluation.real import real_images
from condensery.jobs.job import Result
from condensery.jobs.work import SET
from condensery.records import ImageData, SyntheticSet


def given_sets(
    paths: Sequence[str | Path], taken: Collection[str], images: ImageData, announce: Callable[[str], None]
) -> tuple[Given, ...]:
    """The sets of these files, each called as its file or folder; what an evaluation says of each is said.

    Args:
        taken: names that mean something else. A set of such a name, or of that of another one, is called by its path.

    Raises:
        BadInput: there is no such file, it is damaged, or its set does not fit the images.
    """
    files = list(dict.fromkeys(Path(path) for path in paths))
    often, found = Counter(map(_name, files)), []
    for path in files:
        name = _name(path)
        alone = often[name] == 1 and name not in taken
        label = name if alone else str(path) if len(path.parts) > 1 else f"./{path}"
        (one,) = load_sets(path)
        try:
            real_images(one, images, {}, lambda line, label=label: announce(f"{label}: {line}"))
        except BadInput as error:
            raise BadInput(f"--sets {path}: {error}") from error
        found.append(_given(label, path, one))
    return tuple(found)


def _name(path: Path) -> str:
    """That of the folder of a run, or of the file."""
    path = path.absolute()
    return path.parent.name if path.name == SET else path.name if path.is_dir() else path.stem


def _given(label: str, path: Path, one: SyntheticSet) -> Given:
    says = one.record
    record = {
        "method": says.get("method", "set"),
        "fields": says.get("fields", {}),
        "ipc": says.get("ipc") or recorded(one.counts),
        "network": says.get("network"),
        "seed": says.get("seed", 0),
        "steps": says.get("step"),
        GIVEN: {
            "sha256": artifact.digest(one),
            "class_names": list(one.spec.class_names),
            "mean": list(one.spec.mean),
            "std": list(one.spec.std),
        },
    }
    return Given(label, str(path.absolute()), record, len(one))


def as_made(job: ComparisonJob) -> Result:
    """What comes of the job of a finished set: its file. Raises BadInput if it has changed meanwhile."""
    path = artifact.set_path(job.record["file"])
    one = artifact.load(path)
    if artifact.digest(one) != job.record[GIVEN]["sha256"]:
        raise BadInput(f"{path} has changed while the comparison began: give the same command again")
    document = {
        "seconds": one.record.get("seconds"),
        "steps": one.record.get("step"),
        "memory": None,
        "sha256": artifact.digest(one),
    }
    return Result(job.key, document, {SET: disk.read_plain(path)})
