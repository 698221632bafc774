"""Where synthetic images start: real images, random or typical ones, or the images of another set."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from condensery.augment import SiameseAugmentation
from condensery.budgets import Counts
from condensery.data.clusters import k_means
from condensery.data.pool import ClassPool
from condensery.errors import BadInput
from condensery.records import ImageSpec, SyntheticSet
from condensery.rng import Rng
from condensery.synthetic.eight_bits import from_pixels
from condensery.text import first_few

GIVEN = "set"
"""The `init` of a method whose images start from another set."""
_DIVIDED = 2000
_REPEATS = SiameseAugmentation("crop_scale_rotate")
_MIRRORED_REPEATS = SiameseAugmentation("crop_flip_scale_rotate")


@dataclass(frozen=True)
class Start:
    """Another set, as images of the data at hand: its classes in their order, normalised as they are.

    Attributes:
        stored: float32 (S, C, H, W), class-major: images, or tiles for methods whose `factor` is that of the set.
        counts: how many of them each class has.
        targets: float32 (M, classes), labels that were learned with the images; None if there are none.
        labels: what kind of labels the set has, see `SyntheticSet.label_kind`.
    """

    stored: Tensor
    counts: Counts
    targets: Tensor | None
    labels: str


def start_of(
    synthetic: SyntheticSet, spec: ImageSpec, factor: int, name: str, announce: Callable[[str], None]
) -> Start:
    """What a run on images of `spec` starts from, if that is `synthetic`.

    Args:
        factor: tiles along each side of an image that the method stores, see `condensery.synthetic.tiles`.
        name: what messages call the set.
        announce: called with lines of text for a person.

    Raises:
        BadInput: it has other classes, or images of another size.
    """
    if synthetic.spec.shape != spec.shape:
        (c, h, w), (channels, height, width) = synthetic.spec.shape, spec.shape
        raise BadInput(
            f"images of {name} are {w}x{h} with {c} channels, those of the data {width}x{height} with {channels}: give "
            f"the data with --size {min(h, w)} --channels {c}, or another set"
        )
    stored, labels = _stored(synthetic, factor, name)
    place = _places(synthetic.spec, spec, name, announce)
    if not synthetic.spec.normalises_as(spec):
        if factor > 1 and (synthetic.spec.whitening or spec.whitening):
            raise BadInput(
                f"{name} is whitened otherwise than the data, which tiles cannot be: give the same --whitening"
            )
        stored = spec.from_unit(synthetic.spec.denormalise(stored))
        announce(f"{name} was normalised otherwise: its images are now normalised as the data are")
    labels = place[labels]
    order = torch.argsort(labels, stable=True)
    targets = synthetic.targets if synthetic.label_kind == "learned" else None
    if isinstance(targets, Tensor):
        images = torch.argsort(place[synthetic.labels], stable=True)
        targets = targets[images][:, torch.argsort(place)]
    counts = tuple(torch.bincount(labels, minlength=spec.num_classes).tolist())
    if 0 in counts:
        raise BadInput(
            f"{name} has no image of class {spec.class_names[counts.index(0)]!r}: start from another set"
        )
    return Start(
        stored[order].contiguous(),
        counts,
        targets if isinstance(targets, Tensor) else None,
        synthetic.label_kind,
    )


def _stored(synthetic: SyntheticSet, factor: int, name: str) -> tuple[Tensor, Tensor]:
    """Images or tiles as a method with this factor stores them, and their classes."""
    images, labels = synthetic.images.detach().cpu(), synthetic.labels.cpu()
    each = factor**2
    if factor > 1 and int(synthetic.stored.get("tiles.factor", torch.tensor(1))) == factor:
        tiles = {name.removeprefix("tiles."): tensor.cpu() for name, tensor in synthetic.stored.items()}
        eight_bit = tiles["images"].dtype == torch.uint8
        stored = from_pixels(tiles, synthetic.spec) if eight_bit else tiles["images"].clone()
        return stored, labels[::each]
    if factor == 1:
        return images.clone(), labels
    if bool((torch.bincount(labels) % each).any()):
        raise BadInput(
            f"--factor {factor} makes each image of {each} others, and {name} has "
            f"{min(torch.bincount(labels).tolist())} of a class: leave out --factor, or start from another set"
        )
    order = torch.argsort(labels, stable=True)
    return joined_tiles(F.avg_pool2d(images[order], factor), factor), labels[order][::each]


def _places(theirs: ImageSpec, ours: ImageSpec, name: str, announce: Callable[[str], None]) -> Tensor:
    """int64 (classes,): where each of their classes is among ours."""
    if theirs.class_names == ours.class_names:
        return torch.arange(ours.num_classes)
    absent = [one for one in ours.class_names if one not in theirs.class_names]
    more = [one for one in theirs.class_names if one not in ours.class_names]
    if absent or more or len(set(ours.class_names)) < ours.num_classes:
        what = f"no class {absent[0]!r:.60}" if absent else f"the class {(more or ours.class_names)[0]!r:.60}"
        raise BadInput(f"{name} has {what}, unlike the data: start from a set of the same classes")
    announce(f"{name} has its classes in another order: they are matched by name")
    return torch.tensor([ours.class_names.index(one) for one in theirs.class_names])


def real_starts(pool: ClassPool, c: int, count: int, rng: Rng) -> Tensor:
    """`count` random real images of class `c`, float32 (count, C, H, W) in normalised space.

    All different, as far as the class has as many. Beyond that they are repeated: moved, scaled, turned, and mirrored
    where that keeps the label.
    """
    return _made_up(pool, c, pool.sample(c, count, rng), count, rng)


def typical_starts(pool: ClassPool, c: int, count: int, factor: int, rng: Rng) -> Tensor:
    """As `real_starts`, but the real images nearest to the means of `count` clusters of the class.

    Clusters are by k-means on the pixels of at most `_DIVIDED` random images, made smaller by `factor`.
    """
    images = pool.sample(c, _DIVIDED, rng.fork("divided"))
    seen = F.avg_pool2d(images, factor) if factor > 1 else images
    nearest = k_means(seen.flatten(1).cpu().numpy(), count, rng.fork("clusters")).nearest
    return _made_up(pool, c, images[torch.from_numpy(nearest).to(images.device)], count, rng)


def _made_up(pool: ClassPool, c: int, first: Tensor, count: int, rng: Rng) -> Tensor:
    """`first`, and as many repeated images as make `count` of them."""
    found = [first]
    augmentation = _MIRRORED_REPEATS if pool.spec.flip else _REPEATS
    while (left := count - sum(map(len, found))) > 0:
        again = rng.fork("again", len(found))
        found.append(augmentation(pool.sample(c, left, again), again.fork("augmentation")))
    return torch.cat(found) if len(found) > 1 else found[0]


def repeats_line(pool: ClassPool, needed: Counts) -> list[str]:
    """A line on the classes that have fewer real images than `needed` for each, if there are any."""
    short = [c for c, n in enumerate(needed) if n > pool.counts[c]]
    if not short:
        return []
    each = [f"{pool.spec.class_names[c]} {pool.counts[c]} for {needed[c]}" for c in short]
    return [
        f"{'a class has' if len(short) == 1 else f'{len(short)} classes have'} fewer real images than the start takes, "
        f"which are repeated with augmentation: {first_few(each)}"
    ]


def joined_tiles(tiles: Tensor, factor: int) -> Tensor:
    """(S * factor^2, C, h, w) -> (S, C, factor * h, factor * w): the inverse of cutting, row by row."""
    count, channels, rows, columns = tiles.shape
    grid = tiles.reshape(count // factor**2, factor, factor, channels, rows, columns)
    return grid.permute(0, 3, 1, 4, 2, 5).reshape(-1, channels, factor * rows, factor * columns)
