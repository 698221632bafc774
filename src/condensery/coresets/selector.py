"""The contract that every selector of real images keeps.

A selector is a frozen dataclass whose fields are its settings. It gets the real training images by class and
names, class by class, those that it keeps. It sees no test image.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol

import numpy as np
import torch
from torch import nn

from condensery.budgets import Counts
from condensery.data.pool import ClassPool, PoolImages
from condensery.models.registry import NetworkFactory
from condensery.pretraining import KeptNetwork
from condensery.records import ImageSpec
from condensery.rng import Rng


def unheard(stage: str, images: float) -> None:
    """Nobody wants to know how far the work is."""


def not_kept(network: KeptNetwork) -> bool:
    """Whether a network has still to be trained."""
    return not network.is_there


@dataclass(frozen=True)
class SelectionTask:
    """What a selector works on.

    Attributes:
        pool: the real training images by class, on `device`.
        network: makes randomly initialised networks.
        counts: real images to select of each class, which has as many.
        device: where images and networks live.
        chunk: images per pass through a network where passes can be split, None for whole batches.
        to_train: whether a network has still to be trained, since it is not kept.
        worked: told what is being done and how much of `Selector.work` has been done since the last time.
    """

    pool: ClassPool
    network: NetworkFactory
    counts: Counts
    device: torch.device
    chunk: int | None = None
    worked: Callable[[str, float], None] = unheard
    to_train: Callable[[KeptNetwork], bool] = not_kept

    @property
    def spec(self) -> ImageSpec:
        return self.pool.spec

    @property
    def classes(self) -> range:
        return range(self.spec.num_classes)

    def images(self, indices: np.ndarray | None = None) -> PoolImages:
        """Training images at `indices` (M,), all of them for None, in the form that training takes."""
        return PoolImages(self.pool, indices)

    def new_network(self, rng: Rng) -> nn.Module:
        """A network with random weights, in training mode, on the device."""
        return self.network.build(self.spec, rng).to(self.device).train()


class Selector(Protocol):
    """The contract. See `condensery.coresets.herding` for an example.

    Attributes:
        name: what the command line calls it.
        summary: one line with the citation, for `condense methods`.
        nested: whether the selection of n images per class is the beginning of that of n + 1, for one seed.
    """

    name: ClassVar[str]
    summary: ClassVar[str]
    nested: ClassVar[bool]
    __dataclass_fields__: ClassVar[dict[str, Any]]

    def check(self, task: SelectionTask) -> list[str]:
        """What a user should know about these settings on this task, a line each.

        Raises:
            BadInput: the selector cannot work on this task.
        """
        ...

    def work(self, task: SelectionTask, rng: Rng) -> float:
        """How much `select` has to do, in images that go through one training step (`training.FORWARD` without).

        What is kept of earlier work is left out.
        """
        ...

    def select(self, task: SelectionTask, rng: Rng) -> list[np.ndarray]:
        """For each class `task.counts[c]` different indices int64 into the training set, the best first."""
        ...
