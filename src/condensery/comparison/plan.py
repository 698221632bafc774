"""What is compared: methods, selectors and finished sets, on what images, and how they are judged."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any

from condensery.budgets import Counts, average, frozen, in_record
from condensery.data.sources import absolute_source
from condensery.method import images_per_class
from condensery.methods import METHODS, get_method
from condensery.records import ImageData

_NO_OPTIONS = {
    "soft_labels": None,
    "augmentation_robustness": False,
}  # which keys have held from the beginning


@dataclass(frozen=True)
class Entry:
    """A method or selector with its settings, as it is compared.

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
    def uses_network(self) -> bool:
        """Whether the architecture matters: to all but random selection."""
        return self.method != "random"


@dataclass(frozen=True)
class Given:
    """A finished set, as it is compared.

    Attributes:
        label: what tables call it; unique in a comparison.
        file: the set's file or run folder, absolute; decides nothing.
        record: how it was made, as far as that is known, in the form of a job's record; and under `jobs.GIVEN` the
            SHA-256 of what a network is trained on, with what its images and labels stand for.
        images: that networks are trained on.
    """

    label: str
    file: str
    record: dict[str, Any]
    images: int


@dataclass(frozen=True)
class Plan:
    """What is compared, how, and on what: arguments of `condensery.compare`, checked, and facts of the images.

    Every combination of entries, budgets, condense_with, networks and seeds is a cell; and every given set with every
    network. A budget is the images per class, one number for all or one for each.

    Attributes:
        source, options, fingerprint, spec, train_images: of the images that were loaded.
        protocol: how networks are trained, see `Protocol.to_json`.
        evaluation: further options of `condensery.evaluate` as plain values, for every set.
    """

    source: str
    options: dict[str, Any]
    fingerprint: str
    spec: dict[str, Any]
    train_images: int
    entries: tuple[Entry, ...]
    budgets: tuple[int | Counts, ...]
    condense_with: tuple[str, ...]
    networks: tuple[str, ...]
    seeds: tuple[int, ...]
    protocol: dict[str, Any]
    repeats: int
    evaluation: dict[str, Any] = field(default_factory=lambda: dict(_NO_OPTIONS))
    scale: float | None = None
    whole: bool = True
    whole_epochs: int | None = None
    whole_repeats: int = 1
    evaluation_seed: int = 0
    evaluate_at: tuple[int, ...] = ()
    given: tuple[Given, ...] = ()

    @staticmethod
    def on(images: ImageData, **asked: Any) -> Plan:
        """A plan on these images."""
        facts = {"options": images.options, "fingerprint": images.fingerprint, "spec": images.spec.to_json()}
        asked |= {"source": absolute_source(images.source), "train_images": len(images.train)}
        return Plan(**facts, **asked)

    def to_json(self) -> dict[str, Any]:
        """As comparison.json has it: entries as "contenders", options of evaluations among the others."""
        record = asdict(self)
        return {**record.pop("evaluation"), "contenders": record.pop("entries"), **record}

    @staticmethod
    def from_json(record: Mapping[str, Any]) -> Plan:
        """Inverse of `to_json`. Raises KeyError or TypeError if the record is not one of ours."""
        own = {f.name: record[f.name] for f in fields(Plan) if f.name in record}
        for name in ("budgets", "condense_with", "networks", "seeds", "evaluate_at"):
            own[name] = tuple(own.get(name, ()))
        others = {name: value for name, value in record.items() if name not in (*own, "contenders")}
        own["budgets"] = tuple(map(frozen, own["budgets"]))
        own["given"] = tuple(Given(**one) for one in own.get("given", ()))
        return Plan(**own, entries=tuple(Entry(**one) for one in record["contenders"]), evaluation=others)

    @property
    def data(self) -> dict[str, Any]:
        """What a job's record says of the images."""
        return {name: getattr(self, name) for name in ("source", "options", "fingerprint", "spec")}

    def steps(self, entry: Entry, ipc: int | Counts) -> int | None:
        """Updates of a set; None for selections."""
        if entry.method not in METHODS:
            return None
        published = get_method(entry.method, **entry.fields).steps(average(in_record(ipc, 1)))
        scaled = published if self.scale is None else max(1, round(published * self.scale))
        return scaled if entry.steps is None else entry.steps

    def seeds_of(self, entry: Entry) -> tuple[int, ...]:
        """Seeds of its sets. Where one is asked for, each network gets random images of its own, as in `evaluate`:
        their spread is then that between selections too.
        """
        first = self.seeds[0]
        alone = entry.method == "random" and len(self.seeds) == 1
        return tuple(range(first, first + self.repeats)) if alone else self.seeds

    @property
    def largest(self) -> int:
        """Images that networks are trained on in the largest set."""
        stored = max(sum(in_record(ipc, len(self.spec["class_names"]))) for ipc in self.budgets)
        made = (images_per_class(one.fields, stored) for one in self.entries)
        return max([*made, *(one.images for one in self.given)])
