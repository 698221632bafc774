"""What a comparison found: its cells together as measurements and as a report."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from condensery.comparison.plan import Cell, Plan, SetJob, cells, sets
from condensery.comparison.store import Store
from condensery.data.sources import silent
from condensery.errors import BadInput
from condensery.report.contents import Measurement, Report
from condensery.report.features import feature_pictures
from condensery.report.from_disk import FoundSet, curve, found_set, gallery
from condensery.report.tables import score_values
from condensery.words import count


@dataclass(frozen=True)
class Problem:
    """A cell without a number.

    Attributes:
        cell, reason: for people.
        foreseen: known before any work, such as a budget that is larger than a class.
        failed: broke although the input was fine.
    """

    cell: str
    reason: str
    foreseen: bool = False
    failed: bool = False

    def to_json(self) -> dict[str, Any]:
        return vars(self)


@dataclass(frozen=True)
class Comparison:
    """A comparison as it lies in its folder.

    Attributes:
        plan: what was asked for.
        folder: where everything is.
        measurements: one for each contender, budget, architecture it was made with and architecture tested;
            those of the whole training set last; each with what it comes to beside random images and the whole
            set. Cells without any result have none.
        problems: cells that were skipped or failed.
        command: that made it, or "".
    """

    plan: Plan
    folder: Path
    measurements: tuple[Measurement, ...]
    problems: tuple[Problem, ...] = ()
    command: str = ""

    @property
    def complete(self) -> bool:
        """Whether every cell that could be foreseen to work has its number."""
        return all(problem.foreseen for problem in self.problems)

    def report(self, announce: Callable[[str], None] = silent, scatter: bool = True) -> Report:
        """Everything that tables and pages show of this plan.

        Args:
            announce: called with lines of text for a person.
            scatter: draw the features of real and synthetic images too, which takes a minute.
        """
        plan = self.plan
        report = Report(
            title=title_of(plan.data, (contender.label for contender in plan.contenders)),
            facts=tuple(facts(plan.data, cells(plan), self.measurements, plan.train_images, plan.scale)),
            measurements=self.measurements,
            skipped=tuple((problem.cell, problem.reason) for problem in self.problems),
            command=self.command,
        )
        return with_pictures(report, Store(self.folder), sets(plan), announce, scatter)

    def to_json(self) -> dict[str, Any]:
        return {
            "folder": str(self.folder),
            "command": self.command,
            "plan": self.plan.to_json(),
            "measurements": [
                {**measurement_json(one), "honest": score_values(one)} for one in self.measurements
            ],
            "problems": [problem.to_json() for problem in self.problems],
        }


def with_pictures(
    report: Report, store: Store, sets: Iterable[SetJob], announce: Callable[[str], None], scatter: bool
) -> Report:
    """The report with images and curves of those sets that are there, and features if they are wanted."""
    there = [one for made in sets if (one := found(made, store, announce))]
    synthetic, galleries = [one.synthetic for one in there], tuple(map(gallery, there))
    names = [one.subject for one in galleries]
    return replace(
        report,
        galleries=galleries,
        curves=tuple(drawn for one in there if (drawn := curve(one))),
        scatters=feature_pictures(synthetic, announce, names) if scatter and there else (),
    )


def found(made: SetJob, store: Store, announce: Callable[[str], None] = silent) -> FoundSet | None:
    """A set with what lies beside it; None if it is not there or damaged, which takes no accuracy away."""
    if not store.document(made):
        return None
    try:
        return found_set(store.folder(made), made.contender.label)
    except BadInput as error:
        announce(f"no pictures of {made.name}: {error}")
        return None


def title_of(data: Mapping[str, Any], labels: Iterable[str]) -> str:
    """The images, and who meets on them."""
    return f"{Path(_data_name(data)).name}: {', '.join(dict.fromkeys(labels))}"


def _data_name(data: Mapping[str, Any]) -> str:
    """Of the images in a job's record."""
    name = data["spec"]["name"]
    return name if name != "custom" else data["source"]


def facts(
    data: Mapping[str, Any],
    judged: Sequence[Cell],
    measurements: Sequence[Measurement],
    train_images: int | None,
    scale: float | None,
) -> Iterator[tuple[str, str]]:
    """About the images, how cells were judged, and the machines and the code that made the numbers.

    Args:
        data: of a job's record.
        train_images: in the whole training set; None where that is not known.
        scale: times the published number of updates, None for 1 or for several.
    """
    spec = data["spec"]
    yield "Data", f"{_data_name(data)}, fingerprint {data['fingerprint'][:12]}"
    shape = f"{spec['channels']}x{spec['height']}x{spec['width']}, {len(spec['class_names'])} classes"
    yield "Images", shape if train_images is None else f"{train_images:,} for training, {shape}"
    protocols = dict.fromkeys(cell.record["protocol"]["name"] for cell in judged)
    repeats = sorted({cell.record["repeats"] for cell in judged if cell.made})
    networks = " or ".join([*map(str, repeats[:-1]), *(count(n, "network") for n in repeats[-1:])])
    each = f", {networks} for each set and architecture" if networks else ""
    if protocols:
        yield "Protocol", f"{', '.join(protocols)}{each}"
    if seeds := dict.fromkeys(cell.made.seed for cell in judged if cell.made):
        yield "Seeds of the sets", ", ".join(map(str, seeds))
    if scale is not None:
        yield "Updates", f"{scale:g} times the published number"
    records = [one.record for one in measurements]
    for name in ("hardware", "commit"):
        values = sorted({str(record[name]) for record in records if record.get(name)})
        if values:
            yield name.capitalize(), "; ".join(values)
    versions = {
        ", ".join(f"{k} {v}" for k, v in record["versions"].items())
        for record in records
        if "versions" in record
    }
    if versions:
        yield "Versions", "; ".join(sorted(versions))


def measurement_json(one: Measurement) -> dict[str, Any]:
    """A measurement with its mean and spread."""
    return {
        **vars(one),
        "mean": one.mean,
        "std": one.std,
        "n": one.n,
        "published": one.published and vars(one.published),
    }
