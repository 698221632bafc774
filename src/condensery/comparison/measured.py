"""The cells of a comparison as measurements: seeds together, a measurement for each kind of labels."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from condensery.comparison.commands import commands
from condensery.comparison.contenders import all_fields
from condensery.comparison.plan import Cell, SetJob
from condensery.comparison.store import Store
from condensery.errors import BadInput
from condensery.published import lookup
from condensery.report.contents import WHOLE, Measurement, Published
from condensery.report.measurements import distinct_names, published_steps, with_scores


@dataclass(frozen=True)
class _Kind:
    """What the scores of a measurement share. `subject` is a label; `whole` has neither ipc nor network of its own."""

    subject: str
    ipc: int | None
    condensed_with: str | None
    network: str
    protocol: str  # JSON
    labels: str
    augmentation: str
    epochs: int


_Score = tuple[Cell, dict[str, Any], dict[str, Any]]  # cell, its document, the score of the kind
_Found = dict[tuple[str, int], _Score]  # by set and seed of the networks


def measured(found: Sequence[Cell], store: Store, threads: int | None) -> tuple[Measurement, ...]:
    """What cells give as far as they are in `store`, budget by budget, with the scores that follow.

    Networks of one set and seed that several cells trained are counted once.
    """
    there = [(cell, document) for cell in found if (document := store.document(cell))]
    labels = _labels([cell for cell, _ in there])
    kinds: dict[_Kind, _Found] = {}
    for cell, document in there:
        for score in document["scores"]:
            _add(kinds.setdefault(_kind(cell, score, labels), {}), (cell, document, score))
    made = [_measurement(kind, kinds[kind], store, threads) for kind in sorted(kinds, key=_place)]
    # Without augmentation is only there for the score about it.
    return tuple(one for one in with_scores(made) if one.augmentation == "protocol")


def _place(kind: _Kind) -> tuple[bool, int]:
    """The whole set comes last; of several trainings on it the longest."""
    return kind.ipc is None, kind.epochs if kind.ipc is None else kind.ipc


def _add(group: _Found, one: _Score) -> None:
    """Longer lists of networks begin with the shorter ones, so the longest is all of them."""
    cell, _, score = one
    key = (cell.made.key if cell.made else WHOLE, cell.record["seed"])
    if key not in group or _networks(score) > _networks(group[key][2]):
        group[key] = one


def _networks(score: Mapping[str, Any]) -> int:
    return sum(map(len, score["accuracies"]))


def _labels(found: Sequence[Cell]) -> dict[str, str]:
    """What the soft labels of cells are called, by their settings: by what differs where there are several teachers."""
    settings = {_soft(cell): cell.record["soft_labels"] for cell in found if cell.record.get("soft_labels")}
    names = distinct_names([(("soft", None), one) for one in settings.values()])
    return dict(zip(settings, names, strict=True))


def _soft(cell: Cell) -> str:
    return json.dumps(cell.record.get("soft_labels"), sort_keys=True)


def _kind(cell: Cell, score: Mapping[str, Any], labels: Mapping[str, str]) -> _Kind:
    made = cell.made
    return _Kind(
        subject=made.contender.label if made else WHOLE,
        ipc=made.ipc if made else None,
        condensed_with=made.condensed_with if made else None,
        network=cell.network,
        protocol=json.dumps(cell.record["protocol"], sort_keys=True),
        labels=labels[_soft(cell)] if score["labels"] == "soft" else score["labels"],
        augmentation=score["augmentation"],
        epochs=score["epochs"],
    )


def _measurement(kind: _Kind, group: _Found, store: Store, threads: int | None) -> Measurement:
    found = list(group.values())
    (cell, first, score), made = found[0], found[0][0].made
    sets = {other.made.key: other.made for other, _, _ in found if other.made}
    facts = [document for one in sets.values() if (document := store.document(one))]
    return Measurement(
        data=first["data"],
        subject=kind.subject,
        ipc=kind.ipc,
        condensed_with=kind.condensed_with,
        network=kind.network,
        protocol=cell.record["protocol"]["name"],
        labels=kind.labels,
        augmentation=kind.augmentation,
        accuracies=_rows(group),
        images=score["images"],
        bytes=score["bytes"],
        epochs=kind.epochs,
        steps=made.record["steps"] if made else None,
        published_steps=_published_steps(made) if made else None,
        make_seconds=tuple(document["seconds"] or 0.0 for document in facts),
        evaluate_seconds=sum(score["seconds"] for _, _, score in found),
        memory=max((document["memory"] for document in facts if document["memory"]), default=None),
        published=_published(first["data"], cell) if kind.labels == "hard" else None,
        commands=tuple(dict.fromkeys(line for other, _, _ in found for line in commands(other, threads))),
        record={
            "cells": [other.key for other, _, _ in found],
            "seeds": [one.seed for one in sets.values()],
            "method": made.contender.method if made else None,
            "fields": made.contender.fields if made else None,
            "fingerprint": cell.record["data"]["fingerprint"],
            **{name: first[name] for name in ("time", "hardware", "versions", "commit")},
        },
    )


def _rows(group: _Found) -> tuple[tuple[float, ...], ...]:
    """A row for each set: the networks of all seeds."""
    joined: dict[str, tuple[float, ...]] = {}
    for (one, _), (_, _, score) in group.items():
        joined[one] = (*joined.get(one, ()), *(value for row in score["accuracies"] for value in row))
    return tuple(joined.values())


def _published_steps(made: SetJob) -> int | None:
    contender = made.contender
    return published_steps(contender.method, contender.fields, made.ipc) if contender.condenses else None


def _published(data: str, cell: Cell) -> Published | None:
    """The paper's value; none for a second setting of a method, which is about something else."""
    made = cell.made
    try:
        if made is None:
            return lookup(data, WHOLE, None, cell.network)
        contender = made.contender
        if contender.label != contender.method and contender.fields != all_fields(contender.method):
            return None
        return lookup(data, contender.method, made.ipc, cell.network, made.condensed_with)
    except BadInput:  # a network or a method that is not there any more
        return None
