"""Streams of tasks: several sets one after the other, or the classes of one set in steps."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from condensery.data import load
from condensery.data.sources import absolute_source
from condensery.errors import BadInput
from condensery.jobs.images import recalled, remember
from condensery.records import ImageData, ImageSpec, LabeledImages
from condensery.rng import Rng

SCENARIOS = ("class", "domain", "task")
_CHANGE = re.compile(r"invert|rotate=(90|180|270)")


@dataclass(frozen=True)
class Step:
    """What comes at once.

    Attributes:
        name: for people.
        images: of this step's classes alone; label k means class `classes[k]` of the stream.
        classes: int64 (K,).
    """

    name: str
    images: ImageData
    classes: Tensor


@dataclass(frozen=True)
class Stream:
    """Tasks in order.

    Attributes:
        scenario: "class" (new classes of one set), "domain" (the same classes in other images) or "task" (each set has
            classes of its own, and the task of an image is known).
        spec: of a network that knows all classes.
    """

    scenario: str
    spec: ImageSpec
    steps: tuple[Step, ...]

    def rivals(self, t: int) -> Tensor:
        """bool (classes, classes): in row c those that an image of class c may be taken for after step `t`."""
        allowed = torch.zeros(self.spec.num_classes, self.spec.num_classes, dtype=torch.bool)
        seen = torch.cat([step.classes for step in self.steps[: t + 1]]).unique()
        for step in self.steps[: t + 1]:
            among = step.classes if self.scenario == "task" else seen
            allowed[step.classes[:, None], among] = True
        return allowed

    def heads(self, t: int) -> list[Tensor]:
        """The classes that came together in each step up to `t`; one group where all steps have the same."""
        groups = [step.classes for step in self.steps[: t + 1]]
        return groups[:1] if self.scenario == "domain" else groups


def load_sets(
    data: Sequence[str | Path | ImageData], options: Mapping[str, Any], announce: Callable[[str], None]
) -> list[dict[str, Any]]:
    """The sets of a stream as a job's record has them: source, options, fingerprint, and a change of the images.

    "NAME+invert" and "NAME+rotate=90" (180, 270) are NAME with all its images inverted or turned: another domain.
    """
    records = []
    for one in data:
        name, change = (str(one), "") if isinstance(one, ImageData) else _split(str(one))
        images = remember(load(one if isinstance(one, ImageData) else name, announce=announce, **options))
        source = absolute_source(images.source)
        record = {"source": source, "options": images.options, "fingerprint": images.fingerprint}
        records.append(
            {**record, "name": Path(images.source).name + (f"+{change}" if change else ""), "change": change}
        )
    return records


def _split(name: str) -> tuple[str, str]:
    before, plus, change = name.rpartition("+")
    return (before, change) if plus and _CHANGE.fullmatch(change) else (name, "")


def stream_of(
    sets: Sequence[Mapping[str, Any]],
    scenario: str,
    tasks: int,
    order: Sequence[str],
    shuffled: bool,
    seed: int,
) -> Stream:
    """The stream of a job's record.

    Args:
        sets: records of `load_sets`.
        tasks: steps into which the classes of one set are split; for the scenario "class" alone.
        order: names of all classes in the order in which they come; () for the set's own, or a drawn one.
        shuffled: draw the order of classes, or of sets, from the seed.

    Raises:
        BadInput: the sets do not make such a stream.
    """
    if scenario not in SCENARIOS:
        raise BadInput(f"unknown scenario {scenario!r}; choose one of {', '.join(SCENARIOS)}")
    whole = [_changed(recalled(record), record["change"]) for record in sets]
    names = [record["name"] for record in sets]
    rng = Rng(seed).fork("order").numpy()
    if scenario == "class":
        return _by_classes(whole, names, tasks, order, rng.permutation if shuffled else np.arange)
    if order:
        raise BadInput(
            "an order of classes is for the scenario class: write the sets in the order in which they come"
        )
    _require_stream(whole, names, scenario)
    places = rng.permutation(len(whole)) if shuffled else range(len(whole))
    return _of_sets([whole[i] for i in places], [names[i] for i in places], scenario)


def _by_classes(
    sets: Sequence[ImageData],
    names: Sequence[str],
    tasks: int,
    order: Sequence[str],
    drawn: Callable[[int], np.ndarray],
) -> Stream:
    if len(sets) != 1:
        raise BadInput(
            f"the scenario class splits the classes of one set, not of {', '.join(names)}: "
            "name one, or ask for --scenario domain or task"
        )
    images, known = sets[0], sets[0].spec.class_names
    most = len(known) // 2
    if not 2 <= tasks <= most:
        fix = (
            f"ask for 2 to {most} --tasks"
            if most > 2
            else "ask for 2 --tasks"
            if most == 2
            else "it is too small"
        )
        raise BadInput(
            f"{len(known)} classes of {names[0]} in {tasks} steps: a stream has 2 or more steps with 2 or more new "
            f"classes each; {fix}"
        )
    for name in order:
        if name not in known or list(order).count(name) > 1:
            why = "is there twice" if name in known else f"is no class of {names[0]}"
            raise BadInput(f"the class {name!r} in the order {why}: name every class once")
    if order and len(order) < len(known):
        missing = next(name for name in known if name not in order)
        raise BadInput(f"the class {missing!r} of {names[0]} is not in the order: name every class once")
    labels = np.array([known.index(name) for name in order]) if order else drawn(len(known))
    steps = []
    for part in np.array_split(labels, tasks):
        chosen = tuple(known[c] for c in part)
        steps.append(Step(",".join(chosen), _part(images, part, chosen), torch.as_tensor(part)))
    return Stream("class", images.spec, tuple(steps))


def _of_sets(sets: Sequence[ImageData], names: Sequence[str], scenario: str) -> Stream:
    """All are normalised as the first set is: that is all that is known when the stream begins."""
    first = sets[0].spec
    known = first.class_names
    if scenario == "task":
        known = tuple(
            f"{name} {c}" for name, one in zip(names, sets, strict=True) for c in one.spec.class_names
        )
    steps, begun = [], 0
    for name, one in zip(names, sets, strict=True):
        spec = one.spec.normalised_as(first)
        if scenario == "task":
            classes = torch.arange(begun, begun + spec.num_classes)
            begun += spec.num_classes
        else:
            classes = torch.tensor([known.index(c) for c in spec.class_names])
        steps.append(Step(name, replace(one, spec=spec), classes))
    flip = all(one.spec.flip for one in sets)
    return Stream(scenario, replace(first, name="custom", class_names=known, flip=flip), tuple(steps))


def _require_stream(sets: Sequence[ImageData], names: Sequence[str], scenario: str) -> None:
    if len(sets) < 2:
        raise BadInput(
            f"the scenario {scenario} needs 2 or more sets, not {names[0]} alone: name more with --data, or ask for "
            "--scenario class"
        )
    first, ours = names[0], set(sets[0].spec.class_names)
    for i, (name, one) in enumerate(zip(names, sets, strict=True)):
        if one.spec.shape != sets[0].spec.shape:
            shapes = ["x".join(map(str, images.spec.shape)) for images in (one, sets[0])]
            raise BadInput(
                f"images of {name} are {shapes[0]} and those of {first} {shapes[1]}: give --size and --channels"
            )
        if one.fingerprint in {other.fingerprint for other in sets[:i]}:
            raise BadInput(
                f"step {i + 1}, {name}, brings nothing new: the same images came before; leave it out"
            )
        if scenario == "domain" and (apart := ours.symmetric_difference(one.spec.class_names)):
            raise BadInput(
                f"{name} has other classes than {first}, such as {min(apart)!r}: a change of domain keeps the classes; "
                "ask for --scenario task, or choose --classes"
            )


def _changed(images: ImageData, change: str) -> ImageData:
    """All images inverted or turned."""
    if not change:
        return images

    def of(part: LabeledImages) -> LabeledImages:
        if change == "invert":
            return replace(part, pixels=255 - part.pixels)
        turned = np.rot90(part.pixels, int(change.partition("=")[2]) // 90, axes=(1, 2))
        return replace(part, pixels=np.ascontiguousarray(turned))

    changed = replace(
        images, train=of(images.train), test=of(images.test), source=f"{images.source}+{change}"
    )
    shape = changed.train.pixels.shape
    spec = replace(images.spec, height=shape[1], width=shape[2], name="custom")
    return replace(changed, spec=spec, fingerprint=_derived(images.fingerprint, change))


def _part(images: ImageData, classes: np.ndarray, names: tuple[str, ...]) -> ImageData:
    """The images of some classes, which become 0, 1, ... in this order."""
    new = np.full(images.spec.num_classes, -1)
    new[classes] = np.arange(len(classes))

    def of(part: LabeledImages) -> LabeledImages:
        chosen = np.flatnonzero(new[part.labels] >= 0)
        return LabeledImages(np.asarray(part.pixels[chosen]), new[part.labels[chosen]])

    train, test = of(images.train), of(images.test)
    for kind, part in (("training", train), ("test", test)):
        for c, number in enumerate(np.bincount(part.labels, minlength=len(names))):
            if not number:
                raise BadInput(
                    f"{images.source} has no {kind} image of the class {names[c]!r}: leave it out with --classes"
                )
    fingerprint = _derived(images.fingerprint, "classes", *names)
    source = f"{images.source}, classes {', '.join(names)}"
    return replace(
        images, spec=replace(images.spec, class_names=names), train=train, test=test, source=source,
        fingerprint=fingerprint, options={}, found=None,
    )  # fmt: skip


def _derived(fingerprint: str, *words: str) -> str:
    """The fingerprint of images that are made of others."""
    return hashlib.sha256("\n".join((fingerprint, *words)).encode()).hexdigest()
