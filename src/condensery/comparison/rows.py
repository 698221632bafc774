"""From the files of a comparison to the rows of a table: seeds together, a row for each kind of labels."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from condensery.budgets import frozen, mean
from condensery.comparison.by_hand import commands
from condensery.comparison.entries import all_fields
from condensery.comparison.folder import CELLS, MADE, SETS, Folder
from condensery.comparison.jobs import GIVEN, MAKE, ComparisonJob, job_of, options_of
from condensery.errors import BadInput
from condensery.evaluation.scores import EQUAL_BYTES
from condensery.jobs.folder import damaged, read_document
from condensery.report.contents import RANDOM, WHOLE, Measurement
from condensery.report.measurements import distinct_names, with_scores
from condensery.report.measurements import measurements as joined

_DIGITS = 10  # of the SHA-256 that tells two sets of one name apart
_ORIGIN = ("fingerprint", "time", "hardware", "versions", "commit")


# ---- the jobs that are done


def done(folder: Folder) -> tuple[list[ComparisonJob], list[ComparisonJob]]:
    """Sets and cells of all commands that worked in a folder, in the order in which they were asked for.

    A set with several labels is there under each, its cells too. Nothing is imported that a file names.

    Raises:
        BadInput: nothing is done yet, or a file is damaged.
    """
    asked = folder.asked()
    known = asked.plan.networks if asked else ()
    made = [_read(file) for file in sorted((folder.path / SETS).glob(f"*/{MADE}"))]
    cells = [_read(file) for file in sorted((folder.path / CELLS).glob("*.json"))]
    if not made and not cells:
        raise BadInput(f"{folder.path} holds a comparison in which nothing is done yet: let it run first")
    sets = _labelled([*made, *(cell.made for cell in cells if cell.made)], asked.labels if asked else {})
    place = {network: i for i, network in enumerate(known)}
    cells.sort(key=lambda cell: (place.get(cell.record["network"], len(known)), cell.record["network"]))
    by_set: dict[str, list[ComparisonJob]] = {}
    for cell in cells:
        by_set.setdefault(cell.made.key if cell.made else WHOLE, []).append(cell)
    of_sets = [replace(cell, made=one) for one in sets for cell in by_set.get(one.key, ())]
    return [one for one in sets if folder.is_done(one)], [*of_sets, *by_set.get(WHOLE, ())]


def _read(file: Path) -> ComparisonJob:
    """A job that is done, its set called as its method. Raises BadFile if the document is none of ours."""
    document = read_document(file)
    try:
        job = job_of(document["record"])
        if job.kind != MAKE and not all(
            {"labels", "accuracies"} <= score.keys() for score in document["scores"]
        ):
            raise KeyError("scores")
        return job if job.kind == MAKE else replace(job, key=file.stem)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise damaged(file) from error


def _labelled(made: Iterable[ComparisonJob], labels: Mapping[str, Sequence[str]]) -> list[ComparisonJob]:
    """Each set once for each of its labels, as asked for; those that no command is known for come last.

    A label that stood for other settings in another command gets what differs to its name.
    """
    known = {one.key: one for one in made}
    others = sorted(
        known.keys() - labels.keys(), key=lambda key: (mean(frozen(known[key].record["ipc"])), key)
    )
    found: list[tuple[ComparisonJob, tuple[str, Any, str]]] = []
    kinds: dict[tuple[str, Any, str], dict[str, Any]] = {}
    for one in (known[key] for key in (*labels, *others) if key in known):
        record = one.record
        # Random images are called so whatever their label, as older versions let them have others.
        for label in (
            [RANDOM] if record["method"] == RANDOM and not one.given else labels.get(one.key, [one.label])
        ):
            method = {} if record["method"] == label else {"method": record["method"]}
            steps = {} if record["steps"] is None else {"steps": record["steps"]}
            settings = {**method, **record["fields"], **steps}
            if one.given:
                settings = {"set": record[GIVEN]["sha256"][:_DIGITS]}
            kind = (label, frozen(record["ipc"]), _json(settings))
            kinds[kind] = settings
            found.append((one, kind))
    names = distinct_names([((label, ipc), settings) for (label, ipc, _), settings in kinds.items()])
    name = dict(zip(kinds, names, strict=True))
    return [replace(one, label=name[kind]) for one, kind in found]


# ---- their rows


def measurements(
    cells: Sequence[ComparisonJob], folder: Folder, threads: int | None
) -> tuple[Measurement, ...]:
    """What cells give as far as they are done, budget by budget, with the scores that follow.

    Seeds are together; networks of one set and seed that several cells trained are counted once.
    """
    there = [(cell, document) for cell in cells if (document := folder.document(cell))]
    names, documents, order = _names_of_labels(there), [], {}
    for cell, document in there:
        settings, made = _settings_of_labels(cell), cell.made
        scores = [
            {**s, "labels": names.get((s["labels"], settings), s["labels"])} for s in document["scores"]
        ]
        # The fields of its key: what a method got later does not part older results from newer ones.
        of_set = {**called(cell), "fields": made.record["fields"]} if made else {}
        order.setdefault((made.label, frozen(made.record["ipc"])) if made else (WHOLE, None), len(order))
        documents.append((folder.result_file(cell), {**document, **of_set, "scores": scores, "cell": cell}))
    found = [
        _completed(m, there[0][1]["data"], [one["cell"] for one in of_it], folder, threads)
        for m, of_it in joined(documents)
    ]
    found.sort(
        key=lambda m: (
            m.ipc is None,
            mean(m.ipc) or m.epochs,
            order.get((m.subject, m.ipc), len(order)),
            m.epochs,
        )
    )
    # Without augmentation is only there for the score about it.
    return tuple(one for one in with_scores(found) if one.augmentation == "protocol")


def called(cell: ComparisonJob) -> dict[str, Any]:
    """What an evaluation of a set is said to be of in a comparison: the label and the budget that were asked for.

    A given set is never taken for the random images that the others are measured by, whatever made it.
    """
    if cell.made is None:
        return {}
    label, ipc = cell.made.label, cell.made.record["ipc"]
    return {"label": label, "ipc": ipc, **({"method": label} if cell.made.given else {})}


def _completed(
    m: Measurement, data: str, cells: Sequence[ComparisonJob], folder: Folder, threads: int | None
) -> Measurement:
    """With what is known of its jobs, and a paper's value only where that is about the same."""
    sets = {cell.made.key: cell.made for cell in cells if cell.made}
    if m.subject.startswith(EQUAL_BYTES):  # real images, which nobody made
        sets = {}
    documents = [document for one in sets.values() if (document := folder.document(one))]
    made = next((one.record for one in sets.values()), {"method": None, "fields": None})
    # A teacher's labels, a second setting of a method and a set from anywhere are something else.
    known = m.subject in (made["method"], WHOLE) or (made["method"] and _is_default(made))
    same = m.labels == "hard" and known and GIVEN not in made
    record = {
        "cells": [cell.key for cell in cells],
        "seeds": [one.record["seed"] for one in sets.values()],
        "method": made["method"],
        "fields": made["fields"],
        **{name: m.record.get(name) for name in _ORIGIN},
    }
    return replace(
        m,
        data=data,
        memory=max((one["memory"] for one in documents if one["memory"]), default=None),
        published=m.published if same else None,
        commands=tuple(dict.fromkeys(line for cell in cells for line in commands(cell, threads, folder))),
        record=record,
    )


def _is_default(made: Mapping[str, Any]) -> bool:
    """Whether a method has its published settings; no if it is not there any more."""
    try:
        return made["fields"] == all_fields(made["method"])
    except BadInput:
        return False


def _names_of_labels(there: Iterable[tuple[ComparisonJob, Mapping[str, Any]]]) -> dict[tuple[str, str], str]:
    """What labels other than hard ones are called: by what differs where there are several of a kind."""
    kinds = {
        (str(score["labels"]), _settings_of_labels(cell)): None
        for cell, document in there
        for score in document["scores"]
        if score["labels"] != "hard"
    }
    names = distinct_names([((labels, None), json.loads(settings)) for labels, settings in kinds])
    return dict(zip(kinds, names, strict=True))


def _settings_of_labels(cell: ComparisonJob) -> str:
    """Those options of an evaluation that have settings, together, as JSON."""
    options = (value for value in options_of(cell).values() if isinstance(value, dict))
    return _json({name: value for option in options for name, value in option.items()})


def _json(value: Any) -> str:
    return json.dumps(value, sort_keys=True)
