"""What is known before any work: cells that cannot be done, and what methods say about their settings."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable

import torch

from condensery.comparison.folder import Problem
from condensery.comparison.jobs import Job
from condensery.coresets import SelectionTask, get_selector
from condensery.data import ClassPool
from condensery.errors import BadInput
from condensery.method import Task
from condensery.methods import METHODS, get_method
from condensery.models.registry import resolve
from condensery.records import ImageData


def impossible(cells: Iterable[Job], images: ImageData) -> tuple[dict[str, Problem], list[str]]:
    """Cells that cannot be done, by key, and notes of methods for people.

    Cells of a row that share a reason are named together.
    """
    checks = _Checks(images)
    reasons = {cell.key: checks.of_cell(cell) for cell in cells}
    groups: dict[str, list[str]] = defaultdict(list)
    for cell in cells:
        groups[cell.row].append(cell.key)
        groups[f"{cell.row} on {cell.record['network']}"].append(cell.key)
    found: dict[str, Problem] = {}
    for name, keys in groups.items():  # a whole row comes before its parts
        shared = {reasons[key] for key in keys}
        if len(shared) == 1 and (reason := shared.pop()):
            for key in keys:
                found.setdefault(key, Problem(name, reason, foreseen=True))
    return found, checks.notes


class _Checks:
    """Asks each method and network once."""

    def __init__(self, images: ImageData) -> None:
        self.images, self.notes = images, []
        self._pool = ClassPool(images.train, images.spec, torch.device("cpu"))
        self._answers: dict[object, str] = {}

    def of_cell(self, cell: Job) -> str:
        """Why it cannot be done, "" if nothing is known against it."""
        network = cell.record["network"]
        return (cell.made and self._set(cell.made)) or self._ask(network, lambda: self._network(network))

    def _set(self, made: Job) -> str:
        ipc, network = made.record["ipc"], made.record["network"]
        return self._ask((made.label, ipc, network), lambda: self._check(made, ipc, network))

    def _check(self, made: Job, ipc: int, network: str | None) -> None:
        counts, record = self._pool.counts, made.record
        if ipc > min(counts):
            name = self.images.spec.class_names[counts.index(min(counts))]
            raise BadInput(f"{ipc} per class is more than class {name!r} has training images ({min(counts)})")
        if network:
            self._network(network)
        place = (self._pool, resolve(network or "convnet"), ipc, torch.device("cpu"))
        if record["method"] in METHODS:
            notes = get_method(record["method"], **record["fields"]).check(
                Task(*place, steps=record["steps"])
            )
        else:
            notes = get_selector(record["method"], **record["fields"]).check(SelectionTask(*place))
        lines = (f"{made.label}: {note}" for note in notes)
        self.notes += [line for line in lines if line not in self.notes]

    def _network(self, name: str) -> None:
        resolve(name).parameter_count(self.images.spec)

    def _ask(self, question: object, ask: Callable[[], object]) -> str:
        if question not in self._answers:
            try:
                ask()
                self._answers[question] = ""
            except BadInput as error:
                self._answers[question] = str(error)
        return self._answers[question]
