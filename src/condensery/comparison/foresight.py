"""What can be known before any work: cells that cannot be done, and what methods say about their settings."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import cached_property

import torch

from condensery.comparison.outcome import Problem
from condensery.comparison.plan import Cell, Contender, Plan, SetJob
from condensery.coresets import SelectionTask, get_selector
from condensery.data import ClassPool
from condensery.errors import BadInput
from condensery.method import Task
from condensery.methods import get_method
from condensery.models.registry import resolve
from condensery.records import ImageData


@dataclass
class Foresight:
    """Answers for one plan; each question is asked of a method or network once."""

    plan: Plan
    images: ImageData
    notes: list[str] = field(default_factory=list)
    _answers: dict[tuple[object, ...], str] = field(default_factory=dict)

    def problems(self, cells: Iterable[Cell]) -> dict[str, Problem]:
        """Cells that cannot be done, by key; those that share a reason are named together."""
        reasons = {cell.key: (cell, self.problem(cell)) for cell in cells}
        groups: dict[tuple[str, ...], list[tuple[Cell, str]]] = {}
        for cell, reason in reasons.values():
            groups.setdefault((cell.row,), []).append((cell, reason))
            groups.setdefault((cell.row, cell.network), []).append((cell, reason))
        found: dict[str, Problem] = {}
        for names, group in groups.items():  # a whole row comes before its parts
            first = group[0][1]
            if first and all(reason == first for _, reason in group):
                problem = Problem(" on ".join(names), first, foreseen=True)
                found |= {cell.key: found.get(cell.key, problem) for cell, _ in group}
        return found

    def problem(self, job: SetJob | Cell) -> str:
        """Why a job cannot be done, "" if nothing is known against it."""
        if isinstance(job, Cell):
            return (self.problem(job.made) if job.made else "") or self._network(job.network)
        return (
            self._budget(job.ipc)
            or (self._network(job.condensed_with) if job.condensed_with else "")
            or self._method(job.contender, job.ipc, job.condensed_with)
        )

    @cached_property
    def _pool(self) -> ClassPool:
        return ClassPool(self.images.train, self.images.spec, torch.device("cpu"))

    def _budget(self, ipc: int) -> str:
        counts = self._pool.counts
        smallest = min(counts)
        if ipc <= smallest:
            return ""
        name = self.images.spec.class_names[counts.index(smallest)]
        return f"{ipc} per class is more than class {name!r} has training images ({smallest})"

    def _network(self, name: str) -> str:
        return self._ask(("network", name), lambda: resolve(name).parameter_count(self.images.spec))

    def _method(self, contender: Contender, ipc: int, network: str | None) -> str:
        return self._ask(
            ("method", contender.label, ipc, network), lambda: self._check(contender, ipc, network)
        )

    def _check(self, contender: Contender, ipc: int, network: str | None) -> None:
        place = (self._pool, resolve(network or "convnet"), ipc, torch.device("cpu"))
        if contender.condenses:
            notes = get_method(contender.method, **contender.fields).check(Task(*place))
        else:
            notes = get_selector(contender.method, **contender.fields).check(SelectionTask(*place))
        for note in notes:
            line = f"{contender.label}: {note}"
            if line not in self.notes:
                self.notes.append(line)

    def _ask(self, question: tuple[object, ...], ask: Callable[[], object]) -> str:
        if question not in self._answers:
            try:
                ask()
                self._answers[question] = ""
            except BadInput as error:
                self._answers[question] = str(error)
        return self._answers[question]
