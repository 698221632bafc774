"""What the diagnostics share: the task to measure on, the method behind a set, and how a finding is written down."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from condensery.budgets import recorded, uniform
from condensery.errors import BadInput
from condensery.method import Method, Task
from condensery.methods import get_method
from condensery.provenance import environment, pick_device
from condensery.records import ImageData, SyntheticSet


def spread(values: Iterable[float]) -> dict[str, float | int]:
    """Mean, population standard deviation (as accuracies have it) and number of `values`, at least one."""
    array = np.fromiter(values, dtype=np.float64)
    return {"mean": float(array.mean()), "std": float(array.std()), "n": len(array)}


def make_task(images: ImageData, sets: Sequence[SyntheticSet], network: str, device: str) -> Task:
    """The real images and a network on `device`, for 1 image per class; see `with_budget`.

    Raises:
        BadInput: there is no set, no such network or no such device.
    """
    if not sets:
        raise BadInput("no set to measure: give at least one")
    return Task.on(images, network, uniform(1, images.spec.num_classes), pick_device(device))


def with_budget(task: Task, synthetic: SyntheticSet) -> Task:
    """`task` for as many images per class as `synthetic` has.

    Raises:
        BadInput: it has other classes or images than the task, or no image of one.
    """
    if synthetic.spec.shape != task.spec.shape or synthetic.spec.class_names != task.spec.class_names:
        raise BadInput(
            f"the set holds {synthetic.spec.num_classes} classes of {synthetic.spec.shape} images, the data "
            f"{task.spec.num_classes} of {task.spec.shape}: measure it on the data it was made from"
        )
    if 0 in synthetic.counts or synthetic.labels.tolist() != sorted(synthetic.labels.tolist()):
        raise BadInput("the set must hold images of each class, in the order of the classes")
    return replace(task, counts=synthetic.counts)


def method_of(synthetic: SyntheticSet, **fields: Any) -> Method:
    """The method that made a set, by its record; `fields` replace some of its settings.

    Raises:
        BadInput: the record names no method of condensery's, or there is no such field.
    """
    name = str(synthetic.record.get("method"))
    return get_method(name, **{**synthetic.record.get("fields", {}), **fields})


def finding(
    quantity: str, images: ImageData, sets: Sequence[SyntheticSet], task: Task, seed: int, **values: Any
) -> dict[str, Any]:
    """`values` with what it takes to find them again."""
    return {
        "quantity": quantity,
        "data": images.spec.name if images.spec.name != "custom" else images.source,
        "fingerprint": images.fingerprint,
        "methods": [s.record.get("method") for s in sets],
        "fields": [s.record.get("fields") for s in sets],
        "ipc": [recorded(s.counts) for s in sets],
        "set_seeds": [s.record.get("seed") for s in sets],
        "network": task.network.name,
        "seed": seed,
        **values,
        **environment(task.device),
    }
