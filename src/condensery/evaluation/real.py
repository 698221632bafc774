"""The real images that a set is judged or labelled with: of its classes in its order, normalised as it is."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from condensery.data import load
from condensery.data.sources import silent
from condensery.errors import BadInput
from condensery.provenance import changed_parts
from condensery.records import ImageData, ImageSpec, LabeledImages, SyntheticSet


def real_images(
    synthetic: SyntheticSet,
    data: str | Path | ImageData | None,
    options: dict[str, Any],
    announce: Callable[[str], None] = silent,
) -> ImageData:
    """The real images that a set is judged or labelled with: `data`, or None for what it was made from.

    Args:
        options: for `condensery.data.load`, beside those that the set names.
        announce: called with lines of text for a person.

    Returns:
        The images with the labels and the normalisation of the set: its order of classes, its mean and std.

    Raises:
        BadInput: the set does not say what it was made from, or the images are of other classes or sizes.
    """
    origin = synthetic.record.get("data", {})
    if not isinstance(data, ImageData):
        if data is None and not origin.get("source"):
            raise BadInput("the set does not say what it was made from: name the real images with --data")
        source = origin["source"] if data is None else data
        asked = {**origin.get("options", {}), **options, "whitening": None}  # it is the set's, whatever it is
        data = load(source, announce=announce, **asked)
    if changed := changed_parts(origin, data):
        announce(_changed_line(changed, data.source))
    return _as_in_set(synthetic.spec, data, announce)


def _changed_line(parts: Sequence[str], source: str) -> str:
    """What of the images is not what the set was made from."""
    if set(parts) == {"test"}:
        return f"the test images of {source} are others than when the set was made; its training images are the same"
    if set(parts) == {"train"}:
        return f"the training images of {source} are others than the set was made from; its test images are the same"
    return f"{source} holds other images than the set was made from"


def _as_in_set(spec: ImageSpec, data: ImageData, announce: Callable[[str], None]) -> ImageData:
    """`data` with the classes of a set in its order, and normalised as it is; what that changes is said."""
    if spec.shape != data.spec.shape:
        raise BadInput(
            f"the set holds images of shape {spec.shape}, {data.source} of {data.spec.shape}: give images of the "
            "same size and channels"
        )
    found = data
    if spec.class_names != data.spec.class_names:
        found = _with_classes(spec.class_names, data)
        announce(f"classes of {data.source} are matched by name: they are in another order there")
    alike = (spec.mean, spec.std) == (data.spec.mean, data.spec.std)
    if not spec.normalises_as(data.spec):
        found = replace(found, spec=found.spec.normalised_as(spec))
    if spec.whitening is not None:
        announce(f"images of {data.source} are whitened as the set is ({spec.whitening.kind})")
    elif not alike:
        announce(
            f"images of {data.source} are normalised with the set's mean {_few(spec.mean)} and std {_few(spec.std)}, "
            f"not with their own {_few(data.spec.mean)} and {_few(data.spec.std)}"
        )
    return found


def _with_classes(names: tuple[str, ...], data: ImageData) -> ImageData:
    """`data` with its classes in the order of `names`.

    Raises:
        BadInput: they are other classes, or two have one name, so that they cannot be told apart.
    """
    theirs = data.spec.class_names
    absent = [name for name in names if name not in theirs]
    more = [name for name in theirs if name not in names]
    if absent or more or len(set(theirs)) < len(theirs):
        what = f"{data.source} has no class {absent[0]!r}" if absent else f"{data.source} has {len(theirs)}"
        beside = f", and {more[0]!r}, which the set has not" if more else ""
        raise BadInput(
            f"the set has {len(names)} classes, {what}{beside}: evaluate it on images of the classes that it has"
        )
    label = np.array([names.index(name) for name in theirs])
    parts = [LabeledImages(part.pixels, label[part.labels]) for part in (data.train, data.test)]
    return replace(data, spec=replace(data.spec, class_names=names), train=parts[0], test=parts[1])


def _few(values: Sequence[float]) -> str:
    return " ".join(f"{value:.4g}" for value in values)
