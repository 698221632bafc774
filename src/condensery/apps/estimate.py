"""How long a study will take: each kind of work is measured once, and what it makes is thrown away."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from condensery.comparison.estimate import Stopwatch
from condensery.comparison.jobs import sets
from condensery.comparison.plan import Entry, Plan
from condensery.evaluation import get_protocol
from condensery.evaluation.cost import EvaluationTimer
from condensery.models.registry import resolve
from condensery.provenance import pick_device
from condensery.records import ImageData

_MOST_TIMED = 6  # networks
_PROTOCOL = get_protocol("quick")


def training(images: ImageData, networks: Sequence[str], total: float, device: str) -> float:
    """Seconds to train networks on a `total` of such images: the mean of a few of these kinds, which are measured."""
    timer = EvaluationTimer(images, _PROTOCOL, pick_device(device), lambda kept: True)
    few = networks[:: -(-len(networks) // _MOST_TIMED)]
    return total * sum(timer.per_image(resolve(name)) for name in few) / len(few)


def making(images: ImageData, entries: Iterable[Entry], ipc: int, network: str, device: str) -> float:
    """Seconds to make a set of such images by each method and selector."""
    plan = Plan.on(
        images,
        entries=tuple(entries),
        budgets=(ipc,),
        condense_with=(network,),
        networks=(),
        seeds=(0,),
        protocol=_PROTOCOL.to_json(),
        repeats=1,
    )
    watch = Stopwatch(plan, images, device)
    return sum(map(watch.seconds, sets(plan)))
