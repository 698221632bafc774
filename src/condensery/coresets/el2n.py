"""EL2N: how far a network's probabilities are from the label.

M. Paul, S. Ganguli, G. K. Dziugaite, "Deep learning on a data diet: finding important examples early in training",
NeurIPS 2021. S. Lee et al., "Dataset condensation with contrastive signals", ICML 2022, section 4.2, keep the
lowest scores as a baseline of condensation.

EL2N(x) is the mean over networks of | softmax(x) - one-hot label |.

Differences from the papers:

1. Training is SGD at 0.01, momentum 0.9, weight decay 5e-4, batches of 256, no augmentation; each paper has its own.
2. Images are ranked class by class, as Lee et al. do; Paul et al. rank the whole training set.
3. Scores are taken after short trainings and the lowest are kept, as Lee et al. do; Paul et al. keep the highest.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch.nn.functional as F
from torch import Tensor

from condensery.coresets.networks import check_weights, map_task, ready_network, training_work
from condensery.coresets.ranking import check_keep, ranked
from condensery.coresets.selector import SelectionTask
from condensery.rng import Rng
from condensery.training import FORWARD


@dataclass(frozen=True)
class EL2N:
    """Keep the images with the smallest error vector, averaged over networks early in training."""

    name: ClassVar[str] = "el2n"
    summary: ClassVar[str] = "smallest error of the probabilities (Paul et al., 2021)"
    nested: ClassVar[bool] = True

    weights: str = "trained"
    """networks "trained" on the whole training set, or with "random" weights"""
    epochs: int = 20
    """epochs that each network is trained for"""
    networks: int = 10
    """networks whose scores are averaged"""
    keep: str = "easy"
    """keep the "easy" or the "hard" end of the scores"""

    def check(self, task: SelectionTask) -> list[str]:
        check_keep(self.keep)
        return [f"scores of {check_weights(task, self.weights, self.epochs, self.networks)}"]

    def work(self, task: SelectionTask, rng: Rng) -> float:
        trained = [training_work(task, self.weights, self.epochs, rng.fork(k)) for k in range(self.networks)]
        return sum(trained) + self.networks * FORWARD * len(task.pool.labels)

    def select(self, task: SelectionTask, rng: Rng) -> list[np.ndarray]:
        images = task.images()
        total = np.zeros(len(images))
        for k in range(self.networks):
            network = ready_network(task, self.weights, self.epochs, rng.fork(k))
            norms = map_task(
                task, "scores", network, lambda x, y, net=network: error_norms(net(x), y), images
            )
            total += norms.cpu().numpy()
        return ranked(task, total / self.networks, self.keep, rng)


def error_norms(logits: Tensor, labels: Tensor) -> Tensor:
    """| softmax(logits) - onehot(label) |_2: (n, classes), (n,) -> (n,)"""
    errors = logits.softmax(1) - F.one_hot(labels, logits.shape[1])
    return errors.norm(dim=1)
