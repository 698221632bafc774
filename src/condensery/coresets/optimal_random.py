"""Optimal random selection: the best of many random selections, judged on training images that are held out.

Thesis appendix A.3, Table T8, which ranks 1,000 selections by their test accuracy. That is choosing on the test set, so
its numbers are no result of a selector; here the judges are training images that no selection may hold.

Differences from the papers:

1. Held-out training images judge; the thesis ranks by test accuracy, which is an upper bound.
2. Networks train as for the other selectors, and their rate is divided by 10 after half of the epochs.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch

from condensery.coresets.networks import map_task, trained_network
from condensery.coresets.selector import SelectionTask
from condensery.data.pool import PoolImages
from condensery.errors import BadInput
from condensery.rng import Rng
from condensery.training import FORWARD, TensorImages
from condensery.training_recipe import Recipe


@dataclass(frozen=True)
class OptimalRandom:
    """Keep, of many random selections, the one whose networks do best on a held-out part of the training set."""

    name: ClassVar[str] = "optimal-random"
    summary: ClassVar[str] = "best of many random selections by held-out training images (thesis A.3)"
    nested: ClassVar[bool] = False

    selections: int = 1000
    """random selections to try"""
    networks: int = 1
    """networks whose scores are averaged"""
    epochs: int = 300
    """epochs that each network is trained for"""
    held_out: float = 0.1
    """share of each class that judges, and can not be selected"""

    def check(self, task: SelectionTask) -> list[str]:
        for name, count, ipc, judges in zip(
            task.spec.class_names, task.pool.counts, task.counts, self._judges(task), strict=True
        ):
            if not 0 < judges <= count - ipc:
                raise BadInput(
                    f"--held-out {self.held_out:g} leaves {judges} of the {count} images of class {name!r} to judge "
                    f"and {count - judges} to select --ipc {ipc} from: choose another share, or a smaller --ipc"
                )
        return [
            f"{self.selections} random selections, judged by {self.networks} x {task.network.name} on "
            f"{sum(self._judges(task)):,} training images"
        ]

    def work(self, task: SelectionTask, rng: Rng) -> float:
        each = self.epochs * sum(task.counts) + FORWARD * sum(self._judges(task))
        return self.selections * self.networks * each

    def select(self, task: SelectionTask, rng: Rng) -> list[np.ndarray]:
        judges, free = [], []
        for c, count in zip(task.classes, self._judges(task), strict=True):
            order = rng.fork("held out", c).numpy().permutation(task.pool.members(c))
            judges.append(order[:count])
            free.append(order[count:])
        judging = task.images(np.sort(np.concatenate(judges)))
        best: tuple[float, list[np.ndarray]] = (-1.0, [])
        for i in range(self.selections):
            draw = rng.fork("selection", i)
            picks = [draw.fork(c).numpy().permutation(free[c])[: task.counts[c]] for c in task.classes]
            accuracy = self._accuracy(task, np.concatenate(picks), judging, draw)
            best = max(best, (accuracy, picks), key=lambda found: found[0])  # the first of equals
        return best[1]

    def _accuracy(self, task: SelectionTask, picks: np.ndarray, judging: PoolImages, rng: Rng) -> float:
        """Mean accuracy of networks trained on `picks`, on the held-out images."""
        recipe = Recipe(self.epochs, decay_after=(self.epochs // 2 + 1,))
        images = TensorImages(*task.images(picks).batch(torch.arange(len(picks))))
        hits = 0.0
        for k in range(self.networks):
            network = trained_network(task, images, recipe, rng.fork("network", k))
            right = map_task(
                task, "judging", network, lambda x, y, net=network: net(x).argmax(1) == y, judging
            )
            hits += float(right.float().mean())
        return hits / self.networks

    def _judges(self, task: SelectionTask) -> list[int]:
        return [round(self.held_out * count) for count in task.pool.counts]
