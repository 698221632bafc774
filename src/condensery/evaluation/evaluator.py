"""Train networks on sets, test them on the real test images, and do the same for the baselines."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from condensery import artifact
from condensery.commands import run_command
from condensery.data.sources import silent
from condensery.errors import BadInput
from condensery.evaluation.cost import EvaluationTimer
from condensery.evaluation.honest import WEIGHT, Honest, check_weights, honest_scores, missing_lines
from condensery.evaluation.news import Trained, Training
from condensery.evaluation.plan import Plan, within
from condensery.evaluation.protocols import Protocol, get_protocol
from condensery.evaluation.real import real_images
from condensery.evaluation.scores import BASELINES, COMMON, OWN, Score
from condensery.evaluation.scoring import (
    HARD,
    LEARNED,
    Scorer,
    TrainingSetting,
)
from condensery.evaluation.soft_labels import SoftLabels
from condensery.models.precision import slow_note
from condensery.models.registry import NetworkFactory, resolve
from condensery.provenance import changed_parts, environment, pick_device
from condensery.records import ImageData, SyntheticSet
from condensery.text import count, percent, readable_bytes, readable_seconds
from condensery.training_recipe import own_recipe
from condensery.views import Views

_WORTH_MEASURING = 500  # optimiser steps
_WORTH_SAYING = 10.0  # seconds


@dataclass(frozen=True)
class Evaluation:
    """Everything an evaluation found, and what it takes to find it again.

    Attributes:
        scores: one for each subject, network and way of training; the sets themselves first.
        record: JSON-able facts: data, method, ipc, protocol, seed, device, teachers, versions, commit.
        honest: what the accuracies come to beside labels and augmentation, for each network and kind of labels.
        missing: what could not be computed of that, and what it needs.
        notes: what was trained on, for a person: labels that the set holds, its own recipe, and its teacher.
    """

    scores: tuple[Score, ...]
    record: dict[str, Any]
    honest: tuple[Honest, ...] = ()
    missing: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        return {
            **self.record,
            "scores": [score.to_json() for score in self.scores],
            "honest": [honest.to_json() for honest in self.honest],
            "missing": list(self.missing),
            "notes": list(self.notes),
        }


def evaluate(
    sets: SyntheticSet | str | Path | Sequence[SyntheticSet | str | Path],
    data: str | Path | ImageData | None = None,
    *,
    protocol: str | Protocol = "quick",
    networks: Sequence[str] = (),
    repeats: int | None = None,
    minutes: float | None = None,
    baselines: Sequence[str] = BASELINES,
    whole_epochs: int | None = None,
    whole_repeats: int = 1,
    soft_labels: SoftLabels | None = None,
    augmentation_robustness: bool = False,
    w: float = WEIGHT,
    gamma: float = WEIGHT,
    seed: int = 0,
    device: str = "auto",
    callback: Callable[[Trained], None] | None = None,
    every_epoch: Callable[[Training], None] | None = None,
    recipe: str = "both",
    teacher_weights: str | Path | None = None,
    precision: str | None = None,
    announce: Callable[[str], None] = silent,
    **data_options: Any,
) -> Evaluation:
    """Train networks from scratch on each set by one protocol, and test them on the real test images.

    A set is always trained on with its classes first. Labels that its file holds (probabilities, views) come next, in
    scores of their own, beside random images with labels of the same teacher; and then its own recipe, if it has one.

    Args:
        sets: one or several sets of one kind (the same method and ipc with different seeds), or their files
            or run folders.
        data: the real images, as for `condensery.data.load`; None takes what the set was made from.
        protocol: a name in `PROTOCOLS`, or a protocol of your own.
        networks: architectures to train; none means the one that the set was condensed with, without its batch
            norm if the protocol says so.
        repeats: networks per set and architecture; None takes the protocol's number.
        minutes: of this machine that the evaluation may take: where it would take more, fewer networks are trained
            (unless `repeats` says how many), then each for fewer epochs, which the protocol's name says.
        baselines: "random" (a fresh random selection for every network, of as many images as the set has), "whole" (the
            whole training set), and "random-equal-bytes": beside a generator, of as many images as have its bytes.
        whole_epochs: for the whole set; None takes as many optimiser steps as a network gets on the set.
        whole_repeats: networks trained on the whole set.
        soft_labels: train on the sets and on random images with a teacher's labels too; None: hard labels alone.
        augmentation_robustness: train on the sets and on random images without augmentation too.
        w, gamma: weights in the label-robust and in the augmentation-robust score.
        seed: decides weights, order, augmentation, random selections and teachers.
        device: "auto", "cpu" or "cuda".
        callback: called after every trained network.
        every_epoch: called after every epoch of a network, or of several that train at once; what it raises ends the
            work.
        recipe: "common" leaves out the sets' own recipe, "own" all but that; "both" shows both.
        teacher_weights: the file of weights that labelled the set, if it was labelled so, for random images.
        precision: in which networks compute, "float32" or "bfloat16"; None takes the protocol's, float32 unless it says
            so. Rows of another one are those of another protocol, such as "quick+precision=bfloat16".
        announce: called with lines of text for a person.
        data_options: for `condensery.data.load`.

    Raises:
        BadInput: sets that do not fit each other or the data, an unknown name, a number out of range.
    """
    synthetic = load_sets(sets)
    protocol = get_protocol(protocol) if isinstance(protocol, str) else protocol
    protocol = protocol.with_precision(precision) if precision else protocol
    repeats_given, repeats = repeats is not None, protocol.repeats if repeats is None else repeats
    if minutes is not None and not (minutes > 0 and math.isfinite(minutes)):
        raise BadInput(f"--minutes must be a positive number, not {minutes}")
    _check(repeats, whole_repeats, whole_epochs, baselines)
    _check_recipe(recipe, synthetic[0])
    check_weights(w, gamma)
    factories = _factories(synthetic[0], networks, protocol)
    data = real_images(synthetic[0], data, data_options, announce)
    for note in filter(None, dict.fromkeys(factory.depth_note(data.spec) for factory in factories)):
        announce(note)
    for other in synthetic[1:]:
        _check_same_kind(other, synthetic[0])
    if soft_labels and synthetic[0].label_kind != HARD:
        raise BadInput(
            f"the set holds labels of its own, {synthetic[0].label_kind}, which are evaluated: "
            "leave out --soft-labels"
        )
    where, obstacle = pick_device(device), None
    if note := slow_note(protocol.precision, where):
        announce(note)

    def planned(protocol: Protocol, repeats: int) -> _Planned:
        nonlocal obstacle
        scorer = Scorer(data, protocol, seed, where, soft_labels, callback, teacher_weights, every_epoch)
        obstacle = scorer.labelling_obstacle(synthetic[0])
        plan = Plan(synthetic, repeats, tuple(baselines), whole_repeats, whole_epochs, obstacle is None)
        settings = {f: scorer.settings(f, augmentation_robustness, synthetic[0], recipe) for f in factories}
        return scorer, plan, settings

    protocol, repeats = _timed(planned, protocol, repeats, minutes, repeats_given, announce)
    scorer, plan, settings = planned(protocol, repeats)
    scorer.total = plan.networks(settings.values()) + scorer.teachers_needed(factories)
    scores = tuple(
        score for factory in factories for score in plan.scores(scorer, factory, settings[factory])
    )
    honest = honest_scores(scores, w, gamma)
    unaugmented = augmentation_robustness and not all(map(scorer.augments, factories))
    missing = missing_lines(honest, unaugmented)
    if obstacle and "random" in baselines:
        missing = (*missing, f"random images with the set's labels: {obstacle}")
    record = _record(synthetic, data, protocol, seed, scorer.device)
    record["teachers"] = [teacher.to_json() for teacher in scorer.teachers.values()]
    record["labelled_by"] = _labelled_by(synthetic[0], scorer)
    notes = _notes(synthetic[0], settings[factories[0]], record["labelled_by"])
    for baseline, counts in plan.random_counts.items():
        notes = (*notes, *_fewer_random(baseline, counts, data))
    notes = (*notes, *_untested(data))
    return Evaluation(scores, record, honest, missing, notes)


_Planned = tuple[Scorer, Plan, dict[NetworkFactory, list[TrainingSetting]]]


def _timed(
    planned: Callable[[Protocol, int], _Planned],
    protocol: Protocol,
    repeats: int,
    minutes: float | None,
    fixed: bool,
    announce: Callable[[str], None],
) -> tuple[Protocol, int]:
    """Say how long an evaluation will take, measured on its first steps; fewer networks or epochs if that is too long.

    A short one is not measured unless minutes are given: that would take longer.
    """
    scorer, plan, settings = planned(protocol, repeats)
    if minutes is None and (announce is silent or plan.steps(scorer, settings) < _WORTH_MEASURING):
        return protocol, repeats
    timer = EvaluationTimer(scorer.data, protocol, scorer.device, lambda kept: not kept.is_there)

    def seconds(protocol: Protocol, repeats: int) -> float:
        scorer, plan, settings = planned(protocol, repeats)
        return plan.seconds(scorer, settings, timer)

    cuts = ""
    if minutes is not None:
        protocol, repeats, cuts = within(minutes, protocol, repeats, fixed, seconds)
    networks = planned(protocol, repeats)[1].networks(settings.values())
    took = seconds(protocol, repeats)
    if minutes is not None or took >= _WORTH_SAYING:
        announce(f"about {readable_seconds(took)} for {count(networks, 'network')} on {scorer.device}{cuts}")
    return protocol, repeats


def _labelled_by(synthetic: SyntheticSet, scorer: Scorer) -> dict[str, Any] | None:
    """The teacher whose labels the set holds, as it was found here or else as its record has it; None for none."""
    if synthetic.label_kind in (HARD, LEARNED):
        return None
    found = [teacher.to_json() for teacher in scorer.held_teachers.values()]
    said = synthetic.record.get("labels", {}).get("teacher", {})
    return found[0] if found else said if {"network", "accuracy", "bytes"} <= said.keys() else None


def _notes(
    synthetic: SyntheticSet, settings: Sequence[TrainingSetting], teacher: dict[str, Any] | None
) -> tuple[str, ...]:
    lines = []
    if isinstance(synthetic.targets, Views):
        views = synthetic.targets
        common = any(setting.held and setting.recipe == COMMON for setting in settings)
        lines.append(
            f"labels: {views.per_image} views an image stored with the set ({readable_bytes(views.nbytes)})"
            + (", by the common protocol at temperature 1 without further augmentation" if common else "")
        )
    elif synthetic.targets is not None:
        lines.append(f"labels: {synthetic.label_kind}, one an image, stored with the set")
    if any(setting.recipe == OWN for setting in settings):
        recipe, augmentation = own_recipe(synthetic.training)
        lines.append(f"own recipe: {recipe.text(augmentation)}")
    if teacher is not None:
        lines.append(
            f"teacher: {teacher['network']}, {percent(teacher['accuracy'])} % of the test images, "
            f"{readable_bytes(teacher['bytes'])} of weights. Who needs only a network of that kind should take it; "
            "who trains other networks, searches, tunes or rehearses takes the set"
        )
    return tuple(lines)


def _fewer_random(baseline: str, counts: Sequence[int], data: ImageData) -> Iterator[str]:
    """A line on classes that have fewer real images than a baseline asks for."""
    real = np.bincount(data.train.labels, minlength=data.spec.num_classes).tolist()
    pairs = zip(data.spec.class_names, real, counts, strict=True)
    if short := [f"{name} {there} for {n}" for name, there, n in pairs if there < n]:
        more = ", ..." if len(short) > 3 else ""
        name, whose = (
            ("random images", "the set has") if baseline == "random" else (baseline, "have its bytes")
        )
        yield f"{name}: of classes with fewer than {whose}, all are taken: {', '.join(short[:3])}{more}"


def _untested(data: ImageData) -> Iterator[str]:
    """A line on classes that the test part has no image of."""
    there = set(data.test.labels.tolist())
    if absent := [name for c, name in enumerate(data.spec.class_names) if c not in there]:
        more = ", ..." if len(absent) > 3 else ""
        yield f"no test images of {', '.join(absent[:3])}{more}: the accuracy is that of the other classes"


def load_sets(
    sets: SyntheticSet | str | Path | Sequence[SyntheticSet | str | Path],
) -> list[SyntheticSet]:
    """Sets of one kind that can be judged: with images of every class. Raises BadInput for others."""
    items = [sets] if isinstance(sets, SyntheticSet | str | Path) else list(sets)
    if not items:
        raise BadInput("no set to evaluate: give a run folder or a .safetensors file")
    loaded = [item if isinstance(item, SyntheticSet) else artifact.load(item) for item in items]
    for one in loaded:
        absent = sorted(set(range(one.spec.num_classes)) - set(one.labels.tolist()))
        if absent:
            raise BadInput(
                f"the set has no image of {len(absent)} of {one.spec.num_classes} classes, "
                f"such as {one.spec.class_names[absent[0]]!r}: evaluate a set of all classes"
            )
    for other in loaded[1:]:
        for key in ("method", "ipc"):
            if other.record.get(key) != loaded[0].record.get(key):
                raise BadInput(
                    f"sets of different kinds: {key} {loaded[0].record.get(key)!r} and {other.record.get(key)!r}; "
                    "evaluate them one by one"
                )
        if _kind_of_training(other) != _kind_of_training(loaded[0]):
            raise BadInput(
                f"sets of different kinds: labels {loaded[0].label_kind} and {other.label_kind}, or another "
                "recipe of their own; evaluate them one by one"
            )
    return loaded


def _kind_of_training(synthetic: SyntheticSet) -> tuple[object, ...]:
    """What sets that are judged together share. Numbers of a recipe may differ: some methods learn them."""
    own, words = synthetic.training, ("loss", "optimizer", "augmentation", "kernel")
    return synthetic.label_kind, bool(own), *(own.get(word) for word in words)


def _factories(first: SyntheticSet, networks: Sequence[str], protocol: Protocol) -> list[NetworkFactory]:
    """What was asked for, or else the network of the set, in which a protocol may replace batch norm."""
    if networks:
        return [resolve(name) for name in networks]
    return [own_network(first.record, protocol)]


def own_network(record: Mapping[str, Any], protocol: Protocol) -> NetworkFactory:
    """What a set was condensed with, in which a protocol may replace batch norm; a ConvNet where nothing is known.

    Raises:
        BadInput: it is a network of its maker's.
    """
    name = record.get("network") or "convnet"
    if ":" in name:  # a file must not decide which code runs
        raise BadInput(
            f"the set was condensed with a network of its maker's, {name}: name one with --networks"
        )
    return protocol.network(resolve(name))


def _check_recipe(recipe: str, synthetic: SyntheticSet) -> None:
    if recipe not in ("both", "common", "own"):
        raise BadInput(f"unknown recipe {recipe!r}; choose both, common or own")
    if recipe == "own" and not synthetic.training:
        raise BadInput("the set has no recipe of its own: leave out --recipe own")


def _check(repeats: int, whole_repeats: int, whole_epochs: int | None, baselines: Sequence[str]) -> None:
    for name, value in (
        ("repeats", repeats),
        ("whole-repeats", whole_repeats),
        ("whole-epochs", whole_epochs),
    ):
        if value is not None and value < 1:
            raise BadInput(f"--{name} must be at least 1, not {value}")
    for baseline in baselines:
        if baseline not in BASELINES:
            raise BadInput(f"unknown baseline {baseline!r}; choose among {', '.join(BASELINES)}")


def _check_same_kind(one: SyntheticSet, first: SyntheticSet) -> None:
    """Raises BadInput unless the images of two sets mean the same."""
    for key in ("shape", "class_names", "mean", "std", "whitening"):
        ours, theirs = getattr(one.spec, key), getattr(first.spec, key)
        if ours != theirs:
            raise BadInput(
                f"sets of different kinds: {key.replace('_', ' ')} {theirs!s:.60} and {ours!s:.60}; "
                "evaluate them one by one"
            )


def data_name(data: ImageData) -> str:
    """The known set's name or the source; some classes of it are another set, such as "mnist[3,8]"."""
    name = data.spec.name if data.spec.name != "custom" else data.source
    return f"{name}[{','.join(data.spec.class_names)}]" if "classes" in data.options else name


def _record(
    sets: Sequence[SyntheticSet], data: ImageData, protocol: Protocol, seed: int, device: torch.device
) -> dict[str, Any]:
    first, before = sets[0].record, [s.record.get("seconds_before", 0) for s in sets]
    return {
        "data": data_name(data),
        "fingerprint": data.fingerprint,
        "changed": list(changed_parts(first.get("data", {}), data)),
        "method": first.get("method"),
        "fields": first.get("fields"),
        "ipc": first.get("ipc"),
        "steps": first.get("step"),
        "condensed_with": first.get("network"),
        "condense_seconds": [s.record.get("seconds", 0) for s in sets],
        **({"seconds_before": before} if any(before) else {}),
        "set_seeds": [s.record.get("seed") for s in sets],
        "made_with": [command for s in sets if (command := run_command(s.record))],
        "protocol": protocol.name,
        "precision": protocol.precision,
        "seed": seed,
        **environment(device),
    }
