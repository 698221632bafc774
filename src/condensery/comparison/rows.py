"""From the files of a comparison to the rows of a table: seeds together, a row for each kind of labels."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from condensery.comparison.by_hand import commands
from condensery.comparison.entries import all_fields
from condensery.comparison.folder import CELLS, MADE, SETS, Folder, damaged, read_document
from condensery.comparison.jobs import EVALUATE, Job, set_job
from condensery.errors import BadInput
from condensery.evaluation.scores import OWN
from condensery.published import lookup
from condensery.report.contents import RANDOM, WHOLE, Measurement, Published
from condensery.report.measurements import distinct_names, published_steps, with_scores

_ORIGIN = ("time", "hardware", "versions", "commit")
_SCORE = ("labels", "augmentation", "accuracies", "images", "bytes", "epochs", "seconds")
_CELL = ("data", "network", "protocol", "repeats", "seed")


# ---- the jobs that are done


def done(folder: Folder) -> tuple[list[Job], list[Job]]:
    """Sets and cells of all commands that worked in a folder, in the order in which they were asked for.

    A set with several labels is there under each, its cells too. Nothing is imported that a file names.

    Raises:
        BadInput: nothing is done yet, or a file is damaged.
    """
    asked = folder.asked()
    known = asked.plan.networks if asked else ()
    made = [_set_of(read_document(file), file) for file in sorted((folder.path / SETS).glob(f"*/{MADE}"))]
    cells = [_cell_of(file) for file in sorted((folder.path / CELLS).glob("*.json"))]
    if not made and not cells:
        raise BadInput(f"{folder.path} holds a comparison in which nothing is done yet: let it run first")
    sets = _labelled([*made, *(cell.made for cell in cells if cell.made)], asked.labels if asked else {})
    cells.sort(key=lambda cell: _place(cell.record["network"], known))
    of_sets = [
        replace(cell, made=one) for one in sets for cell in cells if cell.made and cell.made.key == one.key
    ]
    whole = [cell for cell in cells if cell.made is None]
    return [one for one in sets if folder.is_done(one)], [*of_sets, *whole]


def _set_of(document: Mapping[str, Any], file: Path) -> Job:
    """A set, called as its method. Raises BadFile if the document is none of ours."""
    try:
        return set_job(document["record"], document["record"]["method"])
    except (KeyError, TypeError, ValueError) as error:
        raise damaged(file) from error


def _cell_of(file: Path) -> Job:
    """A cell, its set called as its method. Raises BadFile if the document is none of ours."""
    document = read_document(file)
    try:
        record, scores = document["record"], document["scores"]
        for there, names in ((document, ("data", *_ORIGIN)), (record, _CELL), *((s, _SCORE) for s in scores)):
            for name in names:
                there[name]
        of_set = {"data": record["data"], **record["set"]} if "set" in record else None
    except (KeyError, TypeError) as error:
        raise damaged(file) from error
    made = _set_of({"record": of_set}, file) if of_set else None
    return Job(file.stem, EVALUATE if made else WHOLE, record, made=made)


def _place(network: str, known: Sequence[str]) -> tuple[int, str]:
    return (known.index(network) if network in known else len(known), network)


def _labelled(made: Iterable[Job], labels: Mapping[str, Sequence[str]]) -> list[Job]:
    """Each set once for each of its labels, as asked for; those that no command is known for come last.

    A label that stood for other settings in another command gets what differs to its name.
    """
    known = {one.key: one for one in made}
    others = sorted(known.keys() - labels.keys(), key=lambda key: (known[key].record["ipc"], key))
    found: list[tuple[Job, tuple[str, int, str]]] = []
    kinds: dict[tuple[str, int, str], dict[str, Any]] = {}
    for one in (known[key] for key in (*labels, *others) if key in known):
        record = one.record
        # Random images are called so whatever their label, as older versions let them have others.
        for label in [RANDOM] if record["method"] == RANDOM else labels.get(one.key, [one.label]):
            method = {} if record["method"] == label else {"method": record["method"]}
            steps = {} if record["steps"] is None else {"steps": record["steps"]}
            settings = {**method, **record["fields"], **steps}
            kind = (label, record["ipc"], _json(settings))
            kinds[kind] = settings
            found.append((one, kind))
    names = distinct_names([((label, ipc), settings) for (label, ipc, _), settings in kinds.items()])
    name = dict(zip(kinds, names, strict=True))
    return [replace(one, label=name[kind]) for one, kind in found]


# ---- their rows


def measurements(cells: Iterable[Job], folder: Folder, threads: int | None) -> tuple[Measurement, ...]:
    """What cells give as far as they are done, budget by budget, with the scores that follow.

    Networks of one set and seed that several cells trained are counted once.
    """
    there = [(cell, document) for cell in cells if (document := folder.document(cell))]
    names = _names_of_labels(there)
    rows: dict[tuple[object, ...], dict[tuple[str, int], Measurement]] = {}
    for cell, document in there:
        for score in document["scores"]:
            one = _measurement(cell, document, score, names, folder, threads)
            kind = (one.subject, one.ipc, one.condensed_with, one.network, _json(cell.record["protocol"]))
            row = rows.setdefault((*kind, one.protocol, one.labels, one.augmentation, one.epochs), {})
            place = (cell.made.key if cell.made else WHOLE, cell.record["seed"])
            # Longer lists of networks begin with the shorter ones, so the longest is all of them.
            if place not in row or one.n > row[place].n:
                row[place] = one
    # The whole set comes last; of several trainings on it the longest.
    found = sorted(map(_together, rows.values()), key=lambda m: (m.ipc is None, m.ipc or m.epochs))
    # Without augmentation is only there for the score about it.
    return tuple(one for one in with_scores(found) if one.augmentation == "protocol")


def _together(row: Mapping[tuple[str, int], Measurement]) -> Measurement:
    """Measurements by set and seed of the networks as one."""
    sets: dict[str, list[Measurement]] = {}
    for (made, _), one in row.items():
        sets.setdefault(made, []).append(one)
    all_of_them, firsts = list(row.values()), [some[0] for some in sets.values()]
    return replace(
        all_of_them[0],
        accuracies=tuple(
            tuple(value for one in some for value in one.accuracies[0]) for some in sets.values()
        ),
        make_seconds=tuple(seconds for one in firsts for seconds in one.make_seconds),
        evaluate_seconds=sum(one.evaluate_seconds for one in all_of_them),
        memory=max((one.memory for one in firsts if one.memory), default=None),
        commands=tuple(dict.fromkeys(line for one in all_of_them for line in one.commands)),
        record={
            **all_of_them[0].record,
            "cells": [key for one in all_of_them for key in one.record["cells"]],
            "seeds": [seed for one in firsts for seed in one.record["seeds"]],
        },
    )


def _measurement(
    cell: Job,
    document: Mapping[str, Any],
    score: Mapping[str, Any],
    names: Mapping[tuple[str, str], str],
    folder: Folder,
    threads: int | None,
) -> Measurement:
    """One score of a cell."""
    made, of_set = cell.made, (cell.made.record if cell.made else {})
    making = (folder.document(made) if made else None) or {}
    labels = str(score["labels"])
    return Measurement(
        data=document["data"],
        subject=made.label if made else WHOLE,
        ipc=of_set.get("ipc"),
        condensed_with=of_set.get("network"),
        network=cell.record["network"],
        protocol=OWN if score.get("recipe") == OWN else cell.record["protocol"]["name"],
        labels=names.get((labels, _json(_settings(cell))), labels),
        augmentation=score["augmentation"],
        accuracies=(tuple(value for row in score["accuracies"] for value in row),),
        images=score["images"],
        bytes=score["bytes"],
        stored_images=score.get("stored_images"),
        epochs=score["epochs"],
        steps=of_set.get("steps"),
        published_steps=published_steps(of_set["method"], of_set["fields"], of_set["ipc"]) if made else None,
        make_seconds=(making["seconds"] or 0.0,) if making else (),
        evaluate_seconds=score["seconds"],
        memory=making.get("memory"),
        published=_published(document["data"], cell) if labels == "hard" else None,
        commands=tuple(commands(cell, threads)),
        record={
            "cells": [cell.key],
            "seeds": [of_set["seed"]] if made else [],
            "method": of_set.get("method"),
            "fields": of_set.get("fields"),
            "fingerprint": cell.record["data"]["fingerprint"],
            **{name: document[name] for name in _ORIGIN},
        },
    )


def _names_of_labels(there: Iterable[tuple[Job, Mapping[str, Any]]]) -> dict[tuple[str, str], str]:
    """What labels other than hard ones are called: by what differs where there are several of a kind."""
    kinds = {
        (str(score["labels"]), _json(_settings(cell))): _settings(cell)
        for cell, document in there
        for score in document["scores"]
        if score["labels"] != "hard"
    }
    names = distinct_names([((labels, None), settings) for (labels, _), settings in kinds.items()])
    return dict(zip(kinds, names, strict=True))


def _settings(cell: Job) -> dict[str, Any]:
    """Of labels: those options of an evaluation that have settings, together."""
    options = (value for value in cell.evaluation.values() if isinstance(value, dict))
    return {name: value for option in options for name, value in option.items()}


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


def _json(value: Any) -> str:
    return json.dumps(value, sort_keys=True)
