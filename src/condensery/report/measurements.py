"""Evaluations as measurements: seeds of one kind together, nothing counted twice, with the scores that follow."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from condensery.errors import BadFile, BadInput
from condensery.evaluation.evaluator import BASELINES
from condensery.evaluation.honest import SCORES, WEIGHT, check_weights, honest_scores
from condensery.evaluation.scores import OWN, Score
from condensery.methods import get_method
from condensery.published import lookup
from condensery.records import SyntheticSet
from condensery.report.contents import RANDOM, WHOLE, Measurement


@dataclass
class _Pool:
    """Scores of one kind. A row is known by what it was drawn from, so that no network is counted twice.

    `first` is the measurement without what several scores make together.
    """

    first: Measurement
    method: str
    fields: dict[str, Any] | None
    rows: dict[tuple[Any, ...], tuple[float, ...]] = field(default_factory=dict)
    seconds: dict[tuple[Any, ...], float] = field(default_factory=dict)
    make_seconds: dict[Any, float] = field(default_factory=dict)
    commands: dict[str, None] = field(default_factory=dict)
    record: dict[str, Any] = field(default_factory=dict)

    def add_row(self, drawn_from: tuple[Any, ...], seed: int, row: tuple[float, ...]) -> None:
        """Longer lists of networks of a set begin with the shorter ones, so the longest is all of them."""
        if len(row) >= len(self.rows.get((drawn_from, seed), ())):
            self.rows[drawn_from, seed] = row

    def accuracies(self) -> tuple[tuple[float, ...], ...]:
        """A row for each set: the networks of all evaluations of it."""
        joined: dict[Any, tuple[float, ...]] = {}
        for (drawn_from, _), row in self.rows.items():
            joined[drawn_from] = (*joined.get(drawn_from, ()), *row)
        return tuple(joined.values())


def measurements(
    documents: Iterable[tuple[Path, Mapping[str, Any]]], sets: Sequence[SyntheticSet] = ()
) -> list[Measurement]:
    """Evaluations (as `condense evaluate` writes them) as measurements, in the order of a table.

    A document may have a "label": what its sets are called in place of their method. Sets that were selected at
    random are random images, whatever their label.

    Networks that several documents mention are counted once: the same set under the same seed, or random
    selections and whole sets of the same seed, of which the longest list counts.

    Args:
        documents: each with the file it comes from.
        sets: whose records know the peak memory of making them.

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
    return in_order([_measurement(pool, name, sets) for pool, name in zip(found, names, strict=True)])


def in_order(found: Sequence[Measurement]) -> list[Measurement]:
    """By budget, random images first, the whole set last; otherwise as they come."""
    own = dict.fromkeys(m.subject for m in found if m.subject not in BASELINES)
    place = {subject: i for i, subject in enumerate(own)}
    return sorted(found, key=lambda m: (m.ipc is None, m.ipc or 0, place.get(m.subject, -1), m.epochs))


def _add(pools: dict[str, _Pool], document: Mapping[str, Any], score: Mapping[str, Any]) -> None:
    subject, of_set = str(score["subject"]), score["subject"] not in BASELINES
    method = RANDOM if of_set and document.get("method") == RANDOM else subject
    own = method not in BASELINES  # whose settings matter: one random selection is like another
    first = Measurement(
        data=Path(str(document["data"])).name,
        subject=str(document.get("label", method)) if own else method,
        ipc=None if method == WHOLE else document.get("ipc"),
        condensed_with=document.get("condensed_with") if own else None,
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
    fields = document.get("fields") if own else None
    alike = replace(first, images=0, bytes=0, stored_images=None)  # of which that of the first set is shown
    kind = json.dumps([vars(alike), method, fields], sort_keys=True)
    pool = pools.setdefault(kind, _Pool(first, method, fields))
    rows = [tuple(float(value) for value in row) for row in score["accuracies"]]
    seeds, seed = list(document.get("set_seeds", ())) if of_set else [], document["seed"]
    for place, row in enumerate(
        rows
    ):  # a set is known by its seed, a selection for an evaluation by its place in it
        known = len(seeds) == len(rows)
        pool.add_row(("set", seeds[place]) if known else ("selection", place, seed), seed, row)
    for said in document.get("honest", ()):
        check_weights(float(said["w"]), float(said["gamma"]))
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
    return {**method, **(pool.fields or {}), **steps}


def _measurement(pool: _Pool, subject: str, sets: Sequence[SyntheticSet]) -> Measurement:
    m, fields = pool.first, pool.fields or {}
    made = {"method": pool.method, "ipc": m.ipc, "network": m.condensed_with, "fields": fields}
    records = [s.record for s in sets if all(s.record.get(name) == value for name, value in made.items())]
    try:
        published = lookup(m.data, pool.method, m.ipc, m.network, m.condensed_with)
    except BadInput:  # a network that no longer exists
        published = None
    return replace(
        m,
        subject=subject,
        accuracies=pool.accuracies(),
        published_steps=published_steps(pool.method, fields, m.ipc),
        make_seconds=tuple(pool.make_seconds.values()),
        evaluate_seconds=sum(pool.seconds.values()),
        memory=max((record["memory"] for record in records if "memory" in record), default=None),
        published=published,
        commands=tuple(pool.commands),
        record=pool.record,
    )


def published_steps(method: str, fields: Mapping[str, Any], ipc: int | None) -> int | None:
    """How many updates the publication makes; None for what is no method of ours."""
    if ipc is None or not fields:
        return None
    try:
        return get_method(method, **fields).steps(ipc)
    except (BadInput, TypeError, ValueError):  # a method that is not registered here, or of another version
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
        asked = [one for m in group for one in m.record.get("honest", ())] or [{"w": WEIGHT, "gamma": WEIGHT}]
        weights = float(asked[-1]["w"]), float(asked[-1]["gamma"])
        for scores in honest_scores([_score(m) for m in (*group, *beside)], *weights):
            said = {one.key: value for one in SCORES if (value := getattr(scores, one.key)) is not None}
            useless = [one.key for one in SCORES if one.weighs and one.weighs not in said]
            found[*key, scores.labels] = {k: v for k, v in said.items() if k not in useless}
    scored = ({**m.extra, **found.get((*_set(m), m.labels), {}), **m.extra} for m in rows)
    return tuple(
        replace(m, extra=extra) if m.augmentation == "protocol" else m
        for m, extra in zip(rows, scored, strict=True)
    )


def _set(m: Measurement) -> tuple[object, ...]:
    return m.data, m.subject, m.ipc, m.condensed_with, m.network, m.protocol


def _fits(baseline: Measurement, m: Measurement) -> bool:
    alike = (baseline.data, baseline.network, baseline.protocol) == (m.data, m.network, m.protocol)
    return alike and (baseline.subject == WHOLE or baseline.ipc == m.ipc)


def _score(m: Measurement) -> Score:
    rest = (m.images, m.bytes, m.accuracies, m.epochs, m.evaluate_seconds, m.labels, m.augmentation)
    return Score(m.subject, m.network, *rest)
