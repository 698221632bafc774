"""A report from what lies on disk, folders of comparisons among it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from condensery.comparison.folder import CELLS, is_comparison
from condensery.comparison.measured import measured
from condensery.comparison.outcome import facts, found, title_of, with_pictures
from condensery.comparison.plan import Cell, SetJob
from condensery.comparison.whole_folder import WholeFolder, whole_folder
from condensery.data.sources import silent
from condensery.report.contents import Report
from condensery.report.from_disk import Found, evaluations, find, report_of_found
from condensery.words import count

_Job = TypeVar("_Job", SetJob, Cell)


def report_of(
    paths: Sequence[str | Path],
    *,
    title: str = "",
    command: str = "",
    scatter: bool = True,
    announce: Callable[[str], None] = silent,
) -> Report:
    """Gather what `paths` hold into one report.

    The folder of a comparison alone gives what `Comparison.report` gives, of all that is in it: of every command
    that worked there. Beside other paths its sets and cells are runs and evaluations like theirs.

    Args:
        paths: run folders, comparison folders, .safetensors files, or .jsonl files of evaluations or measurements.
        title: of the report; "" makes one of the data's name.
        command: that asks for this report.
        scatter: draw the features of real and synthetic images, if the real ones can be loaded.
        announce: called with lines of text for a person.

    Raises:
        BadInput: a path that holds nothing of this kind, or runs that were not made from the same images.
    """
    places = [Path(path) for path in paths]
    if len(places) == 1 and is_comparison(places[0]):
        return _of_comparison(whole_folder(places[0]), title, command, scatter, announce)
    return report_of_found(
        [_among_others(whole_folder(path)) if is_comparison(path) else find(path) for path in places],
        title=title,
        command=command,
        scatter=scatter,
        announce=announce,
    )


def _of_comparison(
    folder: WholeFolder, title: str, command: str, scatter: bool, announce: Callable[[str], None]
) -> Report:
    measurements = measured(folder.cells, folder.store, folder.threads)
    if not measurements:
        announce("no cell is done yet, so there are no accuracies: let the comparison go on")
    if by_hand := sum(1 for made in _once(folder.sets) for _ in _by_hand(folder, made)):
        announce(
            f"{count(by_hand, 'evaluation')} of its sets by condense evaluate: "
            f"condense report {folder.store.path}/sets/* shows them"
        )
    data = (folder.cells or folder.sets)[0].record["data"]
    train_images = folder.plan.train_images if folder.plan else None
    report = Report(
        title=title or title_of(data, (made.contender.label for made in folder.sets)),
        facts=tuple(facts(data, folder.cells, measurements, train_images, folder.scale)),
        measurements=measurements,
        skipped=folder.skipped,
        command=command,
    )
    return with_pictures(report, folder.store, folder.sets, announce, scatter)


def _among_others(folder: WholeFolder) -> Found:
    """Sets and cells, each under the first of its labels, so that nothing counts twice."""
    sets, cells = _once(folder.sets), _once(folder.cells)
    documents = [
        (folder.store.path / CELLS / f"{cell.key}.json", _labelled(document, cell.made))
        for cell in cells
        if (document := folder.store.document(cell))
    ]
    logs = [(file, _labelled(line, made)) for made in sets for file, line in _by_hand(folder, made)]
    there = tuple(one for made in sets if (one := found(made, folder.store)))
    return Found(there, (*logs, *documents), skipped=folder.skipped)


def _once(jobs: Iterable[_Job]) -> list[_Job]:
    """The first of each key."""
    first: dict[str, _Job] = {}
    for one in jobs:
        first.setdefault(one.key, one)
    return list(first.values())


def _by_hand(folder: WholeFolder, made: SetJob) -> Iterator[tuple[Path, dict[str, Any]]]:
    """What `condense evaluate` said of a set."""
    return evaluations(folder.store.folder(made) / "evaluations.jsonl")


def _labelled(document: Mapping[str, Any], made: SetJob | None) -> dict[str, Any]:
    return {**document, "label": made.contender.label} if made else dict(document)
