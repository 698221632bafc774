"""From the files of a comparison to the rows of a table: seeds together, a row for each kind of labels."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from condensery.comparison.by_hand import commands
from condensery.comparison.entries import all_fields
from condensery.comparison.folder import CELLS, MADE, SETS, Folder, damaged, read_document
from condensery.comparison.jobs import EVALUATE, Job, set_job
from condensery.errors import BadInput
from condensery.gathering import honest
from condensery.gathering.measuring import distinct_names, published_steps
from condensery.published import lookup
from condensery.report.contents import RANDOM, WHOLE, HonestScores, Measurement, Published

_CELL = ("data", "time", "hardware", "versions", "commit")
_SCORE = ("labels", "augmentation", "accuracies", "images", "bytes", "epochs", "seconds")
_JOB = ("data", "network", "protocol", "repeats", "seed")


# ---- jobs that are done


def done_sets(folder: Folder) -> list[Job]:
    """Every set of a folder, whichever command it came from, once for each of its labels, as they were asked for.

    Those that no command is known for come last. A label that stood for other settings in another command gets what
    differs to its name. Nothing is imported that a file names. Raises BadFile if a file is damaged.
    """
    found = {}
    for file in sorted((folder.path / SETS).glob(f"*/{MADE}")):
        made = _set_of(read_document(file).get("record"), file)
        found[made.key] = made
    for file in sorted(
        (folder.path / CELLS).glob("*.json")
    ):  # sets whose folder is gone are known by their cells
        record = read_document(file).get("record", {})
        if "set" in record:
            made = _set_of({"data": record.get("data"), **record["set"]}, file)
            found.setdefault(made.key, made)
    asked = folder.asked()
    labels = {key: names for key, names in (asked.labels if asked else {}).items() if key in found}
    others = sorted(found.keys() - labels.keys(), key=lambda key: (found[key].record["ipc"], key))
    labels |= {key: [found[key].label] for key in others}
    labelled = [
        replace(found[key], label=label)
        for key, names in labels.items()
        # Random images are called so whatever their label, as older versions let them have others.
        for label in ([RANDOM] if found[key].record["method"] == RANDOM else names)
    ]
    kinds = {(one.label, one.record["ipc"], json.dumps(_settings(one))): _settings(one) for one in labelled}
    names = distinct_names([((label, ipc), settings) for (label, ipc, _), settings in kinds.items()])
    name = dict(zip(kinds, names, strict=True))
    return [
        replace(one, label=name[one.label, one.record["ipc"], json.dumps(_settings(one))]) for one in labelled
    ]


def done_cells(folder: Folder, sets: Sequence[Job]) -> list[Job]:
    """Every cell of a folder: set by set, the whole training set last. Raises BadFile if a file is damaged."""
    asked = folder.asked()
    known = asked.plan.networks if asked else ()
    cells: dict[str | None, list[Job]] = {}
    for file in sorted((folder.path / CELLS).glob("*.json")):
        document = read_document(file)
        try:
            record = document["record"]
            for there, names in (
                (document, _CELL),
                (record, _JOB),
                *((s, _SCORE) for s in document["scores"]),
            ):
                for name in names:
                    there[name]
        except (KeyError, TypeError) as error:
            raise damaged(file) from error
        made = _set_of({"data": record["data"], **record["set"]}, file).key if "set" in record else None
        cells.setdefault(made, []).append(Job(file.stem, EVALUATE if made else WHOLE, record))
    for some in cells.values():
        some.sort(key=lambda cell: _place(cell.record["network"], known))
    of_sets = [replace(cell, made=made) for made in sets for cell in cells.get(made.key, ())]
    return [*of_sets, *cells.get(None, ())]


def _set_of(record: Any, file: Any) -> Job:
    """The set of a record, called as its method. Raises BadFile if the record is none of ours."""
    try:
        return set_job(record, str(record["method"]))
    except (KeyError, TypeError, ValueError) as error:
        raise damaged(file) from error


def _settings(made: Job) -> dict[str, Any]:
    """What sets of one label can be told apart by."""
    record = made.record
    method = {} if record["method"] == made.label else {"method": record["method"]}
    steps = {} if record["steps"] is None else {"steps": record["steps"]}
    return {**method, **record["fields"], **steps}


def _place(network: str, known: Sequence[str]) -> tuple[int, str]:
    return (known.index(network) if network in known else len(known), network)


# ---- their rows


@dataclass(frozen=True)
class _Kind:
    """What the scores of a row share. `subject` is a label; `whole` has neither ipc nor network of its own."""

    subject: str
    ipc: int | None
    condensed_with: str | None
    network: str
    protocol: str  # JSON
    labels: str
    augmentation: str
    epochs: int


_Score = tuple[Job, dict[str, Any], dict[str, Any]]  # cell, its document, the score of the kind
_Found = dict[tuple[str, int], _Score]  # by set and seed of the networks


def measurements(
    cells: Sequence[Job], folder: Folder, threads: int | None
) -> tuple[tuple[Measurement, ...], tuple[HonestScores, ...]]:
    """What cells give as far as they are done, budget by budget, and the scores that follow.

    Networks of one set and seed that several cells trained are counted once.
    """
    there = [(cell, document) for cell in cells if (document := folder.document(cell))]
    names = _names_of_labels(there)
    kinds: dict[_Kind, _Found] = {}
    for cell, document in there:
        for score in document["scores"]:
            group = kinds.setdefault(_kind(cell, score, names), {})
            key = (cell.made.key if cell.made else WHOLE, cell.record["seed"])
            # Longer lists of networks begin with the shorter ones, so the longest is all of them.
            if key not in group or _networks(score) > _networks(group[key][2]):
                group[key] = (cell, document, score)
    made = [_measurement(kind, kinds[kind], folder, threads) for kind in sorted(kinds, key=_order)]
    # Without augmentation is only there for the score about it.
    return tuple(one for one in made if one.augmentation == "protocol"), honest(made)


def _order(kind: _Kind) -> tuple[bool, int]:
    """The whole set comes last; of several trainings on it the longest."""
    return kind.ipc is None, kind.epochs if kind.ipc is None else kind.ipc


def _networks(score: Mapping[str, Any]) -> int:
    return sum(map(len, score["accuracies"]))


_NameOfLabels = dict[tuple[str, str], str]


def _names_of_labels(there: Sequence[tuple[Job, dict[str, Any]]]) -> _NameOfLabels:
    """What labels other than hard ones are called: by what differs where there are several of a kind."""
    kinds = {
        (score["labels"], json.dumps(settings, sort_keys=True)): settings
        for cell, document in there
        for score in document["scores"]
        if (settings := _settings_of_labels(cell, score["labels"])) is not None
    }
    names = distinct_names([((labels, None), settings) for (labels, _), settings in kinds.items()])
    return dict(zip(kinds, names, strict=True))


def _settings_of_labels(cell: Job, labels: str) -> dict[str, Any] | None:
    """Those options of an evaluation that have settings, together; None for hard labels."""
    settings = [value for value in cell.evaluation.values() if isinstance(value, dict)]
    return None if labels == "hard" else {key: value for one in settings for key, value in one.items()}


def _kind(cell: Job, score: Mapping[str, Any], names: _NameOfLabels) -> _Kind:
    made = cell.made
    labels = (str(score["labels"]), json.dumps(_settings_of_labels(cell, score["labels"]), sort_keys=True))
    return _Kind(
        subject=made.label if made else WHOLE,
        ipc=made.record["ipc"] if made else None,
        condensed_with=made.record["network"] if made else None,
        network=cell.record["network"],
        protocol=json.dumps(cell.record["protocol"], sort_keys=True),
        labels=names.get(labels, labels[0]),
        augmentation=score["augmentation"],
        epochs=score["epochs"],
    )


def _measurement(kind: _Kind, group: _Found, folder: Folder, threads: int | None) -> Measurement:
    found = list(group.values())
    (cell, first, score), made = found[0], found[0][0].made
    sets = {other.made.key: other.made for other, _, _ in found if other.made}
    facts = [document for one in sets.values() if (document := folder.document(one))]
    rows: dict[str, tuple[float, ...]] = {}  # one for each set: the networks of all seeds
    for (one, _), (_, _, of_one) in group.items():
        rows[one] = (*rows.get(one, ()), *(value for row in of_one["accuracies"] for value in row))
    record = made.record if made else {}
    return Measurement(
        data=first["data"],
        subject=kind.subject,
        ipc=kind.ipc,
        condensed_with=kind.condensed_with,
        network=kind.network,
        protocol=cell.record["protocol"]["name"],
        labels=kind.labels,
        augmentation=kind.augmentation,
        accuracies=tuple(rows.values()),
        images=score["images"],
        bytes=score["bytes"],
        epochs=kind.epochs,
        steps=record.get("steps"),
        published_steps=published_steps(record["method"], record["fields"], kind.ipc) if made else None,
        make_seconds=tuple(document["seconds"] or 0.0 for document in facts),
        evaluate_seconds=sum(of_one["seconds"] for _, _, of_one in found),
        memory=max((document["memory"] for document in facts if document["memory"]), default=None),
        published=_published(first["data"], cell) if kind.labels == "hard" else None,
        commands=tuple(dict.fromkeys(line for other, _, _ in found for line in commands(other, threads))),
        record={
            "cells": [other.key for other, _, _ in found],
            "seeds": [one.record["seed"] for one in sets.values()],
            "method": record.get("method"),
            "fields": record.get("fields"),
            "fingerprint": cell.record["data"]["fingerprint"],
            **{name: first[name] for name in ("time", "hardware", "versions", "commit")},
        },
    )


def _published(data: str, cell: Job) -> Published | None:
    """The paper's value; none for a second setting of a method, which is about something else."""
    network = cell.record["network"]
    try:
        if cell.made is None:
            return lookup(data, WHOLE, None, network)
        made = cell.made.record
        if cell.made.label != made["method"] and made["fields"] != all_fields(made["method"]):
            return None
        return lookup(data, made["method"], made["ipc"], network, made["network"])
    except BadInput:  # a network or a method that is not there any more
        return None
