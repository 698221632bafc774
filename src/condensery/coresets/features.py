"""Features of real images: what the last layer of a network but one makes of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import cast

import numpy as np
from torch import Tensor, nn

from condensery.coresets.networks import (
    check_weights,
    map_images,
    map_task,
    ready_network,
    training_work,
)
from condensery.coresets.selector import SelectionTask
from condensery.errors import BadInput
from condensery.matching.moments import Embedding
from condensery.rng import Rng
from condensery.training import FORWARD, Images


def features(
    network: nn.Module,
    images: Images,
    *,
    chunk: int | None = None,
    any_layout: bool = False,
    worked: Callable[[int], object] = int,
) -> Tensor:
    """`network.embed` of all of `images` in order, in evaluation mode: float32 (N, D) on the images' device.

    Args:
        network: has embed(), see `NetworkFactory.has_embedding`.
        images: real ones (`data.PoolImages`) or a set's (`training.TensorImages`).
        chunk, any_layout, worked: as for `networks.map_images`.
    """
    embed = cast(Embedding, network.embed)
    return map_images(
        network, lambda x, _: embed(x), images, chunk=chunk, any_layout=any_layout, worked=worked
    )


def check_features(name: str, task: SelectionTask, weights: str, epochs: int) -> list[str]:
    """Lines on the features that selector `name` uses. Raises BadInput where there can be none."""
    if not task.network.has_embedding(task.spec):
        raise BadInput(
            f"{name} compares features and {task.network.name} has none: "
            "choose a network with embed(), such as convnet"
        )
    return [f"features of {check_weights(task, weights, epochs)}"]


def features_work(task: SelectionTask, weights: str, epochs: int, rng: Rng) -> float:
    """Work of `class_features`."""
    return training_work(task, weights, epochs, rng.fork("features")) + FORWARD * len(task.pool.labels)


def class_features(
    task: SelectionTask, weights: str, epochs: int, rng: Rng
) -> Iterator[tuple[np.ndarray, Tensor]]:
    """For each class the indices (n,) of its images and their features (n, D), under one network."""
    network = ready_network(task, weights, epochs, rng.fork("features"))
    embed = cast(Embedding, network.embed)
    for c in task.classes:
        members = task.pool.members(c)
        yield members, map_task(task, "features", network, lambda x, _: embed(x), task.images(members))
