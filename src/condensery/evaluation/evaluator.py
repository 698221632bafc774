"""Train networks on sets, test them on the real test images, and do the same for the baselines."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from condensery import artifact
from condensery.data import load
from condensery.errors import BadInput
from condensery.evaluation.bench import BASELINES, Arm, Bench, Trained, equal_epochs
from condensery.evaluation.honest import WEIGHT, Honest, check_weights, honest_scores, missing_lines
from condensery.evaluation.protocols import Protocol, get_protocol
from condensery.evaluation.scores import Score
from condensery.evaluation.teacher import SoftLabels
from condensery.export.run_command import run_command
from condensery.models.registry import NetworkFactory, resolve
from condensery.provenance import environment, pick_device
from condensery.records import ImageData, SyntheticSet


@dataclass(frozen=True)
class Evaluation:
    """Everything an evaluation found, and what it takes to find it again.

    Attributes:
        scores: one for each subject, network and way of training; the sets themselves first.
        record: JSON-able facts: data, method, ipc, protocol, seed, device, teachers, versions, commit.
        honest: what the accuracies come to beside labels and augmentation, for each network and kind of labels.
        missing: what could not be computed of that, and what it needs.
    """

    scores: tuple[Score, ...]
    record: dict[str, Any]
    honest: tuple[Honest, ...] = ()
    missing: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        return {
            **self.record,
            "scores": [score.to_json() for score in self.scores],
            "honest": [honest.to_json() for honest in self.honest],
            "missing": list(self.missing),
        }


def evaluate(
    sets: SyntheticSet | str | Path | Sequence[SyntheticSet | str | Path],
    data: str | Path | ImageData | None = None,
    *,
    protocol: str | Protocol = "quick",
    networks: Sequence[str] = (),
    repeats: int | None = None,
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
    **data_options: Any,
) -> Evaluation:
    """Train networks from scratch on each set by one protocol, and test them on the real test images.

    Args:
        sets: one or several sets of one kind (the same method and ipc with different seeds), or their files
            or run folders.
        data: the real images, as for `condensery.data.load`; None takes what the set was made from.
        protocol: a name in `PROTOCOLS`, or a protocol of your own.
        networks: architectures to train; none means the one that the set was condensed with, without its batch
            norm if the protocol says so.
        repeats: networks per set and architecture; None takes the protocol's number.
        baselines: "random" (a fresh random selection for every network) and "whole" (the whole training set).
        whole_epochs: for the whole set; None takes as many optimiser steps as a network gets on the set.
        whole_repeats: networks trained on the whole set.
        soft_labels: train on the sets and on random images with a teacher's labels too; None: hard labels alone.
        augmentation_robustness: train on the sets and on random images without augmentation too.
        w, gamma: weights in the label-robust and in the augmentation-robust score.
        seed: decides weights, order, augmentation, random selections and teachers.
        device: "auto", "cpu" or "cuda".
        callback: called after every trained network.
        data_options: for `condensery.data.load`.

    Raises:
        BadInput: sets that do not fit each other or the data, an unknown name, a number out of range.
    """
    synthetic = _load_sets(sets)
    protocol = get_protocol(protocol) if isinstance(protocol, str) else protocol
    repeats = protocol.repeats if repeats is None else repeats
    _check(repeats, whole_repeats, whole_epochs, baselines)
    check_weights(w, gamma)
    factories = _factories(synthetic[0], networks, protocol)
    data = _load_data(synthetic[0], data, data_options)
    for other in synthetic:
        _check_same_classes(other, data)
    bench = Bench(data, protocol, seed, pick_device(device), soft_labels, callback)
    plan = _Plan(synthetic, repeats, tuple(baselines), whole_repeats, whole_epochs)
    arms = {factory: bench.arms(factory, augmentation_robustness) for factory in factories}
    bench.total = plan.networks(arms.values()) + bench.teachers_needed(factories)
    scores = tuple(score for factory in factories for score in plan.scores(bench, factory, arms[factory]))
    honest = honest_scores(scores, w, gamma)
    unaugmented = augmentation_robustness and not all(map(bench.augments, factories))
    record = _record(synthetic, data, protocol, seed, bench.device)
    record["teachers"] = [teacher.to_json() for teacher in bench.teachers.values()]
    return Evaluation(scores, record, honest, missing_lines(honest, unaugmented))


@dataclass(frozen=True)
class _Plan:
    """What is trained on, and how many networks."""

    sets: Sequence[SyntheticSet]
    repeats: int
    baselines: tuple[str, ...]
    whole_repeats: int
    whole_epochs: int | None

    def networks(self, arms: Iterable[Sequence[Arm]]) -> int:
        """How many are trained with these arms for each architecture."""
        per_arm = len(self.sets) * self.repeats * (1 + ("random" in self.baselines))
        whole = self.whole_repeats * ("whole" in self.baselines)
        return sum(per_arm * len(of_one) + whole for of_one in arms)

    def scores(self, bench: Bench, factory: NetworkFactory, arms: Sequence[Arm]) -> Iterator[Score]:
        """Of one architecture: set, random and whole in the first arm, set and random in the others."""
        for i, arm in enumerate(arms):
            yield bench.score_sets(self.sets, factory, self.repeats, arm)
            if "random" in self.baselines:
                yield bench.score_random(self.sets[0], factory, len(self.sets) * self.repeats, arm)
            if "whole" in self.baselines and i == 0:
                recipe = bench.protocol.recipe(bench.data.spec, factory)
                as_long = equal_epochs(recipe, len(self.sets[0]), len(bench.data.train))
                yield bench.score_whole(factory, self.whole_repeats, self.whole_epochs or as_long)


def _load_sets(
    sets: SyntheticSet | str | Path | Sequence[SyntheticSet | str | Path],
) -> list[SyntheticSet]:
    items = [sets] if isinstance(sets, SyntheticSet | str | Path) else list(sets)
    if not items:
        raise BadInput("no set to evaluate: give a run folder or a .safetensors file")
    loaded = [item if isinstance(item, SyntheticSet) else artifact.load(item) for item in items]
    for one in loaded:
        if classes := one.record.get("shard"):
            raise BadInput(
                f"the set is a shard, which holds {len(classes)} of {one.spec.num_classes} classes: "
                "merge all shards of its run, then evaluate the whole set"
            )
    for other in loaded[1:]:
        for key in ("method", "ipc"):
            if other.record.get(key) != loaded[0].record.get(key):
                raise BadInput(
                    f"sets of different kinds: {key} {loaded[0].record.get(key)!r} and {other.record.get(key)!r}; "
                    "evaluate them one by one"
                )
    return loaded


def _factories(first: SyntheticSet, networks: Sequence[str], protocol: Protocol) -> list[NetworkFactory]:
    """What was asked for, or else the network of the set, in which a protocol may replace batch norm."""
    if networks:
        return [resolve(name) for name in networks]
    name = first.record.get("network", "convnet")
    if ":" in name:  # a file must not decide which code runs
        raise BadInput(
            f"the set was condensed with a network of its maker's, {name}: name one with --networks"
        )
    return [protocol.network(resolve(name))]


def _load_data(
    first: SyntheticSet, data: str | Path | ImageData | None, options: dict[str, Any]
) -> ImageData:
    if isinstance(data, ImageData):
        return data
    origin = first.record.get("data", {})
    if data is None:
        if not origin.get("source"):
            raise BadInput("the set does not say what it was made from: name the real images with --data")
        return load(origin["source"], **{**origin.get("options", {}), **options})
    return load(data, **{**origin.get("options", {}), **options})


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


def _check_same_classes(first: SyntheticSet, data: ImageData) -> None:
    ours, theirs = first.spec.class_names, data.spec.class_names
    if first.spec.shape != data.spec.shape or len(ours) != len(theirs):
        raise BadInput(
            f"the set holds {len(ours)} classes of {first.spec.shape} images, but {data.source} holds "
            f"{len(theirs)} classes of {data.spec.shape}: evaluate it on the data it was made from"
        )
    for c, (name, other) in enumerate(zip(ours, theirs, strict=True)):
        if name != other:
            raise BadInput(
                f"class {c} is {name!r} in the set and {other!r} in {data.source}: "
                "evaluate it on the data it was made from"
            )
    if (first.spec.mean, first.spec.std) != (data.spec.mean, data.spec.std):
        raise BadInput(
            f"the set was normalised with mean {first.spec.mean} and std {first.spec.std}, {data.source} has "
            f"{data.spec.mean} and {data.spec.std}: evaluate it on the data it was made from"
        )


def data_name(data: ImageData) -> str:
    """The known set's name or the source; some classes of it are another set, such as "mnist[3,8]"."""
    name = data.spec.name if data.spec.name != "custom" else data.source
    return f"{name}[{','.join(data.spec.class_names)}]" if "classes" in data.options else name


def _record(
    sets: Sequence[SyntheticSet], data: ImageData, protocol: Protocol, seed: int, device: torch.device
) -> dict[str, Any]:
    first = sets[0].record
    return {
        "data": data_name(data),
        "fingerprint": data.fingerprint,
        "method": first.get("method"),
        "fields": first.get("fields"),
        "ipc": first.get("ipc"),
        "steps": first.get("step"),
        "condensed_with": first.get("network"),
        "condense_seconds": [s.record.get("seconds", 0) for s in sets],
        "set_seeds": [s.record.get("seed") for s in sets],
        "made_with": [run_command(s.record) for s in sets if "fields" in s.record],
        "protocol": protocol.name,
        "seed": seed,
        **environment(device),
    }
