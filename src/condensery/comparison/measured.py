"""The cells of a comparison as measurements: seeds together, a measurement for each kind of labels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from condensery.comparison.commands import commands
from condensery.comparison.contenders import all_fields
from condensery.comparison.plan import Cell, Plan, cells
from condensery.comparison.store import Store
from condensery.evaluation.honest import (
    augmentation_robust_score,
    hard_label_recovery,
    improvement_over_random,
    label_robust_score,
)
from condensery.published import lookup
from condensery.report.contents import WHOLE, Measurement, Published


@dataclass(frozen=True)
class _Kind:
    """What the scores of a measurement share. `subject` is a label; `whole` has neither ipc nor network of its own."""

    subject: str
    ipc: int | None
    condensed_with: str | None
    network: str
    labels: str
    augmentation: str


_Found = list[tuple[Cell, dict[str, Any], dict[str, Any]]]  # cell, its document, the score of the kind


def measured(plan: Plan, store: Store, threads: int | None) -> tuple[Measurement, ...]:
    """What the cells of `plan` in `store` give, in the order of the plan."""
    kinds: dict[_Kind, _Found] = {}
    for cell in cells(plan):
        document = store.document(cell)
        for score in document["scores"] if document else ():
            kinds.setdefault(_kind(cell, score), []).append((cell, document or {}, score))
    found = {kind: _measurement(plan, store, group, threads) for kind, group in kinds.items()}
    accuracies = {kind: one.mean for kind, one in found.items()}
    floors = [contender.label for contender in plan.contenders if contender.method == "random"]
    return tuple(
        replace(one, record={**one.record, "scores": _honest(kind, accuracies, floors)})
        for kind, one in found.items()
        if kind.augmentation == "protocol"  # without it is only there for the score about it
    )


def _kind(cell: Cell, score: Mapping[str, Any]) -> _Kind:
    made = cell.made
    return _Kind(
        subject=made.contender.label if made else WHOLE,
        ipc=made.ipc if made else None,
        condensed_with=made.condensed_with if made else None,
        network=cell.network,
        labels=score["labels"],
        augmentation=score["augmentation"],
    )


def _measurement(plan: Plan, store: Store, found: _Found, threads: int | None) -> Measurement:
    (cell, first, score), made = found[0], found[0][0].made
    kind = _kind(cell, score)
    facts = [document for other, _, _ in found if other.made and (document := store.document(other.made))]
    return Measurement(
        data=first["data"],
        subject=kind.subject,
        ipc=kind.ipc,
        condensed_with=kind.condensed_with,
        network=kind.network,
        protocol=plan.protocol["name"],
        labels=kind.labels,
        accuracies=tuple(tuple(row) for _, _, score in found for row in score["accuracies"]),
        images=score["images"],
        bytes=score["bytes"],
        epochs=score["epochs"],
        steps=made.record["steps"] if made else None,
        published_steps=made.contender.published_steps(made.ipc) if made else None,
        make_seconds=tuple(document["seconds"] or 0.0 for document in facts),
        evaluate_seconds=sum(score["seconds"] for _, _, score in found),
        memory=max((document["memory"] for document in facts if document["memory"]), default=None),
        published=_published(first["data"], cell) if kind.labels == "hard" else None,
        commands=tuple(line for other, _, _ in found for line in commands(plan, other, threads)),
        record={
            "cells": [other.key for other, _, _ in found],
            "seeds": [other.made.seed for other, _, _ in found if other.made],
            "method": made.contender.method if made else None,
            "fields": made.contender.fields if made else None,
            "fingerprint": plan.fingerprint,
            **{name: first[name] for name in ("time", "hardware", "versions", "commit")},
        },
    )


def _published(data: str, cell: Cell) -> Published | None:
    """The paper's value; none for a second setting of a method, which is about something else."""
    made = cell.made
    if made is None:
        return lookup(data, WHOLE, None, cell.network)
    contender = made.contender
    if contender.label != contender.method and contender.fields != all_fields(contender.method):
        return None
    return lookup(data, contender.method, made.ipc, cell.network, made.condensed_with)


def _honest(kind: _Kind, accuracies: Mapping[_Kind, float], floors: Sequence[str]) -> dict[str, float]:
    """What the accuracy comes to beside random images and the whole set; only what can be computed."""
    if kind.subject == WHOLE or kind.subject in floors or kind not in accuracies:
        return {}
    scores: dict[str, float] = {}
    whole = accuracies.get(_Kind(WHOLE, None, None, kind.network, "hard", "protocol"))
    hard = accuracies.get(replace(kind, labels="hard"))
    if whole is not None and hard is not None:
        scores["hard_label_recovery"] = hard_label_recovery(whole, hard)
    gains = {
        how: improvement_over_random(accuracies[ours], accuracies[floor])
        for how in ("protocol", "none")
        for label in floors[:1]
        if (ours := replace(kind, augmentation=how)) in accuracies
        and (floor := replace(ours, subject=label, condensed_with=None)) in accuracies
    }
    if "protocol" in gains:
        scores["improvement_over_random"] = gains["protocol"]
    if "protocol" in gains and "hard_label_recovery" in scores:
        scores["label_robust_score"] = label_robust_score(gains["protocol"], scores["hard_label_recovery"])
    if len(gains) == 2:
        scores["augmentation_robust_score"] = augmentation_robust_score(gains["protocol"], gains["none"])
    return scores
