"""What a comparison found, as a report: of one command, or of all that lies in folders of comparisons and others."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from condensery.comparison.folder import CELLS, Folder, Problem
from condensery.comparison.jobs import Job, Plan, cells, sets
from condensery.comparison.rows import done_cells, done_sets, measurements
from condensery.data.sources import silent
from condensery.errors import BadInput
from condensery.gathering.features import feature_pictures
from condensery.gathering.runs import (
    Found,
    FoundSet,
    curve,
    evaluations,
    find,
    found_set,
    gallery,
    report_of_found,
)
from condensery.report.contents import HonestScores, Measurement, Report, honest_of
from condensery.report.tables import honest_values
from condensery.words import count

Announce = Callable[[str], None]


@dataclass(frozen=True)
class Comparison:
    """A comparison as it lies in its folder.

    Attributes:
        plan: what was asked for.
        folder: where everything is.
        measurements: one for each method, budget, architecture it was made with and architecture tested;
            those of the whole training set last. Cells without any result have none.
        honest: what accuracies come to beside random images and the whole set.
        problems: cells that were skipped or failed.
        command: that made it, or "".
    """

    plan: Plan
    folder: Path
    measurements: tuple[Measurement, ...]
    honest: tuple[HonestScores, ...] = ()
    problems: tuple[Problem, ...] = ()
    command: str = ""

    @property
    def complete(self) -> bool:
        """Whether every cell that could be foreseen to work has its number."""
        return all(problem.foreseen for problem in self.problems)

    def report(self, announce: Announce = silent, scatter: bool = True) -> Report:
        """Everything that tables and pages show of this plan.

        Args:
            announce: called with lines of text for a person.
            scatter: draw the features of real and synthetic images too, which takes a minute.
        """
        plan, skipped = self.plan, tuple((problem.cell, problem.reason) for problem in self.problems)
        title = _title(plan.data, (entry.label for entry in plan.entries))
        facts = tuple(_facts(cells(plan), self.measurements, plan.data, plan.train_images, plan.scale))
        found = (self.measurements, self.honest)
        return _report(
            Folder(self.folder), sets(plan), found, title, facts, skipped, self.command, scatter, announce
        )

    def to_json(self) -> dict[str, Any]:
        return {
            "folder": str(self.folder),
            "command": self.command,
            "plan": self.plan.to_json(),
            "measurements": [_measurement_json(one, self.honest) for one in self.measurements],
            "problems": [vars(problem) for problem in self.problems],
        }


def report_of(
    paths: Sequence[str | Path],
    *,
    title: str = "",
    command: str = "",
    scatter: bool = True,
    announce: Announce = silent,
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
    folders = [Folder(Path(path)) for path in paths]
    if len(folders) == 1 and folders[0].exists:
        return _of_all(folders[0], title, command, scatter, announce)
    return report_of_found(
        [_among_others(folder) if folder.exists else find(folder.path) for folder in folders],
        title=title,
        command=command,
        scatter=scatter,
        announce=announce,
    )


def _of_all(folder: Folder, title: str, command: str, scatter: bool, announce: Announce) -> Report:
    """Everything that is done in a folder."""
    made, done, asked = *_done(folder), folder.asked()
    found = measurements(done, folder, asked.threads if asked else None)
    if not found[0]:
        announce("no cell is done yet, so there are no accuracies: let the comparison go on")
    if by_hand := sum(1 for one in _once(made) for _ in _by_hand(folder, one)):
        announce(
            f"{count(by_hand, 'evaluation')} of its sets by condense evaluate: "
            f"condense report {folder.path}/sets/* shows them"
        )
    data = (done or made)[0].record["data"]
    plan = asked.plan if asked else None
    only = plan and {one.key for one in made} <= {one.key for one in sets(plan)}
    facts = _facts(
        done, found[0], data, plan.train_images if plan else None, plan.scale if plan and only else None
    )
    title = title or _title(data, (one.label for one in made))
    return _report(folder, made, found, title, tuple(facts), _skipped(folder), command, scatter, announce)


def _among_others(folder: Folder) -> Found:
    """Sets and cells, each under the first of its labels, so that nothing counts twice."""
    made, done = map(_once, _done(folder))
    cells = [(folder.path / CELLS / f"{one.key}.json", folder.document(one), one.made) for one in done]
    logs = [(file, line, one) for one in made for file, line in _by_hand(folder, one)]
    documents = tuple(
        (file, {**(document or {}), **({"label": one.label} if one else {})})
        for file, document, one in (*logs, *cells)
    )
    there = tuple(found for one in made if (found := _found(folder, one, silent)))
    return Found(there, documents, skipped=_skipped(folder))


def _done(folder: Folder) -> tuple[list[Job], list[Job]]:
    """Sets and cells of all commands. Raises BadInput if there are none."""
    made = done_sets(folder)
    done = done_cells(folder, made)
    if not made and not done:
        raise BadInput(f"{folder.path} holds a comparison in which nothing is done yet: let it run first")
    return [one for one in made if folder.document(one)], done


def _once(jobs: Iterable[Job]) -> list[Job]:
    """The first of each key."""
    first: dict[str, Job] = {}
    for one in jobs:
        first.setdefault(one.key, one)
    return list(first.values())


def _by_hand(folder: Folder, made: Job) -> Iterator[tuple[Path, dict[str, Any]]]:
    """What `condense evaluate` said of a set."""
    return evaluations(folder.set_folder(made) / "evaluations.jsonl")


def _skipped(folder: Folder) -> tuple[tuple[str, str], ...]:
    return tuple((problem["cell"], problem["reason"]) for problem in folder.problems())


def _found(folder: Folder, made: Job, announce: Announce) -> FoundSet | None:
    """A set with what lies beside it; None if it is not there or damaged, which takes no accuracy away."""
    if not folder.document(made):
        return None
    try:
        return found_set(folder.set_folder(made), made.label)
    except BadInput as error:
        announce(f"no pictures of {made.name}: {error}")
        return None


def _report(
    folder: Folder,
    made: Iterable[Job],
    found: tuple[tuple[Measurement, ...], tuple[HonestScores, ...]],
    title: str,
    facts: tuple[tuple[str, str], ...],
    skipped: tuple[tuple[str, str], ...],
    command: str,
    scatter: bool,
    announce: Announce,
) -> Report:
    """With images and curves of those sets that are there, and features if they are wanted."""
    there = [one for job in made if (one := _found(folder, job, announce))]
    galleries = tuple(map(gallery, there))
    names = [one.subject for one in galleries]
    return Report(
        title=title,
        facts=facts,
        measurements=found[0],
        honest=found[1],
        galleries=galleries,
        curves=tuple(drawn for one in there if (drawn := curve(one))),
        scatters=feature_pictures([one.synthetic for one in there], announce, names)
        if scatter and there
        else (),
        skipped=skipped,
        command=command,
    )


def _title(data: Mapping[str, Any], labels: Iterable[str]) -> str:
    """The images, and who meets on them."""
    return f"{Path(_data_name(data)).name}: {', '.join(dict.fromkeys(labels))}"


def _data_name(data: Mapping[str, Any]) -> str:
    """Of the images in a job's record."""
    name = data["spec"]["name"]
    return name if name != "custom" else data["source"]


def _facts(
    cells: Sequence[Job],
    found: Sequence[Measurement],
    data: Mapping[str, Any],
    train_images: int | None,
    scale: float | None,
) -> Iterator[tuple[str, str]]:
    """About the images, how sets were evaluated, and the machines and the code that made the numbers.

    Args:
        data: of a job's record.
        train_images: in the whole training set; None where that is not known.
        scale: times the published number of updates, None for 1 or for several.
    """
    spec = data["spec"]
    yield "Data", f"{_data_name(data)}, fingerprint {data['fingerprint'][:12]}"
    shape = f"{spec['channels']}x{spec['height']}x{spec['width']}, {len(spec['class_names'])} classes"
    yield "Images", shape if train_images is None else f"{train_images:,} for training, {shape}"
    protocols = dict.fromkeys(cell.record["protocol"]["name"] for cell in cells)
    repeats = sorted({cell.record["repeats"] for cell in cells if cell.made})
    networks = " or ".join([*map(str, repeats[:-1]), *(count(n, "network") for n in repeats[-1:])])
    each = f", {networks} for each set and architecture" if networks else ""
    if protocols:
        yield "Protocol", f"{', '.join(protocols)}{each}"
    if seeds := dict.fromkeys(cell.made.record["seed"] for cell in cells if cell.made):
        yield "Seeds of the sets", ", ".join(map(str, seeds))
    if scale is not None:
        yield "Updates", f"{scale:g} times the published number"
    records = [one.record for one in found]
    for name in ("hardware", "commit", "versions"):
        values = sorted({_fact(record[name]) for record in records if record.get(name)})
        if values:
            yield name.capitalize(), "; ".join(values)


def _fact(value: Any) -> str:
    return ", ".join(f"{k} {v}" for k, v in value.items()) if isinstance(value, dict) else str(value)


def _measurement_json(one: Measurement, scores: Iterable[HonestScores]) -> dict[str, Any]:
    """A measurement with its mean and spread, and the scores that follow from it."""
    published = one.published and vars(one.published)
    numbers = {"mean": one.mean, "std": one.std, "n": one.n, "published": published}
    return {**vars(one), **numbers, "honest": honest_values(honest_of(scores, one))}
