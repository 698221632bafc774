"""What is to be done: the jobs of a plan, and the key of each.

The hash in a key is of data, method and fields, budget, networks, seed, updates, protocol and repeats.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from condensery.budgets import Counts, per_class
from condensery.comparison.plan import Entry, Plan
from condensery.evaluation.protocols import Protocol
from condensery.evaluation.scoring import equal_epochs
from condensery.jobs.job import Job, key_of
from condensery.models.registry import resolve
from condensery.records import ImageSpec
from condensery.report.contents import WHOLE

MAKE, EVALUATE = "make", "evaluate"
ON_THE_WAY = "on_the_way"  # in the record of a set: evaluations while it is made, which change nothing of it
GIVEN = "given"  # in the record of a finished set: what tells it from all others
_OF_A_SET = ("data", "method", "fields", "ipc", "network", "seed", "steps")
_OF_A_CELL = ("data", "set", "network", "protocol", "repeats", "seed", "epochs")
_LONGEST = 48  # characters of a network's name in a key


@dataclass(frozen=True)
class ComparisonJob(Job):
    """A set to make, or networks to train on a set or on the whole training set, and to test: a cell.

    Its kind is "make", "evaluate" (networks trained on a set) or "whole" (on the whole training set).
    """

    made: ComparisonJob | None = None

    @property
    def given(self) -> bool:
        """Whether it stands for a finished set, which nobody has to make."""
        return GIVEN in self.record

    @property
    def row(self) -> str:
        """Name of the sets that differ from this job's in the seed alone, of a given set, or of the whole set."""
        made = self if self.kind == MAKE else self.made
        if made is None:
            return "whole set"
        if made.given:
            return f"{made.label}, {_budget(made.record['ipc'])}"
        network = made.record["network"]
        return f"{made.label}, {_budget(made.record['ipc'])}{f', made with {network}' if network else ''}"

    @property
    def name(self) -> str:
        """For people."""
        if self.given:
            return self.row
        if self.kind == MAKE:
            return f"{self.row}, seed {self.record['seed']}"
        return f"{self.made.name if self.made else self.row} on {self.record['network']}"


def sets(plan: Plan) -> list[ComparisonJob]:
    """Every set of the plan: by budget, then entry, architecture and seed; given ones come last."""
    made = [
        _planned_set(plan, entry, ipc, network, seed)
        for ipc in plan.budgets
        for entry in plan.entries
        for network in (plan.condense_with if entry.uses_network else (None,))
        for seed in plan.seeds_of(entry)
    ]
    given = ({"data": plan.data, **one.record, "file": one.file} for one in plan.given)
    return made + [job_of(record, one.label) for record, one in zip(given, plan.given, strict=True)]


def cells(plan: Plan) -> list[ComparisonJob]:
    """Every cell of the plan in the order of its sets; those of the whole training set come last."""
    found = [_planned_cell(plan, made, network) for made in sets(plan) for network in plan.networks]
    return found + [_whole_cell(plan, network) for network in (plan.networks if plan.whole else ())]


def options_of(cell: Job) -> dict[str, Any]:
    """The further options of the evaluation of a set, as plain values."""
    return {name: value for name, value in cell.record.items() if name not in _OF_A_CELL}


def job_of(record: Mapping[str, Any], label: str = "") -> ComparisonJob:
    """The job of a record; its set is called `label`, or as its method.

    Raises:
        KeyError, TypeError, ValueError: the record is none of ours.
    """
    if "method" in record:
        own, given = _deciding(record), GIVEN in record
        network = [own["network"]] if own["network"] and not given else []
        words = [
            *(["set"] if given else []),
            own["method"],
            f"ipc{own['ipc']}",
            *network,
            f"seed{own['seed']}",
        ]
        return ComparisonJob(_key(words, own), MAKE, dict(record), label=label or own["method"])
    if missing := {"data", "network", "protocol", "repeats", "seed"} - record.keys():
        raise KeyError(*missing)
    made = job_of({"data": record["data"], **record["set"]}, label) if "set" in record else None
    words = [
        *(made.key.split("-")[:-1] if made else [WHOLE]),
        "on",
        record["network"],
        record["protocol"]["name"],
    ]
    return ComparisonJob(_key(words, record), EVALUATE if made else WHOLE, dict(record), made=made)


def _deciding(record: Mapping[str, Any]) -> dict[str, Any]:
    """What of a set's record decides the set. Raises KeyError if something is missing."""
    own = {name: record[name] for name in _OF_A_SET}
    return {**own, GIVEN: record[GIVEN]} if GIVEN in record else own


def _budget(ipc: int | list[int]) -> str:
    """In words that tell budgets apart: the class of each number is its place."""
    if isinstance(ipc, int):
        return per_class(ipc)
    each = " ".join(map(str, ipc))
    return (
        each + " per class"
        if len(each) <= _LONGEST
        else f"{each[:_LONGEST]} ... per class, {sum(ipc):,} in all"
    )


def _planned_set(
    plan: Plan, entry: Entry, ipc: int | Counts, network: str | None, seed: int
) -> ComparisonJob:
    steps = plan.steps(entry, ipc)
    budget = ipc if isinstance(ipc, int) else list(ipc)
    values = (plan.data, entry.method, entry.fields, budget, network, seed, steps)
    record: dict[str, Any] = dict(zip(_OF_A_SET, values, strict=True))
    if at := [step for step in plan.evaluate_at if step <= (steps or -1)]:
        record[ON_THE_WAY] = {"steps": at, "protocol": plan.protocol, "repeats": plan.repeats}
    return job_of(record, entry.label)


def _planned_cell(plan: Plan, made: ComparisonJob, network: str) -> ComparisonJob:
    one_each = made.record["method"] == "random" and not made.given and len(plan.seeds) == 1
    record = {
        "data": plan.data,
        "set": {name: value for name, value in _deciding(made.record).items() if name != "data"},
        "network": network,
        "protocol": plan.protocol,
        "repeats": 1 if one_each else plan.repeats,
        "seed": plan.evaluation_seed + made.record["seed"],
        **plan.evaluation,
    }
    return replace(job_of(record), made=made)


def _whole_cell(plan: Plan, network: str) -> ComparisonJob:
    """By default with at least the optimiser steps that a network gets on the largest set."""
    spec = ImageSpec.from_json(plan.spec)
    recipe = Protocol.from_json(plan.protocol).recipe(spec, resolve(network))
    equal = equal_epochs(recipe, plan.largest, plan.train_images)
    record = {
        "data": plan.data,
        "network": network,
        "protocol": plan.protocol,
        "repeats": plan.whole_repeats,
        "epochs": plan.whole_epochs or equal,
        "seed": plan.evaluation_seed,
    }
    return job_of(record)


def _key(words: list[str], record: Mapping[str, Any]) -> str:
    """Where the images lie is not part of it."""
    data = {name: record["data"][name] for name in ("fingerprint", "spec")}
    return key_of(words, {**record, "data": data}, _LONGEST)
