"""What is given up for time, one setting after the other, and how far down a budget has to go.

A smaller real batch costs least, a size at which most updates are made comes next, then the width of the network.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import fields, replace
from typing import Any

from condensery.errors import BadInput
from condensery.method import Method
from condensery.minutes.clock import Clock, Rung, bytes_of, work_of
from condensery.models.registry import resolve
from condensery.records import ImageSpec

_SMALLEST = 32  # pixels on the shorter side at a coarse size
_MOST_BYTES = 3 * 2**30  # of activations on a CPU

_CUTS: tuple[tuple[str, int], ...] = (
    ("real_batch", 2),
    ("coarse", 2),
    ("width", 64),
    ("coarse", 3),
    ("real_batch", 4),
    ("coarse", 4),
    ("width", 32),
    ("inner_loop", 2),
    ("classes_per_step", 50),
    ("classes_per_step", 10),
)
"""What is given up, in this order: a field and the value, or for batches and loops the divisor, that it gets."""


def rungs(method: Method, network: str, fixed: Collection[str], clock: Clock) -> list[Rung]:
    """From what was asked for down to the cheapest settings; those that the method refuses are left out."""
    found = [Rung(method, network)]
    narrow = resolve(network)
    free = narrow.kind == "convnet" and not narrow.options and "network" not in fixed
    for name, value in _CUTS:
        changed = _cut(found[-1], name, value, method, free, fixed, clock.pool.spec)
        if changed is None or changed == found[-1]:
            continue
        try:
            changed.method.check(clock.task(changed))
        except BadInput:
            continue
        found.append(changed)
    light = [rung for rung in found if clock.device.type != "cpu" or bytes_of(rung, clock) < _MOST_BYTES]
    return light or found[-1:]


def _cut(
    rung: Rung, name: str, value: int, method: Any, free: bool, fixed: Collection[str], spec: ImageSpec
) -> Rung | None:
    """The rung below, in which `name` is given up; None where that cannot be."""
    if name == "width":
        return replace(rung, network=f"convnet+width={value}") if free else None
    if name in fixed or name not in {f.name for f in fields(method)}:
        return None
    asked = getattr(method, name)
    if name == "coarse":
        fits = (
            asked == 1 and min(spec.height, spec.width) // value >= _SMALLEST and "coarse_steps" not in fixed
        )
        return replace(rung, method=replace(rung.method, coarse=value, coarse_steps=1)) if fits else None
    if name == "classes_per_step":
        few = value if not asked and spec.num_classes > 2 * value else 0
        return replace(rung, method=replace(rung.method, classes_per_step=few)) if few else None
    return replace(rung, method=replace(rung.method, **{name: max(asked // value, min(asked, 8))}))


def chosen_rung(ladder: list[Rung], clock: Clock, enough: int, share: float = 1.0) -> tuple[Rung, float]:
    """The first rung on which `enough` steps fit into a share of the time, or else the last; and seconds of a step.

    The cheapest is timed first. Others are timed where its time, scaled by the work, says that they may fit.
    """
    last = ladder[-1]
    cheapest, work = clock.step(last), work_of(last, clock)
    for rung in ladder[:-1]:
        if cheapest * work_of(rung, clock) / work * enough <= 1.5 * share * clock.left:
            seconds = clock.step(rung)
            if seconds * enough <= share * clock.left:
                return rung, seconds
    return last, cheapest
