"""Forgetting: how often a network in training loses an image that it had learned.

M. Toneva et al., "An empirical study of example forgetting during deep neural network learning", ICLR 2019; thesis
section 2.1, equation 2.3. What counts for images that are never learned, and how runs are added up, is that of the
authors' `order_examples_by_forgetting.py`.

An image is forgotten when it is wrong after it was right, looked at once an epoch before its step. One that was never
right counts as the number of epochs, so few epochs keep what was never learned.

Differences from the papers:

1. Training is SGD at 0.01, momentum 0.9, weight decay 5e-4, batches of 256, no augmentation; each paper has its own.
2. Images are ranked class by class, as the thesis does; Toneva et al. rank the whole training set.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor

from condensery.coresets.networks import trained_network
from condensery.coresets.ranking import check_keep, ranked
from condensery.coresets.selector import SelectionTask
from condensery.rng import Rng
from condensery.training_recipe import Recipe


@dataclass(frozen=True)
class Forgetting:
    """Keep the images that are forgotten most often while networks are trained on the whole training set."""

    name: ClassVar[str] = "forgetting"
    summary: ClassVar[str] = "forgotten most often during training (Toneva et al., 2019)"
    nested: ClassVar[bool] = True

    epochs: int = 200
    """epochs that each network is trained for"""
    networks: int = 1
    """networks whose scores are averaged"""
    keep: str = "hard"
    """keep the "easy" or the "hard" end of the scores"""

    def check(self, task: SelectionTask) -> list[str]:
        check_keep(self.keep)
        if self.epochs < 2:
            return [
                "an image is looked at once, so none can be forgotten: it is random among the right or wrong"
            ]
        return []

    def work(self, task: SelectionTask, rng: Rng) -> float:
        return self.networks * self.epochs * len(task.pool.labels)

    def select(self, task: SelectionTask, rng: Rng) -> list[np.ndarray]:
        images = task.images()
        total = np.zeros(len(images))
        for k in range(self.networks):
            history = History(images.labels)
            trained_network(task, images, Recipe(self.epochs), rng.fork(k), history.see)
            total += history.forgotten(self.epochs)
        return ranked(task, total / self.networks, self.keep, rng)


class History:
    """What a network in training got right, whenever an image was in its batch and before it learned from it."""

    def __init__(self, labels: Tensor) -> None:
        """`labels` (N,) of the images, on the CPU."""
        self.labels = labels
        self.events = torch.zeros(len(labels))
        self.was_right = torch.zeros(len(labels), dtype=torch.bool)
        self.learned = torch.zeros(len(labels), dtype=torch.bool)

    def see(self, indices: Tensor, logits: Tensor) -> None:
        """Logits (n, classes) of a batch of the images at `indices` (n,)."""
        right = logits.argmax(1).cpu() == self.labels[indices]
        self.events[indices] += self.was_right[indices] & ~right
        self.was_right[indices] = right
        self.learned[indices] |= right

    def forgotten(self, epochs: int) -> np.ndarray:
        """Forgetting events (N,), right once and wrong the next time; `epochs` for an image that was never right."""
        return torch.where(self.learned, self.events, float(epochs)).numpy()
