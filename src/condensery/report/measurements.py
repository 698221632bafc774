"""Evaluations as measurements: seeds of one kind together, nothing counted twice, with the scores that follow."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from condensery.budgets import average, frozen, in_record, mean
from condensery.errors import BadFile, BadInput
from condensery.evaluation.honest import SCORES, WEIGHT, check_weights, honest_scores
from condensery.evaluation.scores import BASELINES, EQUAL_BYTES, OWN, Score
from condensery.methods import get_method
from condensery.published import lookup
from condensery.records import SyntheticSet
from condensery.report.contents import RANDOM, WHOLE, Measurement


@dataclass
class _Pool:
    """Scores of one kind: a measurement without what several scores make together, and that by what it is of.

    Networks are known by what their set was drawn from and their seed, so that none is counted twice.
    """

    first: Measurement
    method: str
    fields: dict[str, Any]
    networks: dict[tuple[Any, ...], dict[int, tuple[tuple[float, ...], Mapping[str, Any]]]] = field(
        default_factory=dict
    )  # their accuracies, and the document that says so
    seconds: dict[tuple[Any, ...], float] = field(default_factory=dict)
    make_seconds: dict[Any, float] = field(default_factory=dict)
    commands: dict[str, None] = field(default_factory=dict)
    record: dict[str, Any] = field(default_factory=dict)


def measurements(
    documents: Iterable[tuple[Path, Mapping[str, Any]]], sets: Sequence[SyntheticSet] = ()
) -> list[tuple[Measurement, list[Mapping[str, Any]]]]:
    """Evaluations (as `condense evaluate` writes them) as measurements.

    A document may have a "label": what its sets are called in place of their method. Sets that were selected at
    random are random images, whatever their label.

    Networks that several documents mention are counted once: the same set under the same seed, or random
    selections and whole sets of the same seed, of which the longest list counts.

    Args:
        documents: each with the file it comes from.
        sets: whose records know the peak memory of making them.

    Returns:
        Each measurement, and the documents whose networks count in it.

    Raises:
        BadFile: a document is not an evaluation.
    """
    pools: dict[str, _Pool] = {}
    for path, document in documents:
        try:
            for score in document["scores"]:
                _add(pools, document, score)
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise BadFile(f"{path} holds a line that is not an evaluation: {error!r}; remove it") from error
    found = list(pools.values())
    names = distinct_names([((pool.first.subject, pool.first.ipc), _settings(pool)) for pool in found])
    rows = [(_measurement(pool, name, sets), pool) for pool, name in zip(found, names, strict=True)]
    return [
        (m, [one for networks in pool.networks.values() for _, one in networks.values()]) for m, pool in rows
    ]


def in_order(found: Sequence[Measurement]) -> list[Measurement]:
    """By budget, random images first, the whole set last; otherwise as they come."""
    own = dict.fromkeys(m.subject for m in found if m.subject not in BASELINES)
    place = {subject: i for i, subject in enumerate(own)}
    return sorted(found, key=lambda m: (m.ipc is None, mean(m.ipc), place.get(m.subject, -1), m.epochs))


def _add(pools: dict[str, _Pool], document: Mapping[str, Any], score: Mapping[str, Any]) -> None:
    subject, of_set = str(score["subject"]), score["subject"] not in BASELINES
    method = RANDOM if of_set and document.get("method") == RANDOM else subject
    own = document if method not in BASELINES else {}  # one random selection is like another
    first = Measurement(
        data=Path(str(document["data"])).name,
        subject=str(own.get("label", method)),
        ipc=None if method == WHOLE else frozen(document.get("ipc")),
        condensed_with=own.get("condensed_with"),
        network=str(score["network"]),
        protocol=OWN if score.get("recipe") == OWN else str(document["protocol"]),
        labels=str(score.get("labels", "hard")),
        accuracies=(),
        images=int(score["images"]),
        bytes=int(score["bytes"]),
        epochs=int(score["epochs"]),
        augmentation=str(score.get("augmentation", "protocol")),
        steps=document.get("steps") if of_set else None,
        stored_images=score.get("stored_images"),
    )
    alike = replace(first, images=0, bytes=0, stored_images=None)  # of which that of the first set is shown
    of_bytes = first.images if method == EQUAL_BYTES else None
    kind = json.dumps([vars(alike), method, own.get("fields"), of_bytes], sort_keys=True)
    pool = pools.setdefault(kind, _Pool(first, method, own.get("fields") or {}))
    rows = [tuple(map(float, row)) for row in score["accuracies"]]
    seeds, seed = list(document.get("set_seeds", ())) if of_set else [], document["seed"]
    for place, row in enumerate(rows):  # a selection for an evaluation is known by its place in it
        drawn_from = ("set", seeds[place]) if len(seeds) == len(rows) else ("selection", place, seed)
        networks = pool.networks.setdefault(drawn_from, {})
        known = networks.setdefault(seed, (row, document))
        networks[seed] = max(
            known, (row, document), key=lambda one: len(one[0])
        )  # which begins with the shorter one
    for said in document.get("honest", ()):
        check_weights(*_weights(said))
    pool.seconds[document.get("time"), seed] = float(score["seconds"])
    if of_set:
        pool.make_seconds.update(zip(seeds, map(float, document.get("condense_seconds", ())), strict=False))
        pool.commands.update(dict.fromkeys(document.get("made_with", ())))
    if document.get("command"):
        pool.commands[str(document["command"])] = None
    pool.record = {k: v for k, v in document.items() if k not in ("scores", "command", "made_with")}


def distinct_names(found: Sequence[tuple[tuple[str, Any], Mapping[str, Any]]]) -> list[str]:
    """A name for each of several ((subject, where), settings): the subject, and the settings that tell it apart.

    Only those that share subject and place need telling apart.
    """
    names = []
    for place, mine in found:
        alike = [theirs for other, theirs in found if other == place]
        differing = [key for key in mine if any(theirs.get(key) != mine[key] for theirs in alike)]
        names.append(" ".join([place[0], *(f"{key}={mine[key]}" for key in differing)]))
    return names


def _settings(pool: _Pool) -> dict[str, Any]:
    """What a subject may be told from its likes by."""
    method = {} if pool.method == pool.first.subject else {"method": pool.method}
    steps = {} if pool.first.steps is None else {"steps": pool.first.steps}
    images = {"images": pool.first.images} if pool.method == EQUAL_BYTES else {}
    return {**method, **pool.fields, **steps, **images}


def _measurement(pool: _Pool, subject: str, sets: Sequence[SyntheticSet]) -> Measurement:
    m = pool.first
    made = {"method": pool.method, "ipc": m.ipc, "network": m.condensed_with, "fields": pool.fields}
    records = [s.record for s in sets if all(_said(s.record, name) == value for name, value in made.items())]
    published = None
    with suppress(BadInput):  # a network that no longer exists
        if not isinstance(m.ipc, tuple):
            published = lookup(m.data, pool.method, m.ipc, m.network, m.condensed_with)
    return replace(
        m,
        subject=subject,
        accuracies=tuple(sum((row for row, _ in one.values()), ()) for one in pool.networks.values()),
        published_steps=_published_steps(pool),
        make_seconds=tuple(pool.make_seconds.values()),
        evaluate_seconds=sum(pool.seconds.values()),
        memory=max((record["memory"] for record in records if "memory" in record), default=None),
        published=published,
        commands=tuple(pool.commands),
        record=pool.record,
    )


def _said(record: Mapping[str, Any], name: str) -> Any:
    return frozen(record.get(name)) if name == "ipc" else record.get(name)


def _published_steps(pool: _Pool) -> int | None:
    """How many updates the publication makes; None for what is no method of ours."""
    with suppress(BadInput, TypeError, ValueError):  # not registered here, or of another version
        if pool.first.ipc is not None and pool.fields:
            return get_method(pool.method, **pool.fields).steps(average(in_record(pool.first.ipc, 1)))
    return None


# ---- what accuracies come to beside those of random images and of the whole set


def with_scores(rows: Sequence[Measurement]) -> tuple[Measurement, ...]:
    """Measurements with the scores that follow from them together. What a row already says stays.

    The weights are those that the set's latest evaluation was asked for.
    """
    found: dict[tuple[object, ...], dict[str, float]] = {}
    own = [m for m in rows if m.subject not in BASELINES]
    for key in dict.fromkeys(map(_set, own)):
        group = [m for m in own if _set(m) == key]
        beside = [m for m in rows if m.subject in BASELINES and _fits(m, group[0])]
        beside.sort(key=lambda m: m.epochs)  # of several whole sets the one that was trained longest counts
        asked = [one for m in group for one in m.record.get("honest", ())] or [{}]
        for scores in honest_scores([_score(m) for m in (*group, *beside)], *_weights(asked[-1])):
            known = [one for one in SCORES if getattr(scores, one.weighs or one.key) is not None]
            found[*key, scores.labels, "protocol"] = {one.key: getattr(scores, one.key) for one in known}
    extras = (found.get((*_set(m), m.labels, m.augmentation), {}) for m in rows)
    return tuple(replace(m, extra={**m.extra, **new, **m.extra}) for m, new in zip(rows, extras, strict=True))


def _weights(said: Mapping[str, Any]) -> list[float]:
    return [float(said.get(one.key, WEIGHT)) for one in SCORES if one.weighs]


def _set(m: Measurement) -> tuple[object, ...]:
    return m.data, m.subject, m.ipc, m.condensed_with, m.network, m.protocol


def _fits(baseline: Measurement, m: Measurement) -> bool:
    alike = (baseline.data, baseline.network, baseline.protocol) == (m.data, m.network, m.protocol)
    return alike and (baseline.subject == WHOLE or baseline.ipc == m.ipc)


def _score(m: Measurement) -> Score:
    rest = (m.images, m.bytes, m.accuracies, m.epochs, m.evaluate_seconds, m.labels, m.augmentation)
    return Score(m.subject, m.network, *rest)
