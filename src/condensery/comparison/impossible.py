"""What is known before any work: cells that cannot be done, and what methods say about their settings."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence

import torch

from condensery.budgets import in_record
from condensery.comparison.folder import Problem
from condensery.comparison.jobs import Job
from condensery.coresets import SelectionTask, get_selector
from condensery.data import ClassPool
from condensery.errors import BadInput
from condensery.method import Task
from condensery.methods import METHODS, get_method
from condensery.models.registry import resolve
from condensery.records import ImageData


def impossible(cells: Sequence[Job], images: ImageData) -> tuple[dict[str, Problem], list[str]]:
    """Cells that cannot be done, by key, and what methods say about their settings, for people.

    Cells of a row that share a reason are named together.
    """
    pool = ClassPool(images.train, images.spec, torch.device("cpu"))
    notes: dict[str, None] = {}
    reasons: dict[object, str] = {}  # by question: each is asked once

    def ask(question: object, check: Callable[[], object]) -> str:
        if question not in reasons:
            try:
                check()
                reasons[question] = ""
            except BadInput as error:
                reasons[question] = str(error)
        return reasons[question]

    def reason(cell: Job) -> str:
        made, network = cell.made, cell.record["network"]
        question = made and (made.label, made.record["ipc"], made.record["network"])
        of_set = ask(question, lambda: notes.update(_notes(made, pool))) if made else ""
        return of_set or ask(network, lambda: resolve(network).parameter_count(images.spec))

    groups: dict[str, list[tuple[str, str]]] = defaultdict(list)
    for cell in cells:
        for name in (cell.row, f"{cell.row} on {cell.record['network']}"):
            groups[name].append((cell.key, reason(cell)))
    found: dict[str, Problem] = {}
    for name, group in groups.items():  # a whole row comes before its parts
        if len({why for _, why in group}) == 1 and (why := group[0][1]):
            for key, _ in group:
                found.setdefault(key, Problem(name, why, foreseen=True))
    return found, list(notes)


def _notes(made: Job, pool: ClassPool) -> dict[str, None]:
    """Of the method on its settings, in order. Raises BadInput if the set cannot be made."""
    record, smallest = made.record, min(pool.counts)
    if record["ipc"] > smallest:
        name = pool.spec.class_names[pool.counts.index(smallest)]
        raise BadInput(
            f"{record['ipc']} per class is more than class {name!r} has training images ({smallest})"
        )
    network = resolve(record["network"] or "convnet")
    if record["network"]:
        network.parameter_count(pool.spec)
    place = (pool, network, in_record(record["ipc"], pool.spec.num_classes), torch.device("cpu"))
    if record["method"] in METHODS:
        notes = get_method(record["method"], **record["fields"]).check(Task(*place, steps=record["steps"]))
    else:
        notes = get_selector(record["method"], **record["fields"]).check(SelectionTask(*place))
    return {f"{made.label}: {note}": None for note in notes}
