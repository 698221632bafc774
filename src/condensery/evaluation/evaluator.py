"""Train networks on sets, test them on the real test images, and do the same for the baselines."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from condensery import artifact
from condensery.coresets import random_selection
from condensery.data import ClassPool, load
from condensery.data.pool import batches
from condensery.errors import BadInput
from condensery.evaluation.protocols import Protocol, get_protocol
from condensery.evaluation.scores import Score
from condensery.models.registry import NetworkFactory, resolve
from condensery.provenance import environment, pick_device
from condensery.records import ImageData, SyntheticSet
from condensery.report.command import run_command
from condensery.rng import Rng
from condensery.training import Images, Recipe, TensorImages, accuracy, default_chunk, fit, forward_layout

BASELINES = ("random", "whole")
_TEST_BATCH = 256


@dataclass(frozen=True)
class Trained:
    """News for a callback: one network is done.

    Attributes:
        subject, network: what was trained on, and which architecture.
        accuracy: of that network on the test images, a fraction.
        done, total: networks so far and in all.
    """

    subject: str
    network: str
    accuracy: float
    done: int
    total: int


@dataclass(frozen=True)
class Evaluation:
    """Everything an evaluation found, and what it takes to find it again.

    Attributes:
        scores: one for each subject and network; the sets themselves first.
        record: JSON-able facts: data, method, ipc, protocol, seed, device, versions, commit.
    """

    scores: tuple[Score, ...]
    record: dict[str, Any]

    def to_json(self) -> dict[str, Any]:
        return {**self.record, "scores": [score.to_json() for score in self.scores]}


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
        seed: decides weights, order, augmentation and random selections.
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
    first = synthetic[0]
    factories = _factories(first, networks, protocol)
    data = _load_data(first, data, data_options)
    for other in synthetic:
        _check_same_classes(other, data)
    bench = _Bench(data, protocol, Rng(seed).fork("evaluate"), pick_device(device), callback)
    per_network = len(synthetic) * repeats * (1 + ("random" in baselines)) + whole_repeats * (
        "whole" in baselines
    )
    bench.total = per_network * len(factories)
    scores = []
    for factory in factories:
        scores.append(bench.score_sets(synthetic, factory, repeats))
        if "random" in baselines:
            scores.append(bench.score_random(first, factory, len(synthetic) * repeats))
        if "whole" in baselines:
            scores.append(bench.score_whole(first, factory, whole_repeats, whole_epochs))
    return Evaluation(tuple(scores), _record(synthetic, data, protocol, seed, bench.device))


class _Bench:
    """Trains and tests networks on one data set under one protocol."""

    def __init__(
        self,
        data: ImageData,
        protocol: Protocol,
        rng: Rng,
        device: torch.device,
        callback: Callable[[Trained], None] | None,
    ) -> None:
        self.data, self.protocol, self.rng, self.device, self.callback = data, protocol, rng, device, callback
        self.chunk = default_chunk(device)
        self.done = self.total = 0

    def score_sets(self, sets: Sequence[SyntheticSet], factory: NetworkFactory, repeats: int) -> Score:
        images = [TensorImages(s.images.to(self.device), s.labels.to(self.device)) for s in sets]
        subject = str(sets[0].record.get("method", "set"))
        return self._score(subject, factory, images, repeats, sets[0].bytes)

    def score_random(self, like: SyntheticSet, factory: NetworkFactory, count: int) -> Score:
        """`count` random selections of the size of `like`, one network each."""
        pool = ClassPool(self.data.train, self.data.spec, self.device)
        ipc = len(like) // like.spec.num_classes
        picks = [random_selection(pool, ipc, self.rng.fork("random selection", i)) for i in range(count)]
        images = [TensorImages(s.images.to(self.device), s.labels.to(self.device)) for s in picks]
        return self._score("random", factory, images, 1, picks[0].bytes)

    def score_whole(
        self, like: SyntheticSet, factory: NetworkFactory, repeats: int, epochs: int | None
    ) -> Score:
        """The whole training set with at least the optimiser steps that a network gets on `like`."""
        whole = _WholeSet(self.data, self.device)
        recipe = self._recipe(factory)
        if epochs is None:
            steps = recipe.epochs * math.ceil(len(like) / recipe.batch_size)
            epochs = max(1, math.ceil(steps / math.ceil(len(whole) / recipe.batch_size)))
        decay = max(1, round(epochs * recipe.decay_after[0] / recipe.epochs)) if recipe.decay_after else 0
        recipe = replace(recipe, epochs=epochs, decay_after=(decay,))
        size = self.data.train.pixels.nbytes + self.data.train.labels.nbytes
        return self._score("whole", factory, [whole], repeats, size, recipe)

    def _recipe(self, factory: NetworkFactory) -> Recipe:
        return self.protocol.recipe(self.data.spec, factory)

    def _score(
        self,
        subject: str,
        factory: NetworkFactory,
        sets: Sequence[Images],
        repeats: int,
        size: int,
        recipe: Recipe | None = None,
    ) -> Score:
        started = time.perf_counter()
        recipe = recipe or self._recipe(factory)
        rows = []
        for i, images in enumerate(sets):
            row = []
            for k in range(repeats):
                rng = self.rng.fork(subject, factory.canonical, i, k)
                row.append(self._train_and_test(factory, images, recipe, rng))
                self._report(subject, factory, row[-1])
            rows.append(tuple(row))
        seconds = time.perf_counter() - started
        return Score(subject, factory.name, len(sets[0]), size, tuple(rows), recipe.epochs, seconds)

    def _train_and_test(self, factory: NetworkFactory, images: Images, recipe: Recipe, rng: Rng) -> float:
        network = factory.build(self.data.spec, rng.fork("network")).to(self.device)
        augment = self.protocol.augment(self.data.spec, factory)
        with rng.fork("layers").seeded(self.device):  # for networks with layers that draw, such as dropout
            fit(network, images, recipe, rng.fork("training"), augment=augment, chunk=self.chunk)
        test = batches(self.data.test, self.data.spec, self.device, _TEST_BATCH)
        if factory.any_layout:
            test = ((forward_layout(images), labels) for images, labels in test)
        return accuracy(network, test, self.chunk)

    def _report(self, subject: str, factory: NetworkFactory, value: float) -> None:
        self.done += 1
        if self.callback:
            self.callback(Trained(subject, factory.name, value, self.done, self.total))


class _WholeSet:
    """The whole training set, normalised batch by batch."""

    def __init__(self, data: ImageData, device: torch.device) -> None:
        self.pool = ClassPool(data.train, data.spec, device)
        self.labels = torch.tensor(data.train.labels)

    def __len__(self) -> int:
        return len(self.labels)

    def batch(self, indices: Tensor) -> tuple[Tensor, Tensor]:
        return self.pool.images_at(indices.numpy()), self.labels[indices].to(self.pool.device)


def _load_sets(
    sets: SyntheticSet | str | Path | Sequence[SyntheticSet | str | Path],
) -> list[SyntheticSet]:
    items = [sets] if isinstance(sets, SyntheticSet | str | Path) else list(sets)
    if not items:
        raise BadInput("no set to evaluate: give a run folder or a .safetensors file")
    loaded = [item if isinstance(item, SyntheticSet) else artifact.load(item) for item in items]
    for one in loaded:
        if classes := one.record.get("classes"):
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


def _data_name(data: ImageData) -> str:
    """The known set's name or the source; some classes of it are another set, such as "mnist[3,8]"."""
    name = data.spec.name if data.spec.name != "custom" else data.source
    return f"{name}[{','.join(data.spec.class_names)}]" if "classes" in data.options else name


def _record(
    sets: Sequence[SyntheticSet], data: ImageData, protocol: Protocol, seed: int, device: torch.device
) -> dict[str, Any]:
    first = sets[0].record
    return {
        "data": _data_name(data),
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
