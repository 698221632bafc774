"""Evaluations as measurements: seeds of one kind together, nothing counted twice."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from condensery.errors import BadFile, BadInput
from condensery.evaluation.evaluator import BASELINES
from condensery.evaluation.honest import SCORES, WEIGHT, check_weights, honest_scores
from condensery.evaluation.scores import Score
from condensery.methods import get_method
from condensery.published import Published, lookup
from condensery.records import SyntheticSet
from condensery.report.contents import RANDOM, WHOLE, Measurement

Row = tuple[float, ...]


@dataclass(frozen=True)
class _Kind:
    """What makes two scores measurements of the same thing."""

    data: str
    subject: str
    method: str
    fields: str  # JSON
    steps: int | None
    ipc: int | None
    condensed_with: str | None
    network: str
    protocol: str
    labels: str
    augmentation: str
    epochs: int


@dataclass
class _Pile:
    """Scores of one kind. A row is known by what it was drawn from, so that no network is counted twice."""

    images: int
    bytes: int
    stored_images: int | None
    rows: dict[tuple[Any, ...], Row] = field(default_factory=dict)
    seconds: dict[tuple[Any, ...], float] = field(default_factory=dict)
    make_seconds: dict[Any, float] = field(default_factory=dict)
    commands: dict[str, None] = field(default_factory=dict)
    record: dict[str, Any] = field(default_factory=dict)


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
    piles: dict[_Kind, _Pile] = {}
    for path, document in documents:
        try:
            for score in document["scores"]:
                _add(piles, document, score)
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise BadFile(f"{path} holds a line that is not an evaluation: {error!r}; remove it") from error
    names = _subjects(piles)
    return in_order([_measurement(kind, pile, names[kind], sets) for kind, pile in piles.items()])


def in_order(found: Sequence[Measurement]) -> list[Measurement]:
    """By budget, random images first, the whole set last; otherwise as they come."""
    order = list(dict.fromkeys(m.subject for m in found if m.subject not in BASELINES))
    return sorted(found, key=lambda m: (m.ipc is None, m.ipc or 0, _place(m.subject, order), m.epochs))


def _place(subject: str, order: Sequence[str]) -> int:
    return order.index(subject) if subject in order else -1


def _add(piles: dict[_Kind, _Pile], document: Mapping[str, Any], score: Mapping[str, Any]) -> None:
    method, own = str(score["subject"]), score["subject"] not in BASELINES
    drawn = own and document.get("method") == RANDOM
    method = RANDOM if drawn else method
    kind = _Kind(
        data=Path(str(document["data"])).name,
        subject=str(document.get("label", method)) if own and not drawn else method,
        method=method,
        fields=json.dumps(document.get("fields") if own and not drawn else None, sort_keys=True),
        steps=document.get("steps") if own else None,
        ipc=None if method == WHOLE else document.get("ipc"),
        condensed_with=document.get("condensed_with") if own and not drawn else None,
        network=str(score["network"]),
        protocol=str(document["protocol"]),
        labels=str(score.get("labels", "hard")),
        augmentation=str(score.get("augmentation", "protocol")),
        epochs=int(score["epochs"]),
    )
    pile = piles.setdefault(
        kind, _Pile(int(score["images"]), int(score["bytes"]), score.get("stored_images"))
    )
    rows = [tuple(float(value) for value in row) for row in score["accuracies"]]
    seeds = list(document.get("set_seeds", ())) if own else []
    known = len(seeds) == len(rows)
    _add_rows(pile, rows, [_SetSeed(s) for s in seeds] if known else range(len(rows)), document["seed"])
    for said in document.get("honest", ()):
        check_weights(float(said["w"]), float(said["gamma"]))
    said = (document.get("time"), document["seed"])
    pile.seconds[said] = float(score["seconds"])
    if own:
        pile.make_seconds.update(zip(seeds, map(float, document.get("condense_seconds", ())), strict=False))
        pile.commands.update(dict.fromkeys(document.get("made_with", ())))
    if document.get("command"):
        pile.commands[str(document["command"])] = None
    pile.record = {
        key: value for key, value in document.items() if key not in ("scores", "command", "made_with")
    }


@dataclass(frozen=True)
class _SetSeed:
    """Which set a row is of. Random selections for an evaluation are known by their place in it."""

    seed: Any


def _add_rows(pile: _Pile, rows: Sequence[Row], sets: Sequence[Any], seed: int) -> None:
    """Longer lists of networks of a set begin with the shorter ones, so the longest is all of them."""
    for one, row in zip(sets, rows, strict=True):
        known = pile.rows.get((one, seed), ())
        if len(row) >= len(known):
            pile.rows[one, seed] = row


def with_scores(rows: Sequence[Measurement]) -> tuple[Measurement, ...]:
    """Measurements with the scores that follow from them, from those of random images and of the whole set.

    The weights are those that the set's latest evaluation was asked for. What a row already says stays.
    """
    found: dict[tuple[object, ...], dict[str, float]] = {}
    own = [m for m in rows if m.subject not in BASELINES]
    for key in dict.fromkeys(map(_set, own)):
        group = [m for m in own if _set(m) == key]
        beside = [m for m in rows if m.subject in BASELINES and _fits(m, group[0])]
        beside.sort(key=lambda m: m.epochs)  # of several whole sets the one that was trained longest counts
        for scores in honest_scores([_score(m) for m in (*group, *beside)], *_weights(group)):
            said = {
                column.key: value for column in SCORES if (value := getattr(scores, column.key)) is not None
            }
            useless = {column.key for column in SCORES if column.weighs and column.weighs not in said}
            found[*key, scores.labels] = {name: value for name, value in said.items() if name not in useless}
    return tuple(
        replace(m, extra={**m.extra, **found.get((*_set(m), m.labels), {}), **m.extra})
        if m.augmentation == "protocol"
        else m
        for m in rows
    )


def _set(m: Measurement) -> tuple[object, ...]:
    return m.data, m.subject, m.ipc, m.condensed_with, m.network, m.protocol


def _fits(baseline: Measurement, m: Measurement) -> bool:
    alike = (baseline.data, baseline.network, baseline.protocol) == (m.data, m.network, m.protocol)
    return alike and (baseline.subject == WHOLE or baseline.ipc == m.ipc)


def _score(m: Measurement) -> Score:
    rest = (m.images, m.bytes, m.accuracies, m.epochs, m.evaluate_seconds, m.labels, m.augmentation)
    return Score(m.subject, m.network, *rest)


def _weights(group: Sequence[Measurement]) -> tuple[float, float]:
    """w and gamma, as the record of an evaluation holds them."""
    said = [one for m in group for one in m.record.get("honest", ())]
    return (float(said[-1]["w"]), float(said[-1]["gamma"])) if said else (WEIGHT, WEIGHT)


def _subjects(piles: Mapping[_Kind, _Pile]) -> dict[_Kind, str]:
    """A name for each kind: the subject, and those of its settings in which kinds of it differ."""
    names = distinct_names([((kind.subject, kind.ipc), _settings(kind)) for kind in piles])
    return dict(zip(piles, names, strict=True))


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


def _settings(kind: _Kind) -> dict[str, Any]:
    """What a subject may be told from its likes by."""
    fields = json.loads(kind.fields) or {}
    method = {} if kind.method == kind.subject else {"method": kind.method}
    return {**method, **fields, **({} if kind.steps is None else {"steps": kind.steps})}


def _measurement(kind: _Kind, pile: _Pile, subject: str, sets: Sequence[SyntheticSet]) -> Measurement:
    fields = json.loads(kind.fields) or {}
    memory = [
        s.record["memory"]
        for s in sets
        if "memory" in s.record
        and (s.record.get("method"), s.record.get("ipc"), s.record.get("network"), s.record.get("fields"))
        == (kind.method, kind.ipc, kind.condensed_with, fields)
    ]
    return Measurement(
        data=kind.data,
        subject=subject,
        ipc=kind.ipc,
        condensed_with=kind.condensed_with,
        network=kind.network,
        protocol=kind.protocol,
        labels=kind.labels,
        augmentation=kind.augmentation,
        accuracies=tuple(_rows(pile)),
        images=pile.images,
        bytes=pile.bytes,
        epochs=kind.epochs,
        steps=kind.steps,
        published_steps=published_steps(kind.method, fields, kind.ipc),
        make_seconds=tuple(pile.make_seconds.values()),
        evaluate_seconds=sum(pile.seconds.values()),
        memory=max(memory, default=None),
        published=_published(kind),
        commands=tuple(pile.commands),
        record=pile.record,
        stored_images=pile.stored_images,
    )


def _rows(pile: _Pile) -> Iterator[Row]:
    """A row for each set: the networks of all evaluations of it."""
    joined: dict[Any, Row] = {}
    for (one, seed), row in pile.rows.items():
        key = one if isinstance(one, _SetSeed) else (one, seed)  # selections of another seed are other sets
        joined[key] = (*joined.get(key, ()), *row)
    yield from joined.values()


def _published(kind: _Kind) -> Published | None:
    try:
        return lookup(kind.data, kind.method, kind.ipc, kind.network, kind.condensed_with)
    except BadInput:  # a network that no longer exists
        return None


def published_steps(method: str, fields: Mapping[str, Any], ipc: int | None) -> int | None:
    """How many updates the publication makes; None for what is no method of ours."""
    if ipc is None or not fields:
        return None
    try:
        return get_method(method, **fields).steps(ipc)
    except (BadInput, TypeError, ValueError):  # a method that is not registered here, or of another version
        return None
