"""Everything that lies in the folder of a comparison, whichever commands it came from, as it was written down."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from condensery.comparison.folder import CELLS, DO_AGAIN, SETS, read_document
from condensery.comparison.plan import Cell, Plan, SetJob, set_of, sets
from condensery.comparison.store import Store
from condensery.errors import BadFile, BadInput
from condensery.report.contents import RANDOM
from condensery.report.measurements import distinct_names

_CELL = ("data", "time", "hardware", "versions", "commit")
_SCORE = ("labels", "augmentation", "accuracies", "images", "bytes", "epochs", "seconds")
_JOB = ("data", "network", "protocol", "repeats", "seed")


@dataclass(frozen=True)
class WholeFolder:
    """What is done of a comparison, in the order in which it was asked for.

    Nothing is imported that a file names, no network and no protocol.

    Attributes:
        store: its files.
        sets, cells: with the labels of the commands that asked for them; a set with two labels is there twice.
        plan: of the last command; None where comparison.json is gone.
        threads: of torch in each job; None where that is not known.
    """

    store: Store
    sets: tuple[SetJob, ...]
    cells: tuple[Cell, ...]
    plan: Plan | None
    threads: int | None

    @property
    def scale(self) -> float | None:
        """That of the last command, if there is nothing of another."""
        if self.plan is None or self.plan.scale is None:
            return None
        asked = {made.key for made in sets(self.plan)}
        return self.plan.scale if all(made.key in asked for made in self.sets) else None

    @property
    def skipped(self) -> tuple[tuple[str, str], ...]:
        """Cell and reason, for what has no number."""
        return tuple((problem["cell"], problem["reason"]) for problem in self.store.problems())


def whole_folder(path: Path) -> WholeFolder:
    """Read the folder.

    Raises:
        BadInput: nothing is done yet, or a file is damaged or of a newer version.
    """
    store = Store(path)
    settings = store.settings() or {}
    plan = Plan.from_json(settings["plan"]) if settings else None
    made = [_made(file) for file in sorted((path / SETS).glob("*/made.json"))]
    done = [_cell(file) for file in sorted((path / CELLS).glob("*.json"))]
    if not made and not done:
        raise BadInput(f"{path} holds a comparison in which nothing is done yet: let it run first")
    named = _named([*made, *(cell.made for cell in done if cell.made)], store.labels())
    done.sort(key=lambda cell: _place(cell.network, plan.networks if plan else ()))
    of_sets = (replace(cell, made=one) for one in named for cell in done if _is_of(cell, one))
    return WholeFolder(
        store,
        tuple(one for one in named if store.document(one)),
        (*of_sets, *(cell for cell in done if cell.made is None)),
        plan,
        settings.get("threads"),
    )


def _is_of(cell: Cell, made: SetJob) -> bool:
    return cell.made is not None and cell.made.key == made.key


def _place(network: str, known: Sequence[str]) -> tuple[int, str]:
    return (known.index(network) if network in known else len(known), network)


# ---- from documents to jobs


def _made(file: Path) -> SetJob:
    """A set, called as its method. Raises BadFile if the document is none of ours."""
    try:
        record = read_document(file)["record"]
        return set_of(record, record["method"])
    except (KeyError, TypeError, ValueError) as error:
        raise _damaged(file) from error


def _cell(file: Path) -> Cell:
    """A cell, its set called as its method. Raises BadFile if the document is none of ours."""
    document = read_document(file)
    try:
        record = document["record"]
        _require(document, _CELL)
        _require(record, _JOB)
        for score in document["scores"]:
            _require(score, _SCORE)
        own = {"data": record["data"], **record["set"]} if "set" in record else None
        return Cell(file.stem, record, record["network"], set_of(own, own["method"]) if own else None)
    except (KeyError, TypeError, ValueError) as error:
        raise _damaged(file) from error


def _require(found: Mapping[str, Any], names: Sequence[str]) -> None:
    """Raises KeyError or TypeError if some are missing."""
    for name in names:
        found[name]


def _damaged(file: Path) -> BadFile:
    return BadFile(f"{file} is damaged: {DO_AGAIN}")


# ---- what sets are called


def _named(found: Sequence[SetJob], labels: Mapping[str, Sequence[str]]) -> list[SetJob]:
    """Each set once for each of its labels, as asked for; those that no command is known for come last.

    A label that stood for other settings in another command gets what differs to its name.
    """
    known = {made.key: made for made in found}
    others = sorted(
        (one for key, one in known.items() if key not in labels), key=lambda one: (one.ipc, one.key)
    )
    order = [*(known[key] for key in labels if key in known), *others]
    labelled = [
        replace(one, contender=replace(one.contender, label=label))
        for one in order
        for label in _labels(one, labels)
    ]
    settings = {_kind(one): dict(_settings(one)) for one in labelled}
    names = distinct_names([((label, ipc), own) for (label, ipc, _), own in settings.items()])
    name = dict(zip(settings, names, strict=True))
    return [replace(one, contender=replace(one.contender, label=name[_kind(one)])) for one in labelled]


def _labels(made: SetJob, labels: Mapping[str, Sequence[str]]) -> Sequence[str]:
    """Random images are called so whatever their label, as older versions let them have others."""
    method = made.contender.method
    return [RANDOM] if method == RANDOM else labels.get(made.key, [method])


def _settings(made: SetJob) -> Iterator[tuple[str, Any]]:
    """What sets of one label can be told apart by."""
    contender = made.contender
    if contender.method != contender.label:
        yield "method", contender.method
    yield from contender.fields.items()
    if contender.steps is not None:
        yield "steps", contender.steps


def _kind(made: SetJob) -> tuple[str, int, str]:
    return made.contender.label, made.ipc, repr(sorted(_settings(made)))
