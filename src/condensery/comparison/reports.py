"""A comparison as it lies in its folder, and reports: of one command, or of all that folders hold."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from condensery.comparison.folder import Folder, Problem
from condensery.comparison.jobs import ComparisonJob
from condensery.comparison.jobs import sets as sets_of
from condensery.comparison.plan import Plan
from condensery.comparison.rows import called, done, measurements
from condensery.data.sources import silent
from condensery.errors import BadInput
from condensery.records import ImageSpec, SyntheticSet
from condensery.report.contents import Measurement, Report
from condensery.report.from_disk import Found, FoundSet, evaluations, find, found_set, report_of_found
from condensery.report.tables import to_json
from condensery.synthetic.starts import start_of
from condensery.text import count

Announce = Callable[[str], None]


@dataclass(frozen=True)
class Comparison:
    """What is done of a comparison: of one plan, or of all commands that worked in its folder.

    Attributes:
        folder: where everything is.
        plan: what was asked for (last); None where that is not known.
        sets, cells: the jobs, in the order in which they were asked for.
        measurements: one for each method, budget, architecture it was made with and architecture tested;
            those of the whole training set last; each with its scores. Cells without any result have none.
        problems: cells that were skipped or failed.
        command: that made it, or "".
    """

    folder: Path
    plan: Plan | None
    sets: Sequence[ComparisonJob]
    cells: Sequence[ComparisonJob]
    measurements: tuple[Measurement, ...]
    problems: tuple[Problem, ...] = ()
    command: str = ""

    @staticmethod
    def of_all(folder: Folder) -> Comparison:
        """Of all commands. Raises BadInput if nothing is done yet, or a file is damaged."""
        asked, (sets, cells) = folder.asked(), done(folder)
        found = measurements(cells, folder, asked.threads if asked else None)
        problems = tuple(Problem(one["cell"], one["reason"]) for one in folder.problems())
        return Comparison(folder.path, asked.plan if asked else None, sets, cells, found, problems)

    @property
    def files(self) -> Folder:
        """The files in it."""
        return Folder(self.folder)

    @property
    def complete(self) -> bool:
        """Whether every cell that could be foreseen to work has its number."""
        return all(problem.foreseen for problem in self.problems)

    @property
    def skipped(self) -> tuple[tuple[str, str], ...]:
        """Cell and reason, for what has no number."""
        return tuple((problem.cell, problem.reason) for problem in self.problems)

    def report(
        self, announce: Announce = silent, scatter: bool = True, title: str = "", command: str = ""
    ) -> Report:
        """Everything that tables and pages show of it. See `report_of`."""
        labels = dict.fromkeys(made.label for made in self.sets)
        return report_of_found(
            [self.found(announce, under_all_labels=True)],
            title=title or f"{Path(self._data_name).name}: {', '.join(labels)}",
            command=command or self.command,
            scatter=scatter,
            announce=announce,
            rows=self.measurements,
            facts=self.facts(),
        )

    def to_json(self) -> dict[str, Any]:
        return {
            "folder": str(self.folder),
            "command": self.command,
            "plan": self.plan and self.plan.to_json(),
            "measurements": [{**to_json(one), "extra": one.extra} for one in self.measurements],
            "problems": [vars(problem) for problem in self.problems],
        }

    def found(self, announce: Announce = silent, under_all_labels: bool = False) -> Found:
        """Sets and cells as runs and evaluations: each under the first of its labels, so that nothing counts twice."""
        sets, cells = (self.sets, self.cells) if under_all_labels else map(_once, (self.sets, self.cells))
        documents = [
            (self.files.result_file(cell), {**document, **called(cell)})
            for cell in cells
            if (document := self.files.document(cell))
        ]
        found = [one for made in sets if (one := self._found_set(made, announce))]
        return Found(tuple(found), tuple(documents), skipped=self.skipped)

    def _found_set(self, made: ComparisonJob, announce: Announce) -> FoundSet | None:
        """A set with what lies beside it; None if it is not there or damaged, which takes no accuracy away."""
        try:
            if not self.files.is_done(made):
                return None
            found = found_set(self.files.set_folder(made), made.label)
            return replace(found, synthetic=_as_judged(found.synthetic, made)) if made.given else found
        except BadInput as error:
            announce(f"no pictures of {made.name}: {error}")
            return None

    def _by_hand(self, announce: Announce = silent) -> list[tuple[Path, dict[str, Any]]]:
        """What `condense evaluate` said of its sets."""
        return [
            (file, {**line, "label": made.label})
            for made in _once(self.sets)
            for file, line in evaluations(self.files.set_folder(made) / "evaluations.jsonl", announce)
        ]

    @property
    def _data_name(self) -> str:
        data = [*self.sets, *self.cells][0].record["data"]
        return data["spec"]["name"] if data["spec"]["name"] != "custom" else data["source"]

    def facts(self) -> Iterator[tuple[str, str]]:
        """What was asked for."""
        plan, of_sets = self.plan, [cell for cell in self.cells if cell.made]
        yield "Fingerprint", [*self.sets, *self.cells][0].record["data"]["fingerprint"][:12]
        if plan:
            yield "Training images", f"{plan.train_images:,}"
        if repeats := sorted({cell.record["repeats"] for cell in of_sets}):
            yield "Networks for each set and architecture", " or ".join(map(str, repeats))
        if seeds := dict.fromkeys(str(cell.made.record["seed"]) for cell in of_sets if cell.made):
            yield "Seeds of the sets", ", ".join(seeds)
        if plan and plan.scale and {made.key for made in self.sets} <= {made.key for made in sets_of(plan)}:
            yield "Updates", f"{plan.scale:g} times the published number"


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
        comparison = Comparison.of_all(folders[0])
        if not comparison.measurements:
            announce("no cell is done yet, so there are no accuracies: let the comparison go on")
        if by_hand := len(comparison._by_hand(announce)):
            announce(
                f"{count(by_hand, 'evaluation')} of its sets by condense evaluate: "
                f"condense report {comparison.folder}/sets/* shows them"
            )
        return comparison.report(announce, scatter, title, command)
    found = []
    for one in folders:
        if one.exists:
            comparison = Comparison.of_all(one)
            found += [Found(documents=tuple(comparison._by_hand(announce))), comparison.found()]
        else:
            found.append(find(one.path, announce))
    return report_of_found(found, title=title, command=command, scatter=scatter, announce=announce)


def _as_judged(synthetic: SyntheticSet, made: ComparisonJob) -> SyntheticSet:
    """The images of a given set as those of the comparison: classes in their order, normalised as they are."""
    data = made.record["data"]
    spec = ImageSpec.from_json(data["spec"])
    start = start_of(synthetic, spec, 1, made.label, silent)
    labels = torch.arange(spec.num_classes).repeat_interleave(torch.tensor(start.counts))
    return SyntheticSet(start.stored, labels, spec, {**synthetic.record, "data": data})


def _once(jobs: Iterable[ComparisonJob]) -> list[ComparisonJob]:
    """The first of each key."""
    first: dict[str, ComparisonJob] = {}
    for job in jobs:
        first.setdefault(job.key, job)
    return list(first.values())
