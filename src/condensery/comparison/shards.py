"""A run split over classes: who learns which, and the whole set from the parts.

Where a method's classes share nothing but networks that are drawn, never trained (distribution matching), a run
restricted to some classes makes the same draws for them as the whole run and gives the same images.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from condensery.errors import BadInput
from condensery.records import SyntheticSet

_SHARED = ("method", "fields", "ipc", "network", "seed", "step", "steps")
_OWN = ("shard", "seconds", "memory", "time", "hardware", "versions", "commit")


def split_classes(num_classes: int, shards: int) -> list[tuple[int, ...]]:
    """`range(num_classes)` in `shards` contiguous parts whose sizes differ by one at most.

    Raises:
        BadInput: fewer than one part, or more parts than classes.
    """
    if not 1 <= shards <= num_classes:
        raise BadInput(f"--shards must be from 1 to the number of classes, {num_classes}, not {shards}")
    bounds = [num_classes * k // shards for k in range(shards + 1)]
    return [tuple(range(bounds[k], bounds[k + 1])) for k in range(shards)]


def merge_shards(sets: Sequence[SyntheticSet]) -> SyntheticSet:
    """The whole set from the shards of one run, in any order.

    The record is that of a whole run with the sum of losses and seconds and the most memory, and says under "shards"
    which classes were learned where.

    Raises:
        BadInput: they are not shards, not of one run, not equally far, or do not hold each class once.
    """
    if not sets:
        raise BadInput("no shards to merge")
    ordered = sorted(sets, key=lambda s: _classes(s))
    first = ordered[0]
    for other in ordered[1:]:
        _require_fit(first, other)
    learned = [c for shard in ordered for c in _classes(shard)]
    if sorted(learned) != list(range(first.spec.num_classes)):
        raise BadInput(
            f"the shards hold the classes {learned}: each of {first.spec.num_classes} classes is needed once"
        )
    labels = torch.cat([shard.labels for shard in ordered])
    order = torch.argsort(labels, stable=True)
    images = torch.cat([shard.images for shard in ordered])[order]
    return SyntheticSet(images, labels[order], first.spec, _record([shard.record for shard in ordered]))


def merge_losses(curves: Sequence[Sequence[float]]) -> list[float]:
    """The loss of the whole run at every step: the sum of the shards'.

    Raises:
        BadInput: the shards made different numbers of steps.
    """
    if len({len(curve) for curve in curves}) > 1:
        raise BadInput(f"the shards made different numbers of steps: {[len(curve) for curve in curves]}")
    return [sum(losses) for losses in zip(*curves, strict=True)]


def _classes(shard: SyntheticSet) -> list[int]:
    if not shard.record.get("shard"):
        raise BadInput("one of the sets is not a shard: its record names no shard")
    return shard.record["shard"]


def _require_fit(first: SyntheticSet, other: SyntheticSet) -> None:
    if other.record["data"]["fingerprint"] != first.record["data"]["fingerprint"]:
        raise BadInput("the shards were made from different images")
    for key in _SHARED:
        ours, theirs = first.record.get(key), other.record.get(key)
        if ours != theirs:
            raise BadInput(f"the shards are of different runs: {key} {ours!r} and {theirs!r}")


def _record(records: Sequence[dict[str, Any]]) -> dict[str, Any]:
    losses = [record["loss"] for record in records]
    hardware = dict.fromkeys(record["hardware"] for record in records)  # each once, in order
    return {
        **{key: value for key, value in records[-1].items() if key != "shard"},
        "loss": None if None in losses else sum(losses),
        "seconds": round(sum(record["seconds"] for record in records), 1),
        "memory": max(record["memory"] for record in records),
        "time": max(record["time"] for record in records),
        "hardware": "; ".join(hardware),
        "shards": [{key: record[key] for key in _OWN if key in record} for record in records],
    }
