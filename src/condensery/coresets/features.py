"""Features of real images: what the last layer of a network but one makes of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import ClassVar, cast

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


@dataclass(frozen=True)
class FeatureSelector:
    """Select in each class by the features that one network gives its images. Abstract: a selector adds `order`."""

    name: ClassVar[str]
    order: ClassVar[Callable[[Tensor, int], Tensor]]
    """features (n, D), count -> indices (count,) of the images to keep, the best first"""
    nested: ClassVar[bool] = True

    weights: str = "trained"
    """networks "trained" on the whole training set, or with "random" weights"""
    epochs: int = 20
    """epochs that each network is trained for"""

    def check(self, task: SelectionTask) -> list[str]:
        if not task.network.has_embedding(task.spec):
            raise BadInput(
                f"{self.name} compares features and {task.network.name} has none: "
                "choose a network with embed(), such as convnet"
            )
        return [f"features of {check_weights(task, self.weights, self.epochs)}"]

    def work(self, task: SelectionTask, rng: Rng) -> float:
        trained = training_work(task, self.weights, self.epochs, rng.fork("features"))
        return trained + FORWARD * len(task.pool.labels)

    def select(self, task: SelectionTask, rng: Rng) -> list[np.ndarray]:
        return [
            members[type(self).order(found, n).numpy()]
            for (members, found), n in zip(self.features_by_class(task, rng), task.counts, strict=True)
        ]

    def features_by_class(self, task: SelectionTask, rng: Rng) -> Iterator[tuple[np.ndarray, Tensor]]:
        """For each class the indices (n,) of its images and their features (n, D), under one network."""
        network = ready_network(task, self.weights, self.epochs, rng.fork("features"))
        embed = cast(Embedding, network.embed)
        for c in task.classes:
            members = task.pool.members(c)
            yield members, map_task(task, "features", network, lambda x, _: embed(x), task.images(members))
