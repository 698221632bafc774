"""What a comparison found: its cells together as measurements and as a report."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from condensery import artifact
from condensery.comparison.plan import Plan, SetJob, cells
from condensery.comparison.store import Store
from condensery.data.sources import silent
from condensery.gathering.features import feature_pictures
from condensery.report.contents import Curve, Gallery, HonestScores, Measurement, Report
from condensery.report.picture import eight_bit
from condensery.words import count

SCORES = (
    "hard_label_recovery",
    "improvement_over_random",
    "label_robust_score",
    "augmentation_robust_score",
)
"""What an accuracy comes to beside random images and the whole set, in the order of `HonestScores`."""


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
            those of the whole training set last. Cells without any result have none.
        problems: cells that were skipped or failed.
        command: that made it, or "".
    """

    plan: Plan
    folder: Path
    measurements: tuple[Measurement, ...]
    problems: tuple[Problem, ...] = ()
    command: str = ""
    threads: int | None = None

    @property
    def complete(self) -> bool:
        """Whether every cell that could be foreseen to work has its number."""
        return all(problem.foreseen for problem in self.problems)

    def report(self, announce: Callable[[str], None] = silent, scatter: bool = True) -> Report:
        """Everything that tables and pages show.

        Args:
            announce: called with lines of text for a person.
            scatter: draw the features of real and synthetic images too, which takes a minute.
        """
        made = {cell.made.key: cell.made for cell in cells(self.plan) if cell.made}
        store = Store(self.folder)
        there = [one for one in made.values() if store.document(one)]
        return Report(
            title=f"{Path(self._data).name}: {', '.join(c.label for c in self.plan.contenders)}",
            facts=tuple(self._facts()),
            measurements=self.measurements,
            galleries=tuple(_gallery(one, store.folder(one)) for one in there),
            scatters=feature_pictures(
                [artifact.load(store.folder(one)) for one in there],
                announce,
                names=[one.contender.label for one in there],
            )
            if scatter and there
            else (),
            curves=tuple(curve for one in there if (curve := _curve(one, store.folder(one)))),
            honest=tuple(_honest(one) for one in self.measurements if one.record["scores"]),
            skipped=tuple((problem.cell, problem.reason) for problem in self.problems),
            command=self.command,
        )

    def to_json(self) -> dict[str, Any]:
        return {
            "folder": str(self.folder),
            "command": self.command,
            "plan": self.plan.to_json(),
            "measurements": [measurement_json(one) for one in self.measurements],
            "problems": [problem.to_json() for problem in self.problems],
        }

    @property
    def _data(self) -> str:
        name = self.plan.spec["name"]
        return name if name != "custom" else self.plan.source

    def _facts(self) -> Iterator[tuple[str, str]]:
        plan, spec = self.plan, self.plan.spec
        yield "Data", f"{self._data}, fingerprint {plan.fingerprint[:12]}"
        shape = f"{spec['channels']}x{spec['height']}x{spec['width']}"
        yield "Images", f"{plan.train_images:,} for training, {shape}, {len(spec['class_names'])} classes"
        yield (
            "Protocol",
            f"{plan.protocol['name']}, {count(plan.repeats, 'network')} for each set and architecture",
        )
        yield "Seeds of the sets", ", ".join(map(str, plan.seeds))
        if plan.scale is not None:
            yield "Updates", f"{plan.scale:g} times the published number"
        records = [one.record for one in self.measurements]
        for name in ("hardware", "commit"):
            found = sorted({str(record[name]) for record in records if record.get(name)})
            if found:
                yield name.capitalize(), "; ".join(found)
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


def _honest(one: Measurement) -> HonestScores:
    where = (one.subject, one.ipc, one.condensed_with, one.network, one.protocol, one.labels)
    return HonestScores(*where, *(one.record["scores"].get(name) for name in SCORES))


def _gallery(made: SetJob, folder: Path) -> Gallery:
    """The images of a set, before the first update too where they were kept."""
    final = artifact.load(folder)
    initial = folder / "initial.safetensors"
    return Gallery(
        subject=made.contender.label,
        ipc=made.ipc,
        condensed_with=made.condensed_with,
        seed=made.seed,
        class_names=final.spec.class_names,
        labels=final.labels.numpy(),
        final=eight_bit(final),
        initial=eight_bit(artifact.load(initial)) if initial.exists() else None,
    )


def _curve(made: SetJob, folder: Path) -> Curve | None:
    """The losses of a set; None for a selection."""
    path = folder / "curve.json"
    if not path.exists():
        return None
    curve = json.loads(path.read_text(encoding="utf-8"))
    return Curve(made.contender.label, made.ipc, made.condensed_with, made.seed, tuple(curve["loss"]))
