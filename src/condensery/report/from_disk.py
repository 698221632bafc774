"""A report from what lies on disk: run folders, set files, lines of evaluations and of measurements."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

from condensery import artifact, disk, schema
from condensery.budgets import frozen, mean, per_class, recorded
from condensery.data.sources import silent
from condensery.errors import BadFile, BadInput, one_line
from condensery.evaluation import log
from condensery.evaluation.honest import SCORES, WEIGHT
from condensery.export.picture import eight_bit
from condensery.records import SyntheticSet
from condensery.report.contents import RANDOM, Curve, Gallery, Measurement, Report
from condensery.report.features import feature_pictures
from condensery.report.measurements import in_order, measurements, with_scores
from condensery.report.tables import JSON_MARK, from_json
from condensery.run_folder import RunFolder


@dataclass(frozen=True)
class FoundSet:
    """A set and what lies beside it.

    Attributes:
        path: its folder or file.
        initial: before the first update; None where it was not kept.
        curve: the content of curve.json, {} if there is none.
        label: what it is called in place of its method, "" for nothing else.
    """

    path: Path
    synthetic: SyntheticSet
    initial: SyntheticSet | None
    curve: dict[str, Any]
    label: str = ""


@dataclass(frozen=True)
class Found:
    """What one or several paths hold.

    Attributes:
        sets: in the order of the paths.
        documents: evaluations as `condense evaluate` writes them, each with the file it comes from. See
            `measurements` for what else they may hold.
        lines: measurements with the scores that follow from them, as reports write them.
        skipped: cell and reason, for what could not be measured.
    """

    sets: tuple[FoundSet, ...] = ()
    documents: tuple[tuple[Path, dict[str, Any]], ...] = ()
    lines: tuple[tuple[Path, Measurement], ...] = ()
    skipped: tuple[tuple[str, str], ...] = ()


def report_of_found(
    parts: Sequence[Found],
    *,
    title: str = "",
    command: str = "",
    scatter: bool = True,
    announce: Callable[[str], None] = silent,
    rows: tuple[Measurement, ...] | None = None,
    facts: Iterable[tuple[str, str]] = (),
) -> Report:
    """One report of all that was found.

    Args:
        parts: what each path holds, see `find`. For comparison folders too see `condensery.comparison.reports`.
        title: of the report; "" makes one of the data's name.
        command: that asks for this report.
        scatter: draw the features of real and synthetic images, if the real ones can be loaded.
        announce: called with lines of text for a person.
        rows: what the documents come to, where that is known already.
        facts: names and values beside those that can be read in what was found.

    Raises:
        BadInput: there is nothing, or not all was made from the same images.
    """
    if not parts:
        raise BadInput("no run to report: give run folders, comparison folders, sets or .jsonl files")
    found = Found(*(tuple(one for part in parts for one in getattr(part, f.name)) for f in fields(Found)))
    _require_same_classes(found.sets)
    _require_same_images(found)
    found = replace(found, sets=tuple({(one.path.resolve(), one.label): one for one in found.sets}.values()))
    sets = [one.synthetic for one in found.sets]
    if rows is None:
        measured = [m for m, _ in measurements(found.documents, sets)]
        measured += [m for _, m in found.lines if not any(_same(m, other) for other in measured)]
        if not measured:
            announce("no evaluation was found, so there are no accuracies: run condense evaluate first")
        rows = with_scores(in_order(measured))
    galleries = [gallery(one) for one in found.sets]
    curves = [drawn for one in found.sets if (drawn := curve(one))]
    return Report(
        title=title or f"Condensed {_data_name(found)}",
        facts=(*_facts(found), *facts, *_weights(rows)),
        measurements=rows,
        galleries=tuple(sorted(galleries, key=lambda g: mean(g.ipc))),
        curves=tuple(sorted(curves, key=lambda c: mean(c.ipc))),
        scatters=feature_pictures(list(zip(galleries, sets, strict=True)), announce)
        if scatter and sets
        else (),
        skipped=tuple(dict.fromkeys(found.skipped)),
        command=command,
    )


def _same(a: Measurement, b: Measurement) -> bool:
    """Whether both are the same networks on the same sets, whoever wrote them down."""
    names = ("subject", "ipc", "condensed_with", "network", "protocol", "labels", "augmentation", "epochs")
    return sorted(a.accuracies) == sorted(b.accuracies) and all(getattr(a, n) == getattr(b, n) for n in names)


# ---- reading


def find(path: Path, announce: Callable[[str], None] = silent) -> Found:
    """What a run folder, a set file or a .jsonl file of evaluations or measurements holds.

    Args:
        announce: called with a line for a person where a line of a log is left out.
    """
    if path.suffix != ".jsonl" or path.is_dir() or not path.exists():
        beside = evaluations(path / "evaluations.jsonl", announce) if path.is_dir() else ()
        return Found((found_set(path),), tuple(beside))
    documents, lines = [], []
    for line in log.read(path, announce):
        if line.get("kind") != JSON_MARK:
            documents.append((path, line))
            continue
        try:
            lines.append((path, from_json(line)))
        except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
            raise BadFile(f"{path} holds a damaged measurement: write it again, or remove it") from error
    if not documents and not lines:
        raise BadFile(f"{path} holds no evaluation and no measurement: leave it out")
    return Found(documents=tuple(documents), lines=tuple(lines))


def found_set(path: Path, label: str = "") -> FoundSet:
    """A run folder or a set file. Raises BadInput if there is none."""
    synthetic, initial, curve = artifact.load(path), None, {}
    if path.is_dir():
        start, losses = RunFolder(path).initial_path, path / "curve.json"
        initial = artifact.load(start) if start.exists() else None
        curve = _curve(losses) if losses.exists() else {}
    return FoundSet(path, synthetic, initial, curve, label)


def evaluations(
    path: Path, announce: Callable[[str], None] = silent
) -> Iterator[tuple[Path, dict[str, Any]]]:
    """The evaluations in a log, with its path; none if there is no file."""
    if path.exists():
        yield from ((path, document) for document in log.read(path, announce))


def _curve(path: Path) -> dict[str, Any]:
    fix = ": delete it to go on without"
    document = disk.read_json(path, f"it is not JSON{fix}")
    schema.require(path, document, schema.CURVE, "curve", fix)
    return document


# ---- what must agree

_ONE = "a report shows runs on one image set; make one for each"


def _require_same_classes(sets: Sequence[FoundSet]) -> None:
    """Raises BadInput if a set has other classes than the first."""
    for other in sets[1:]:
        first, ours, theirs = sets[0], sets[0].synthetic.spec.class_names, other.synthetic.spec.class_names
        for c, (name, its_name) in enumerate(zip(ours, theirs, strict=False)):
            if name != its_name:
                said = f"class {c} is {name!r} in {first.path} and {its_name!r} in {other.path}"
                raise BadInput(f"{said}: {_ONE}")
        if len(ours) != len(theirs):
            raise BadInput(f"{first.path} has {len(ours)} classes and {other.path} has {len(theirs)}: {_ONE}")


def _require_same_images(found: Found) -> None:
    """Raises BadInput if anything was made from, or tested on, other images than the rest."""
    origins = [(one.path, "source", one.synthetic.record.get("data", {})) for one in found.sets]
    origins += [(path, "data", document) for path, document in found.documents]
    origins += [(path, "data", {**m.record, "data": m.data}) for path, m in found.lines]
    known = [(path, record.get(key, "?"), record) for path, key, record in origins if "fingerprint" in record]
    for path, source, record in known[1:]:
        first, its_source, its_record = known[0]
        if record["fingerprint"] != its_record["fingerprint"]:
            said = f"{first} is about {its_source} and {path} about {source}, which are different images"
            raise BadInput(f"{said}: {_ONE}")


# ---- what a report shows of it


def gallery(found: FoundSet) -> Gallery:
    """The images of a set. Raises BadFile if its initial set is of another shape."""
    synthetic, initial, record = found.synthetic, found.initial, found.synthetic.record
    if initial is not None and initial.images.shape != synthetic.images.shape:
        raise BadFile(f"{found.path} is damaged: its initial set has another shape than its result")
    return Gallery(
        subject=found.label or str(record.get("method", found.path.stem)),
        ipc=frozen(record.get("ipc", recorded(synthetic.counts))) or 0,
        condensed_with=None if record.get("method") == RANDOM else record.get("network"),
        seed=int(record.get("seed", 0)),
        class_names=synthetic.spec.class_names,
        labels=synthetic.labels.numpy(),
        final=eight_bit(synthetic),
        initial=None if initial is None else eight_bit(initial),
    )


def curve(found: FoundSet) -> Curve | None:
    """What was measured while a set was made; None if that was nothing. Raises BadFile if it is damaged."""
    if not found.curve.get("loss"):
        return None
    of = gallery(replace(found, initial=None))
    try:
        loss, points = tuple(map(float, found.curve["loss"])), found.curve.get("accuracy", ())
        accuracy = tuple((int(e["step"]), float(e["mean"]), float(e["std"]), int(e["n"])) for e in points)
    except (KeyError, TypeError, ValueError) as error:
        raise BadFile(f"{found.path / 'curve.json'} is damaged: {one_line(error)}") from error
    return Curve(of.subject, of.ipc, of.condensed_with, of.seed, loss, accuracy)


def _weights(rows: Sequence[Measurement]) -> Iterator[tuple[str, str]]:
    """The weights in scores, if any are not the usual ones, and what they are of if there are several."""
    weights = [one for one in SCORES if one.weighs]
    found: dict[str, list[str]] = {}
    for m in rows:
        if any(one.key in m.extra for one in SCORES):
            said = ", ".join(f"{one.name} {m.extra.get(one.key, WEIGHT):g}" for one in weights)
            found.setdefault(said, []).append(f"{m.subject} with {per_class(m.ipc or 0)}")
    if set(found) - {", ".join(f"{one.name} {WEIGHT:g}" for one in weights)}:
        of = (
            f"{w} ({'; '.join(dict.fromkeys(names))})" if len(found) > 1 else w for w, names in found.items()
        )
        weighed = {one.weighs for one in weights}
        yield f"Weights in {', '.join(one.name for one in SCORES if one.key in weighed)}", "; ".join(of)


def _data_name(found: Found) -> str:
    names = [str(document.get("data", "")) for _, document in found.documents]
    names += [m.data for _, m in found.lines]
    names += [one.synthetic.spec.name for one in found.sets]
    return Path(next((name for name in names if name and name != "custom"), "images")).name


def _facts(found: Found) -> Iterator[tuple[str, str]]:
    """About the images, and about the machines and the code that made the numbers."""
    images = _data_name(found)
    if found.sets:
        spec = found.sets[0].synthetic.spec
        colour = "grey" if spec.channels == 1 else "colour"
        images += f": {spec.num_classes} classes, {spec.height} x {spec.width}, {colour}"
    if found.sets or found.documents or found.lines:
        yield "Images", images
    records = [one.synthetic.record for one in found.sets] + [document for _, document in found.documents]
    records += [{**m.record, "protocol": m.protocol} for _, m in found.lines]
    for name, key in (("Protocol", "protocol"), ("Hardware", "hardware"), ("Commit", "commit")):
        if values := dict.fromkeys(str(record[key]) for record in records if record.get(key)):
            yield name, ", ".join(values)
    told = [record["versions"] for record in records if isinstance(record.get("versions"), dict)]
    if versions := dict.fromkeys(", ".join(f"{k} {v}" for k, v in one.items()) for one in told):
        yield "Versions", "; ".join(versions)
    if days := sorted({str(record["time"])[:10] for record in records if record.get("time")}):
        yield "Measured", " to ".join(dict.fromkeys((days[0], days[-1])))
