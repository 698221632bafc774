"""What a comparison consists of: its sets, its cells, and the key of each.

A key ends in a hash of everything that decides the result (data, method and fields, budget, networks, seed, updates,
protocol, repeats). So a cell has one key in every comparison that holds it, and two that could differ have two.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from condensery.comparison.protocol_record import protocol_from
from condensery.evaluation import Protocol
from condensery.evaluation.scoring import equal_epochs
from condensery.methods import METHODS, get_method
from condensery.models.registry import resolve
from condensery.records import ImageSpec
from condensery.report.contents import WHOLE

ON_THE_WAY = "on_the_way"  # in the record of a set's job: evaluations that change nothing of the set
_HASH = 10  # hex digits
_LONGEST = 48  # characters of a network's name in a key


@dataclass(frozen=True)
class Contender:
    """A method or selector with its settings.

    Attributes:
        label: what tables call it; unique in a comparison, so that two settings of one method can meet.
        method: name in `METHODS` or `SELECTORS`.
        fields: every field of it.
        steps: updates of a set; None for as many as published (times the plan's scale), and for selectors.
    """

    label: str
    method: str
    fields: dict[str, Any] = field(default_factory=dict)
    steps: int | None = None

    @property
    def condenses(self) -> bool:
        """Whether it makes images, rather than selecting real ones."""
        return self.method in METHODS

    @property
    def uses_network(self) -> bool:
        """Whether the architecture matters: to all but random selection."""
        return self.method != "random"

    def published_steps(self, ipc: int) -> int | None:
        return get_method(self.method, **self.fields).steps(ipc) if self.condenses else None


@dataclass(frozen=True)
class Plan:
    """What is compared, how, and on what.

    Attributes:
        source, options: for `condensery.data.load`.
        fingerprint, spec: of the images that were loaded.
        train_images: in the whole training set.
        contenders, budgets (images per class), condense_with (architectures to match with), networks
            (architectures to train and test), seeds (of the sets): every combination is a cell.
        protocol: how networks are trained, see `protocol_record`.
        repeats: networks for each set and architecture.
        scale: times the published number of updates; None for 1.
        whole, whole_epochs, whole_repeats: whether networks are trained on the whole training set too; None
            for as many optimiser steps as on the largest set.
        soft_labels: fields of a `SoftLabels`; None for hard labels alone.
        augmentation_robustness: whether networks are trained without augmentation too.
        evaluation_seed: a set with seed s is judged with seed evaluation_seed + s.
        evaluate_at: updates after which a set that is being made is evaluated, for its curve; no part of any key.
    """

    source: str
    options: dict[str, Any]
    fingerprint: str
    spec: dict[str, Any]
    train_images: int
    contenders: tuple[Contender, ...]
    budgets: tuple[int, ...]
    condense_with: tuple[str, ...]
    networks: tuple[str, ...]
    seeds: tuple[int, ...]
    protocol: dict[str, Any]
    repeats: int
    scale: float | None = None
    whole: bool = True
    whole_epochs: int | None = None
    whole_repeats: int = 1
    evaluation_seed: int = 0
    soft_labels: dict[str, Any] | None = None
    augmentation_robustness: bool = False
    evaluate_at: tuple[int, ...] = ()

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @staticmethod
    def from_json(record: Mapping[str, Any]) -> Plan:
        """Inverse of `to_json`. Raises KeyError or TypeError if the record is not one of ours."""
        plan = Plan(**record)
        contenders = tuple(Contender(**contender) for contender in record["contenders"])
        names = ("budgets", "condense_with", "networks", "seeds", "evaluate_at")
        return replace(plan, contenders=contenders, **{name: tuple(getattr(plan, name)) for name in names})

    @property
    def data(self) -> dict[str, Any]:
        """What a job's record says of the images."""
        return {
            "source": self.source,
            "options": self.options,
            "fingerprint": self.fingerprint,
            "spec": self.spec,
        }

    def steps(self, contender: Contender, ipc: int) -> int | None:
        """Updates of a set."""
        published = contender.published_steps(ipc)
        if published is None:
            return None
        if contender.steps is not None:
            return contender.steps
        return published if self.scale is None else max(1, round(published * self.scale))


@dataclass(frozen=True)
class SetJob:
    """A set to make.

    Attributes:
        key, record: of its job.
        contender, ipc, condensed_with, seed: which set.
    """

    key: str
    record: dict[str, Any]
    contender: Contender
    ipc: int
    condensed_with: str | None
    seed: int

    @property
    def row(self) -> str:
        """Name of the sets that differ from this one in the seed alone."""
        made_with = f", made with {self.condensed_with}" if self.condensed_with else ""
        return f"{self.contender.label}, {self.ipc} per class{made_with}"

    @property
    def name(self) -> str:
        """For people."""
        return f"{self.row}, seed {self.seed}"


@dataclass(frozen=True)
class Cell:
    """Networks of one architecture, to be trained on one set or on the whole training set, and tested.

    Attributes:
        key, record: of its job.
        network: the architecture.
        made: the set; None for the whole training set.
    """

    key: str
    record: dict[str, Any]
    network: str
    made: SetJob | None

    @property
    def kind(self) -> str:
        return "evaluate" if self.made else "whole"

    @property
    def row(self) -> str:
        """Name of the sets, or of the whole set."""
        return self.made.row if self.made else "whole set"

    @property
    def name(self) -> str:
        """For people."""
        return f"{self.made.name if self.made else self.row} on {self.network}"


def sets(plan: Plan) -> list[SetJob]:
    """Every set of the plan: budget by budget, contender by contender, architecture by architecture, seed by seed."""
    return [
        _set_job(plan, contender, ipc, network, seed)
        for ipc in plan.budgets
        for contender in plan.contenders
        for network in (plan.condense_with if contender.uses_network else (None,))
        for seed in plan.seeds
    ]


def cells(plan: Plan) -> list[Cell]:
    """Every cell of the plan in the order of its sets; those of the whole training set come last."""
    found = [_cell(plan, made, network) for made in sets(plan) for network in plan.networks]
    return found + ([_whole_cell(plan, network) for network in plan.networks] if plan.whole else [])


def _set_job(plan: Plan, contender: Contender, ipc: int, network: str | None, seed: int) -> SetJob:
    """One set, made from the images of the plan."""
    record = {
        "data": plan.data,
        "method": contender.method,
        "fields": contender.fields,
        "ipc": ipc,
        "network": network,
        "seed": seed,
        "steps": plan.steps(contender, ipc),
    }
    made = _of_record(record, contender)
    at = [step for step in plan.evaluate_at if step <= (record["steps"] or -1)]
    if not at:
        return made
    on_the_way = {"steps": at, "protocol": plan.protocol, "repeats": plan.repeats}
    return replace(made, record={**record, ON_THE_WAY: on_the_way})


def _of_record(record: dict[str, Any], contender: Contender) -> SetJob:
    ipc, network, seed = record["ipc"], record["network"], record["seed"]
    words = [contender.method, f"ipc{ipc}", *([network] if network else []), f"seed{seed}"]
    return SetJob(_key(words, record), record, contender, ipc, network, seed)


def set_of(record: Mapping[str, Any], label: str) -> SetJob:
    """The set of a job's record, as it was written down. Raises KeyError or TypeError if the record is none of ours."""
    names = ("data", "method", "fields", "ipc", "network", "seed", "steps")
    own = {name: record[name] for name in names}
    return _of_record(own, Contender(label, own["method"], dict(own["fields"]), own["steps"]))


def _cell(plan: Plan, made: SetJob, network: str) -> Cell:
    record = {
        "data": plan.data,
        "set": {name: value for name, value in made.record.items() if name not in ("data", ON_THE_WAY)},
        "network": network,
        "protocol": plan.protocol,
        "repeats": plan.repeats,
        "seed": plan.evaluation_seed + made.seed,
        "soft_labels": plan.soft_labels,
        "augmentation_robustness": plan.augmentation_robustness,
    }
    words = [*made.key.split("-")[:-1], "on", network, plan.protocol["name"]]
    return Cell(_key(words, record), record, network, made)


def _whole_cell(plan: Plan, network: str) -> Cell:
    record = {
        "data": plan.data,
        "network": network,
        "protocol": plan.protocol,
        "repeats": plan.whole_repeats,
        "epochs": plan.whole_epochs or _equal_epochs(plan, network),
        "seed": plan.evaluation_seed,
    }
    return Cell(_key([WHOLE, "on", network, plan.protocol["name"]], record), record, network, None)


def _equal_epochs(plan: Plan, network: str) -> int:
    """Epochs on the whole set with at least the optimiser steps that a network gets on the largest set."""
    protocol: Protocol = protocol_from(plan.protocol)
    spec = ImageSpec.from_json(plan.spec)
    recipe = protocol.recipe(spec, resolve(network))
    return equal_epochs(recipe, max(plan.budgets) * spec.num_classes, plan.train_images)


def _key(words: list[str], record: Mapping[str, Any]) -> str:
    """Readable words and a hash of what decides the result; where the images lie is not part of it."""
    deciding = {**record, "data": {name: record["data"][name] for name in ("fingerprint", "spec")}}
    text = json.dumps(deciding, sort_keys=True, separators=(",", ":"))
    digest = hashlib.sha256(text.encode()).hexdigest()[:_HASH]
    readable = (re.sub(r"[^\w.+=]+", "_", word)[:_LONGEST] for word in words)
    return "-".join([*readable, digest])
