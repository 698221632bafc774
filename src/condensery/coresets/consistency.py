"""Consistency score (C-score): how well networks that were trained without an image get it right.

Z. Jiang, C. Zhang, K. Talwar, M. C. Mozer, "Characterizing structural regularities of labeled data in
overparameterized models", ICML 2021. S. Lee et al., "Dataset condensation with contrastive signals", ICML 2022,
section 4.2, keep the highest scores as a baseline of condensation.

C(x) is the share of the networks trained without x that classify it right.

Differences from the papers:

1. Training is SGD at 0.01, momentum 0.9, weight decay 5e-4, batches of 256, no augmentation; each paper has its own.
2. Images are ranked class by class, as Lee et al. do; Jiang et al. rank the whole training set.
3. There is one size of subsets, not nine. An image that was never held out comes last, at either end.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from condensery.coresets.networks import map_task, trained_network
from condensery.coresets.ranking import check_keep, ranked
from condensery.coresets.selector import SelectionTask
from condensery.errors import BadInput
from condensery.rng import Rng
from condensery.text import count
from condensery.training import FORWARD
from condensery.training_recipe import Recipe


@dataclass(frozen=True)
class Consistency:
    """Keep the images that networks trained on random parts of the other images classify best."""

    name: ClassVar[str] = "consistency"
    summary: ClassVar[str] = "C-score: held-out accuracy over random subsets (Jiang et al., 2021)"
    nested: ClassVar[bool] = True

    networks: int = 200
    """networks whose scores are averaged"""
    share: float = 0.5
    """share of the training set that each is trained on; the rest is held out"""
    epochs: int = 10
    """epochs that each network is trained for"""
    keep: str = "easy"
    """keep the "easy" or the "hard" end of the scores"""

    def check(self, task: SelectionTask) -> list[str]:
        check_keep(self.keep)
        if not 0 < self._trained_on(task) < len(task.pool.labels):
            raise BadInput(
                f"--share {self.share:g} of {len(task.pool.labels)} images leaves none to train on or none to hold "
                "out: choose a number between 0 and 1, such as 0.5"
            )
        never = self.share**self.networks
        return [
            f"{count(self.networks, 'network')} {task.network.name} trained for {count(self.epochs, 'epoch')} on "
            f"{self._trained_on(task):,} images each; {100 * never:.2g} % of images are expected never to be held out"
        ]

    def work(self, task: SelectionTask, rng: Rng) -> float:
        trained = self._trained_on(task)
        return self.networks * (self.epochs * trained + FORWARD * (len(task.pool.labels) - trained))

    def select(self, task: SelectionTask, rng: Rng) -> list[np.ndarray]:
        right = np.zeros(len(task.pool.labels))
        held_out = np.zeros(len(task.pool.labels))
        for k in range(self.networks):
            order = rng.fork("subset", k).numpy().permutation(len(right))
            inside, outside = np.split(order, [self._trained_on(task)])
            network = trained_network(task, task.images(inside), Recipe(self.epochs), rng.fork(k))
            hits = map_task(
                task, "scores", network, lambda x, y, net=network: net(x).argmax(1) == y, task.images(outside)
            )
            right[outside] += hits.cpu().numpy()
            held_out[outside] += 1
        return ranked(task, -held_out_accuracy(right, held_out), self.keep, rng)

    def _trained_on(self, task: SelectionTask) -> int:
        return round(self.share * len(task.pool.labels))


def held_out_accuracy(right: np.ndarray, held_out: np.ndarray) -> np.ndarray:
    """Share (N,) of the networks that got an image right among those that had not seen it; NaN if all had."""
    return np.divide(right, held_out, out=np.full(len(right), np.nan), where=held_out > 0)
