"""A report from what lies on disk: run folders, comparison folders, set files and lines of evaluations."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from condensery import artifact
from condensery.comparison_folder import CELLS, SETS, read_document, read_settings
from condensery.data.sources import silent
from condensery.errors import BadFile, BadInput, one_line
from condensery.gathering.features import feature_pictures
from condensery.gathering.honest import honest
from condensery.gathering.measuring import measurements
from condensery.records import SyntheticSet
from condensery.report.contents import Curve, Gallery, Report
from condensery.report.picture import eight_bit
from condensery.run_folder import RunFolder


@dataclass(frozen=True)
class FoundSet:
    """A set and what lies beside it; `curve` is the content of curve.json, {} if there is none."""

    path: Path
    synthetic: SyntheticSet
    initial: SyntheticSet | None
    curve: dict[str, Any]


@dataclass(frozen=True)
class Found:
    """What one or several paths hold.

    Attributes:
        sets: in the order of the paths.
        documents: evaluations as `condense evaluate` writes them, each with the file it comes from.
    """

    sets: tuple[FoundSet, ...] = ()
    documents: tuple[tuple[Path, dict[str, Any]], ...] = ()


def report_of_runs(
    paths: Sequence[str | Path],
    *,
    title: str = "",
    command: str = "",
    scatter: bool = True,
    announce: Callable[[str], None] = silent,
) -> Report:
    """Gather what `paths` hold into one report.

    Args:
        paths: run folders, comparison folders, .safetensors files, or .jsonl files of evaluations.
        title: of the report; "" makes one of the data's name.
        command: that asks for this report.
        scatter: draw the features of real and synthetic images, if the real ones can be loaded.
        announce: called with lines of text for a person.

    Raises:
        BadInput: a path that holds nothing of this kind, or runs that were not made from the same images.
    """
    if not paths:
        raise BadInput("no run to report: give run folders, comparison folders, sets or .jsonl files")
    parts = [_read(Path(path)) for path in paths]
    found = Found(
        tuple(one for part in parts for one in part.sets),
        tuple(one for part in parts for one in part.documents),
    )
    _require_same_classes(found.sets)
    _require_same_images(found)
    sets = [one.synthetic for one in found.sets]
    measured = measurements(found.documents, sets)
    if not measured:
        announce("no evaluation was found, so there are no accuracies: run condense evaluate first")
    pictures = feature_pictures(sets, announce) if scatter and sets else ()
    return Report(
        title=title or f"Condensed {_data_name(found)}",
        facts=tuple(_facts(found)),
        measurements=tuple(measured),
        honest=honest(measured),
        galleries=tuple(sorted(map(_gallery, found.sets), key=lambda g: g.ipc)),
        curves=tuple(
            sorted((_curve(one) for one in found.sets if one.curve.get("loss")), key=lambda c: c.ipc or 0)
        ),
        scatters=pictures,
        command=command,
    )


# ---- reading


def _read(path: Path) -> Found:
    if path.is_dir():
        if (path / SETS).is_dir() or (path / CELLS).is_dir():
            return _comparison(path)
        return Found((_set_of(path),), tuple(_lines(path / "evaluations.jsonl")))
    if path.suffix == ".jsonl" and path.exists():
        return Found(documents=tuple(_lines(path)))
    return Found((_set_of(path),))


def _comparison(path: Path) -> Found:
    read_settings(path)  # nothing of a newer version, whose cells may say other things
    folders = [f for f in sorted((path / SETS).glob("*")) if (f / "set.safetensors").exists()]
    logs = [line for folder in folders for line in _lines(folder / "evaluations.jsonl")]
    cells = [(file, read_document(file)) for file in sorted((path / CELLS).glob("*.json"))]
    if not folders and not cells:
        raise BadInput(f"{path} holds a comparison in which nothing is done yet: let it run first")
    return Found(tuple(found for folder in folders if (found := _readable_set(folder))), (*logs, *cells))


def _readable_set(folder: Path) -> FoundSet | None:
    """A set of a comparison; None if it is damaged, which takes no accuracy away."""
    try:
        return _set_of(folder)
    except BadFile:
        return None


def _set_of(path: Path) -> FoundSet:
    """A run folder or a set file."""
    synthetic = artifact.load(path)
    folder = path if path.is_dir() else None
    initial = RunFolder(folder).initial_path if folder else None
    curve = folder / "curve.json" if folder else None
    return FoundSet(
        path,
        synthetic,
        artifact.load(initial) if initial and initial.exists() else None,
        _document(curve, curve.read_text("utf-8")) if curve and curve.exists() else {},
    )


def _lines(path: Path) -> Iterator[tuple[Path, dict[str, Any]]]:
    """The evaluations in a file of JSON lines; none if there is no file."""
    if not path.exists():
        return
    try:
        lines = path.read_text("utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise BadFile(f"{path} cannot be read as lines of JSON: {one_line(error)}") from error
    for line in filter(str.strip, lines):
        yield path, _document(path, line)


def _document(path: Path, line: str) -> dict[str, Any]:
    try:
        document = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise BadFile(f"{path} is damaged: {line[:40]!r} is not JSON: delete it to go on without") from error
    if not isinstance(document, dict):
        raise BadFile(f"{path} is damaged: {line[:40]!r} is not a JSON object")
    return document


# ---- what must agree


def _require_same_classes(sets: Sequence[FoundSet]) -> None:
    """Raises BadInput if a set has other classes than the first."""
    for other in sets[1:]:
        first, ours, theirs = sets[0], sets[0].synthetic.spec.class_names, other.synthetic.spec.class_names
        for c, (name, its_name) in enumerate(zip(ours, theirs, strict=False)):
            if name != its_name:
                raise BadInput(
                    f"class {c} is {name!r} in {first.path} and {its_name!r} in {other.path}: "
                    "a report shows runs on one image set; make one for each"
                )
        if len(ours) != len(theirs):
            raise BadInput(
                f"{first.path} has {len(ours)} classes and {other.path} has {len(theirs)}: "
                "a report shows runs on one image set; make one for each"
            )


def _require_same_images(found: Found) -> None:
    """Raises BadInput if anything was made from, or tested on, other images than the rest."""
    origins = [
        (one.path, data.get("source", "?"), data["fingerprint"])
        for one in found.sets
        if "fingerprint" in (data := one.synthetic.record.get("data", {}))
    ]
    origins += [(p, d.get("data", "?"), d["fingerprint"]) for p, d in found.documents if "fingerprint" in d]
    for path, source, fingerprint in origins[1:]:
        if fingerprint != origins[0][2]:
            raise BadInput(
                f"{origins[0][0]} is about {origins[0][1]} and {path} about {source}, which are different images: "
                "a report shows runs on one image set; make one for each"
            )


# ---- what a report shows of it


def _gallery(found: FoundSet) -> Gallery:
    synthetic, record = found.synthetic, found.synthetic.record
    initial = found.initial
    if initial is not None and initial.images.shape != synthetic.images.shape:
        raise BadFile(f"{found.path} is damaged: its initial set has another shape than its result")
    return Gallery(
        subject=str(record.get("method", found.path.stem)),
        ipc=int(record.get("ipc", synthetic.labels.bincount().max())),
        condensed_with=record.get("network"),
        seed=int(record.get("seed", 0)),
        class_names=synthetic.spec.class_names,
        labels=synthetic.labels.numpy(),
        final=eight_bit(synthetic),
        initial=None if initial is None else eight_bit(initial),
    )


def _curve(found: FoundSet) -> Curve:
    gallery = _gallery(replace(found, initial=None))
    try:
        accuracy = tuple(
            (int(e["step"]), float(e["mean"]), float(e["std"]), int(e["n"]))
            for e in found.curve.get("accuracy", ())
        )
        loss = tuple(map(float, found.curve["loss"]))
    except (KeyError, TypeError, ValueError) as error:
        raise BadFile(f"{found.path / 'curve.json'} is damaged: {one_line(error)}") from error
    return Curve(gallery.subject, gallery.ipc, gallery.condensed_with, gallery.seed, loss, accuracy)


def _data_name(found: Found) -> str:
    names = [str(document.get("data", "")) for _, document in found.documents]
    names += [one.synthetic.spec.name for one in found.sets]
    name = next((name for name in names if name and name != "custom"), "images")
    return Path(name).name


def _facts(found: Found) -> Iterator[tuple[str, str]]:
    """About the images, and about the machines and the code that made the numbers."""
    if found.sets:
        spec = found.sets[0].synthetic.spec
        size = f"{spec.height} x {spec.width}, {'grey' if spec.channels == 1 else 'colour'}"
        yield "Images", f"{_data_name(found)}: {spec.num_classes} classes, {size}"
    else:
        yield "Images", _data_name(found)
    records = [one.synthetic.record for one in found.sets] + [document for _, document in found.documents]
    for name, key in (("Protocol", "protocol"), ("Hardware", "hardware"), ("Commit", "commit")):
        values = dict.fromkeys(str(record[key]) for record in records if record.get(key))
        if values:
            yield name, ", ".join(values)
    torch = dict.fromkeys(
        str(r["versions"].get("torch")) for r in records if isinstance(r.get("versions"), dict)
    )
    if torch:
        yield "PyTorch", ", ".join(torch)
    days = sorted(str(record["time"])[:10] for record in records if record.get("time"))
    if days:
        yield "Measured", days[0] if days[0] == days[-1] else f"{days[0]} to {days[-1]}"
